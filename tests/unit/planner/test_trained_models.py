"""Profiles of how certain models were trained."""

import pytest

from meshwright.planner.frameworks import match_framework, read_framework


@pytest.mark.parametrize(
    ("framework", "model", "profile"),
    [
        ("Megatron-DeepSpeed", "bloom-176b", "megatron-deepspeed-bloom"),
        ("Megatron-DeepSpeed", "llama2-7b", "megatron-deepspeed-llama"),
        ("Megatron-DeepSpeed", "gpt-39.1b", "megatron-deepspeed"),
        ("Megatron-DeepSpeed", "", "megatron-deepspeed"),
        ("torchtitan", "bloom-176b", "torchtitan"),
    ],
)
def test_a_profile_for_some_models_applies_to_them_in_its_framework_alone(framework, model, profile):
    """How BLOOM was trained says nothing of other models in the same framework, nor of BLOOM in another."""
    assert match_framework(framework, model) == profile


def test_bloom_was_trained_on_jean_zay():
    """BLOOM's model card."""
    assert read_framework("megatron-deepspeed-bloom").published.on == {"a100-80gb": "jean-zay-a100"}
