"""Parameter counts against published totals and against an independent implementation's count."""

import json
from pathlib import Path
from typing import Any

import pytest

from meshwright.cost_models.parameters import active_parameters, mtp_parameters, total_parameters
from meshwright.planner.models import ModelSummary, list_models, read_model
from meshwright.planner.models.huggingface import architecture_from

CATALOG = list_models()
PUBLISHED = [model for model in CATALOG if model.published_parameters is not None]
TRANSFORMERS = json.loads(Path(__file__).with_name("transformers_parameter_counts.json").read_text())
COUNTED = TRANSFORMERS["parameters"]

BUFFERS = {"llama-7b", "llama-30b", "llama-2-7b", "llama-2-13b", "glm-4-9b", "moonlight-16b-a3b", "kimi-k2"}
"""Models whose published total also counts buffers, such as the rotary frequencies of each layer."""
DIFFERENT = BUFFERS | {
    "gpt-j-6b",  # the card counts 2.5 million more than its config gives, 0.04 %
    "nemotron-3-nano-30b-a3b",  # the total leaves out the experts' balancing biases
}

ROUNDED = {
    "command-r-35b": (35e9, "model card of CohereForAI/c4ai-command-r-v01"),
    "command-r-plus-104b": (104e9, "model card of CohereForAI/c4ai-command-r-plus"),
    "dbrx": (132e9, "model card of databricks/dbrx-base"),
    "deepseek-v3": (671e9, "DeepSeek-V3 Technical Report (arXiv:2412.19437), abstract"),
    "falcon-7b": (
        7_217_189_760 - 65024 * 4544,
        "safetensors of tiiuae/falcon-7b, tied embedding stored twice",
    ),
    "falcon-40b": (
        41_835_970_560 - 65024 * 8192,
        "safetensors of tiiuae/falcon-40b, tied embedding stored twice",
    ),
    "falcon-180b": (179_522_565_120 - 65024 * 14848, "safetensors of tiiuae/falcon-180B-chat, likewise"),
    "gemma-3-4b": (0.675e9 + 3.209e9, "Gemma 3 Technical Report (arXiv:2503.19786), Table 1, without vision"),
    "gemma-3-12b": (
        1.012e9 + 10.759e9,
        "Gemma 3 Technical Report (arXiv:2503.19786), Table 1, without vision",
    ),
    "gemma-3-27b": (
        1.416e9 + 25.600e9,
        "Gemma 3 Technical Report (arXiv:2503.19786), Table 1, without vision",
    ),
    "gpt-3-175b": (174.6e9, "Language Models are Few-Shot Learners (arXiv:2005.14165), Table D.1"),
    "llama-2-70b": (69e9, "model badge of meta-llama/Llama-2-70b-hf on Hugging Face"),
    "mt-nlg-530b": (530e9, "Megatron-Turing NLG 530B (arXiv:2201.11990), abstract"),
    "nemotron-4-15b": (3.2e9 + 12.5e9, "Nemotron-4 15B Technical Report (arXiv:2402.16819), section 2"),
    "nemotron-4-340b": (9.4e9 + 331.6e9, "Nemotron-4 340B Technical Report (arXiv:2406.11704), section 2.1"),
    "phi-3.5-moe": (42e9, "Phi-3 Technical Report (arXiv:2404.14219), abstract of phi-3.5-MoE"),
}

ACTIVE = {
    "dbrx": (36e9, "model card of databricks/dbrx-base"),
    "deepseek-v2": (21e9, "DeepSeek-V2 (arXiv:2405.04434), abstract"),
    "deepseek-v3": (37e9, "DeepSeek-V3 Technical Report (arXiv:2412.19437), abstract"),
    "glm-4.5": (32e9, "GLM-4.5 (arXiv:2508.06471), Table 1, without embeddings"),
    "kimi-k2": (32e9, "model card of moonshotai/Kimi-K2-Instruct"),
    "llama-4-maverick": (17e9, "model card of meta-llama/Llama-4-Maverick-17B-128E"),
    "mixtral-8x7b": (12.9e9, "model card of mistralai/Mixtral-8x7B-v0.1"),
    "mixtral-8x22b": (39e9, "Mistral AI's announcement of Mixtral 8x22B"),
    "phi-3.5-moe": (6.6e9, "Phi-3 Technical Report (arXiv:2404.14219), abstract of phi-3.5-MoE"),
    "qwen2-57b-a14b": (14e9, "Qwen2 Technical Report (arXiv:2407.10671), Table 1"),
    "qwen3-235b-a22b": (22e9, "Qwen3 Technical Report (arXiv:2505.09388), abstract"),
}


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.name)
def test_total_is_the_published_one(model: ModelSummary) -> None:
    """Exact, or within 0.05 % where the published total counts something else too."""
    published = model.published_parameters
    if model.name in DIFFERENT:
        assert model.total_parameters == pytest.approx(published, rel=5e-4)
    else:
        assert model.total_parameters == published


@pytest.mark.parametrize("name", ROUNDED)
def test_total_agrees_with_the_rounded_one(name: str) -> None:
    """Where only a rounded total is published, ours is within 0.5 % of it."""
    assert total_parameters(read_model(name)) == pytest.approx(ROUNDED[name][0], rel=5e-3)


@pytest.mark.parametrize("name", COUNTED)
def test_total_is_what_transformers_counts(name: str) -> None:
    """Hugging Face Transformers builds the same parameters from the same config.json."""
    assert total_parameters(read_model(name)) == COUNTED[name]


@pytest.mark.parametrize("small", TRANSFORMERS["small"], ids=lambda small: small["config"]["model_type"])
def test_small_configs_are_what_transformers_counts(small: dict[str, Any]) -> None:
    """Families and options that no model of the catalog has, such as biases or every other layer sparse."""
    architecture = architecture_from(small["config"], "small", "config.json")
    assert total_parameters(architecture) == small["parameters"]


@pytest.mark.parametrize("name", ACTIVE)
def test_active_parameters_agree_with_the_published_ones(name: str) -> None:
    """Published active counts are rounded to a billion, and some leave out both vocabulary tables."""
    architecture = read_model(name)
    tables = 2 * architecture.vocab * architecture.hidden
    active, published = active_parameters(architecture), ACTIVE[name][0]
    assert published - 0.55e9 <= active <= published + 0.55e9 + tables


def test_gpt_oss_active_parameters() -> None:
    """gpt-oss model card (arXiv:2508.10925), Table 1: 3.61 B and 5.13 B, without the input embedding."""
    for name, published in (("gpt-oss-20b", 3.61e9), ("gpt-oss-120b", 5.13e9)):
        architecture = read_model(name)
        active = active_parameters(architecture) - architecture.vocab * architecture.hidden
        assert active == pytest.approx(published, abs=0.005e9)


def test_deepseek_v3_total_leaves_out_the_mtp_module() -> None:
    """671 B is the main model; the MTP module adds 11.5 B besides the shared tables (README_WEIGHTS)."""
    architecture = read_model("deepseek-v3")
    assert total_parameters(architecture) == 671_026_419_200
    assert mtp_parameters(architecture).total == pytest.approx(11.5e9, rel=0.01)
    assert total_parameters(architecture, with_mtp=True) > total_parameters(architecture)


def test_enough_totals_are_checked() -> None:
    assert len(PUBLISHED) >= 60
    assert len(COUNTED) >= 100
