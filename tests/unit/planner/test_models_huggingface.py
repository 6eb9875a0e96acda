"""What a Hugging Face config.json becomes, and what is wrong with a bad one."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from meshwright.cost_models.architecture import (
    Architecture,
    Attention,
    DenseMlp,
    LatentAttention,
    MoeMlp,
    StateSpace,
)
from meshwright.errors import ModelError
from meshwright.planner.models import list_models, read_model
from meshwright.planner.models.families.registry import READERS
from meshwright.planner.models.huggingface import architecture_from

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 100,
}
BAD_VALUES = (None, 0, -1, 1.5, float("nan"), "x", [], {}, True, 10**30)


def read(**changes: object) -> Architecture:
    return architecture_from({**LLAMA, **changes}, "test", "config.json")


def problems(**changes: object) -> tuple[str, ...]:
    with pytest.raises(ModelError) as caught:
        read(**changes)
    return caught.value.problems


def test_every_key_that_is_wrong_is_reported_at_once() -> None:
    found = problems(hidden_size=-1, num_hidden_layers=2.5, vocab_size=float("nan"), intermediate_size=None)
    assert len(found) == 4
    assert any("hidden_size must be at least 1, but is -1" in problem for problem in found)
    assert any("num_hidden_layers must be a whole number, but is 2.5" in problem for problem in found)
    assert any("vocab_size must be a whole number, but is nan" in problem for problem in found)
    assert any("intermediate_size is missing" in problem for problem in found)


def test_heads_that_do_not_divide_show_the_rule_and_the_values() -> None:
    found = problems(hidden_size=66, num_key_value_heads=3)
    assert "`num_attention_heads % num_key_value_heads == 0` must hold" in found[0]
    assert "hidden_size=66, num_attention_heads=4" in found[1]


def test_experts_that_a_token_visits_must_exist() -> None:
    (problem,) = problems(model_type="mixtral", num_local_experts=4, num_experts_per_tok=5)
    assert "num_experts_per_tok=5, num_experts=4" in problem


def test_absurd_depth_is_a_problem_not_a_memory_error() -> None:
    (problem,) = problems(num_hidden_layers=10**12)
    assert "num_hidden_layers must be at most" in problem


def test_unknown_architecture_is_one_clear_error() -> None:
    """It names the model_type, the closest that are read, and the hand-written file as a way on."""
    (problem,) = problems(model_type="llamba", architectures=["LlambaForCausalLM"])
    assert "'llamba'" in problem
    assert "LlambaForCausalLM" in problem
    assert "llama" in problem
    assert "YAML" in problem


def test_missing_model_type_falls_back_on_the_class() -> None:
    assert read(model_type=None, architectures=["LlamaForCausalLM"]) == read()
    assert "model_type is missing" in problems(model_type=None)[0]


@pytest.mark.parametrize("content", [None, [1, 2], "llama", 3])
def test_config_that_holds_no_keys_is_a_model_error(content: object) -> None:
    with pytest.raises(ModelError, match="holds an object with keys"):
        architecture_from(content, "test", "config.json")


def test_multimodal_wrapper_is_read_as_its_language_model() -> None:
    wrapped = {"model_type": "llava", "vision_config": {}, "text_config": LLAMA}
    assert architecture_from(wrapped, "test", "config.json") == read()


@pytest.mark.parametrize("name", sorted({model.family: model.name for model in list_models()}.values()))
def test_no_bad_value_escapes_as_another_error(name: str) -> None:
    """Whatever a key holds, reading gives an architecture or a ModelError, never a traceback."""
    file = Path(__file__).parents[3] / "datasets" / "models" / f"{name}.json"
    keys = json.loads(file.read_text())
    for key in keys.get("text_config", keys):
        for bad in BAD_VALUES:
            broken = {**keys, "text_config": {**keys["text_config"], key: bad}} if "text_config" in keys else {}
            try:
                architecture_from(broken or {**keys, key: bad}, "test", "config.json")
            except ModelError as error:
                assert all(len(problem) < 1200 for problem in error.problems)  # noqa: PT017


def test_catalog_uses_most_readers() -> None:
    """The catalog goes through the same readers as users' files, so it proves them."""
    used = {model.family for model in list_models()}
    assert len(used & set(READERS)) >= 40


def test_deepseek_v3_is_dense_then_sparse_with_one_mtp_layer() -> None:
    architecture = read_model("deepseek-v3")
    assert [isinstance(layer.mlp, MoeMlp) for layer in architecture.layers] == [False] * 3 + [True] * 58
    assert isinstance(architecture.layers[0].mixer, LatentAttention)
    assert len(architecture.mtp_layers) == 1
    assert architecture.mtp_layers[0] == architecture.layers[-1]


def test_llama4_maverick_alternates_dense_and_sparse_and_attends_in_chunks() -> None:
    architecture = read_model("llama-4-maverick")
    assert [isinstance(layer.mlp, MoeMlp) for layer in architecture.layers] == [False, True] * 24
    assert _windows(architecture) == [8192, 8192, 8192, None] * 12


def test_windows_follow_each_family_pattern() -> None:
    assert _windows(read_model("mistral-7b")) == [4096] * 32
    assert _windows(read_model("gpt-oss-20b")) == [128, None] * 12
    assert _windows(read_model("gemma-2-2b")) == [4096, None] * 13
    assert Counter(_windows(read_model("gemma-3-12b"))) == {1024: 40, None: 8}
    assert _windows(read_model("llama-3-8b")) == [None] * 32


def test_layer_types_say_which_layers_have_a_window() -> None:
    kinds = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    assert _windows(read(sliding_window=16, layer_types=kinds)) == [None, 16, 16, None]
    assert "3" in problems(sliding_window=16, layer_types=kinds[:3])[0]


def test_qwen2_window_is_off_unless_asked_for() -> None:
    assert _windows(read(model_type="qwen2", sliding_window=16)) == [None] * 4
    used = read(model_type="qwen2", sliding_window=16, use_sliding_window=True, max_window_layers=3)
    assert _windows(used) == [None, None, None, 16]


def test_hybrids_have_layers_of_one_block() -> None:
    architecture = read_model("nemotron-h-8b")
    kinds = Counter(type(layer.mixer or layer.mlp) for layer in architecture.layers)
    assert kinds == {StateSpace: 24, DenseMlp: 24, Attention: 4}
    assert all((layer.mixer is None) != (layer.mlp is None) for layer in architecture.layers)


def test_qwen3_next_has_one_attention_in_four_layers() -> None:
    kinds = [type(layer.mixer) for layer in read_model("qwen3-next-80b-a3b").layers]
    assert kinds == [StateSpace, StateSpace, StateSpace, Attention] * 12


def test_falcon_7b_shares_one_key_value_head() -> None:
    mixer = read_model("falcon-7b").layers[0].mixer
    assert isinstance(mixer, Attention)
    assert (mixer.num_heads, mixer.num_kv_heads) == (71, 1)


def _windows(architecture: Architecture) -> list[int | None]:
    mixers = [layer.mixer for layer in architecture.layers]
    return [mixer.window if isinstance(mixer, Attention) else None for mixer in mixers]
