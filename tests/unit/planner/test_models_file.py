"""Meshwright's own model files."""

import re
from pathlib import Path

import pytest

from meshwright.cost_models.architecture import Architecture, Attention, MoeMlp
from meshwright.cost_models.parameters import total_parameters
from meshwright.errors import FileError, ModelError
from meshwright.planner.models import read_model

LLAMA_3_8B = """
hidden: 4096
vocab: 128256
max_seq_len: 8192
layers:
  - count: 32
    attention: {num_heads: 32, num_kv_heads: 8}
    mlp: {ffn_hidden: 14336}
"""

DEEPSEEK_V3 = """
hidden: 7168
vocab: 129280
max_seq_len: 163840
layers:
  - count: 3
    latent_attention: &mla
      num_heads: 128
      q_lora_rank: 1536
      kv_lora_rank: 512
      qk_nope_head_dim: 128
      qk_rope_head_dim: 64
      v_head_dim: 128
    mlp: {ffn_hidden: 18432}
  - count: 58
    latent_attention: *mla
    moe: &moe
      {num_experts: 256, top_k: 8, num_groups: 8, top_k_groups: 4, expert_ffn_hidden: 2048, shared_ffn_hidden: 2048,
       router_bias: true}
mtp_layers:
  - {latent_attention: *mla, moe: *moe}
"""


def read(tmp_path: Path, text: str, name: str = "model.yaml") -> Architecture:
    file = tmp_path / name
    file.write_text(text)
    return read_model(file)


def problems(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(ModelError) as caught:
        read(tmp_path, text)
    return caught.value.problems


@pytest.mark.parametrize(("name", "text"), [("llama-3-8b", LLAMA_3_8B), ("deepseek-v3", DEEPSEEK_V3)])
def test_a_model_file_and_a_config_give_the_same_architecture(tmp_path: Path, name: str, text: str) -> None:
    assert read(tmp_path, text, f"{name}.yaml") == read_model(name)


def test_the_example_of_the_reference_page_is_valid(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "model-file.md"
    (example,) = re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    architecture = read(tmp_path, example)
    assert architecture.name == "tiny-hybrid"
    assert architecture.num_layers == 24
    assert isinstance(architecture.layers[-1].mlp, MoeMlp)


def test_query_and_key_norms_count_their_parameters(tmp_path: Path) -> None:
    """`head` norms one head's width for queries and for keys; `all` norms all of them."""
    mixers = []
    for norm in ("none", "head", "all"):
        text = LLAMA_3_8B.replace("num_kv_heads: 8", f"num_kv_heads: 8, qk_norm: {norm}")
        mixers.append(read(tmp_path, text).layers[0].mixer)
    assert [m.qk_norm_params for m in mixers if isinstance(m, Attention)] == [0, 2 * 128, 40 * 128]


def test_layer_norms_have_twice_the_parameters_of_rms_norms(tmp_path: Path) -> None:
    rms, layer = read(tmp_path, LLAMA_3_8B), read(tmp_path, LLAMA_3_8B + "norm: layer\n")
    assert total_parameters(layer) - total_parameters(rms) == (2 * 32 + 1) * 4096


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = """
hidden: -4
vocab: .nan
depth: 3
layers:
  - attention: {num_heads: 4, num_kv_heads: 3}
    mlp: {ffn_hidden: "128"}
  - moe: {num_experts: 4, top_k: 5, expert_ffn_hidden: 8}
  - {}
  - 5
"""
    found = "\n".join(problems(tmp_path, text))
    for part in (
        "hidden: must be greater than or equal to 1, but is -4",
        "vocab: must be a valid integer, but is nan",
        "depth isn't a key",
        "num_heads=4, num_kv_heads=3",
        "layers[0].mlp.ffn_hidden",
        "top_k=5, num_experts=4",
        "layers[2]: a layer has one of",
        "layers[3]: must hold keys, but is 5",
    ):
        assert part in found


def test_heads_must_divide_the_hidden_width_unless_head_dim_is_given(tmp_path: Path) -> None:
    text = LLAMA_3_8B.replace("hidden: 4096", "hidden: 4100")
    assert "hidden=4100, num_heads=32" in problems(tmp_path, text)[0]
    assert read(tmp_path, text.replace("num_kv_heads: 8", "num_kv_heads: 8, head_dim: 128")).hidden == 4100


@pytest.mark.parametrize("text", ["", "hello", "[1, 2]", "3"])
def test_file_without_keys_is_a_model_error(tmp_path: Path, text: str) -> None:
    assert "needs keys such as hidden, vocab and layers" in problems(tmp_path, text)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1\nb: }", "line 2, column 2"), ("? [a]\n: 1", "unhashable"), ("[" * 400, "broken YAML")],
)
def test_broken_yaml_is_a_file_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FileError, match=message):
        read(tmp_path, text)


def test_self_referring_and_exploding_files_are_model_errors(tmp_path: Path) -> None:
    """Anchors that refer to themselves or multiply give short messages, quickly."""
    assert problems(tmp_path, "hidden: 4\nvocab: 4\nlayers: &a [*a]")
    levels = "\n".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 9)}]" for i in range(1, 9))
    found = problems(tmp_path, f"x0: &x0 [1]\n{levels}\nhidden: *x8\nlayers: *x8")
    assert all(len(problem) < 300 for problem in found)
