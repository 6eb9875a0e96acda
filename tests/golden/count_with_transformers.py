"""Writes transformers_parameter_counts.json: what Hugging Face Transformers counts for the catalog's configs.

Run by hand, with torch and transformers installed: `python tests/golden/count_with_transformers.py`.
Models are built on the meta device, so nothing is downloaded and no memory is needed.
"""

import json
from pathlib import Path

import torch
import transformers

CATALOG = Path(__file__).parents[2] / "datasets" / "models"
OUTPUT = Path(__file__).with_name("transformers_parameter_counts.json")
SAME_CODE = {"kimi_k2": "deepseek_v3"}

WIDTHS = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
DENSE = {**WIDTHS, "intermediate_size": 96, "vocab_size": 512, "pad_token_id": 0}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48}
DELTA_NET = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
}
SMALL = [
    {"model_type": "glm", **DENSE, "head_dim": 16, "attention_bias": True},
    {"model_type": "glm4", **DENSE, "head_dim": 16, "attention_bias": True},
    {"model_type": "olmo3", **DENSE, "sliding_window": 16},
    {"model_type": "llama", **DENSE, "attention_bias": True, "mlp_bias": True},
    {"model_type": "qwen3", **DENSE, "head_dim": 24, "attention_bias": True},
    {"model_type": "granitemoe", **DENSE, "num_local_experts": 4, "num_experts_per_tok": 2},
    {"model_type": "minimax_m2", **DENSE, "head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2},
    {"model_type": "qwen3_5_text", **DENSE, **DELTA_NET, "head_dim": 16},
    {"model_type": "qwen3_5_moe_text", **DENSE, **DELTA_NET, **EXPERTS, "head_dim": 16, "num_experts": 8},
    {"model_type": "qwen2_moe", **DENSE, **EXPERTS, "num_experts": 8, "decoder_sparse_step": 2},
    {"model_type": "qwen3_moe", **DENSE, **EXPERTS, "num_experts": 8, "mlp_only_layers": [0, 2]},
    {"model_type": "falcon", **WIDTHS, "vocab_size": 512, "parallel_attn": False, "bias": True},
    {
        "model_type": "falcon",
        **WIDTHS,
        "vocab_size": 512,
        "num_kv_heads": 2,
        "new_decoder_architecture": True,
    },
]
"""Small configs of families and options that no model of the catalog has."""


def count(keys: dict[str, object]) -> int | None:
    """All parameters, and the learned balancing bias of experts, which Transformers keeps in a buffer."""
    keys = {**keys, **keys.get("text_config", {})}
    model_type = SAME_CODE.get(keys["model_type"], keys["model_type"])
    if model_type not in transformers.CONFIG_MAPPING or model_type == "dbrx":
        return None  # dbrx: Transformers 5 can't build it without keys that its config.json lacks
    own = {"model_type", "architectures", "text_config", "_meshwright"}
    config = transformers.CONFIG_MAPPING[model_type](**{k: v for k, v in keys.items() if k not in own})
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    biases = (b.numel() for name, b in model.named_buffers() if name.endswith("e_score_correction_bias"))
    return sum(p.numel() for p in model.parameters()) + sum(biases)


def main() -> None:
    counts = {file.stem: count(json.loads(file.read_text())) for file in sorted(CATALOG.glob("*.json"))}
    known = {name: number for name, number in counts.items() if number is not None}
    counted_by = f"Hugging Face Transformers {transformers.__version__} on torch's meta device"
    small = [{"config": keys, "parameters": count(keys)} for keys in SMALL]
    OUTPUT.write_text(json.dumps({"counted_by": counted_by, "parameters": known, "small": small}, indent=2) + "\n")


if __name__ == "__main__":
    main()
