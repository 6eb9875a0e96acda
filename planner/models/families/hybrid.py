"""Hybrids: layers with attention beside layers with a recurrent state."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from meshwright.cost_models.architecture import Architecture, Mixer, Mlp, MoeMlp, StateSpace
from meshwright.planner.models.config import Config, short
from meshwright.planner.models.decoder import (
    EXPERTS,
    decoder,
    num_layers,
    read_attention,
    read_mlp,
    read_moe,
    rms_norms,
)
from meshwright.planner.models.families.moe import sparse_where_stepped

BLOCK_OF_LETTER: Final = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
"""Nemotron-H's letters for the only block of a layer, and its newer words for them."""


def nemotron_h(config: Config) -> Architecture:
    """Nemotron-H (arXiv:2504.03624): each layer is a single block."""
    blocks = _nemotron_blocks(config)
    if config.has("moe_latent_size"):
        config.problem("moe_latent_size (experts in a narrower stream) isn't supported")
    mixers: dict[str, Mixer] = {}
    mlps: dict[str, Mlp] = {}
    if "mamba" in blocks:
        mixers["mamba"] = _mamba2(config)
    if "attention" in blocks:
        mixers["attention"] = read_attention(config)
    if "mlp" in blocks:
        mlps["mlp"] = read_mlp(config, gated=False, bias=config.flag("mlp_bias", default=False))
    if "moe" in blocks:
        mlps["moe"] = _nemotron_moe(config)
    mixer_of, mlp_of = [mixers.get(block) for block in blocks], [mlps.get(block) for block in blocks]
    return decoder(config, mixer_of, mlp_of, rms_norms(config, per_layer=1))


def _nemotron_blocks(config: Config) -> Sequence[str]:
    depth, words = num_layers(config), tuple(BLOCK_OF_LETTER.values())
    if config.has("layers_block_type"):
        return config.words("layers_block_type", words, depth) or ["mlp"] * depth
    pattern = config.keys.get("hybrid_override_pattern")
    if isinstance(pattern, str) and len(pattern) == depth and set(pattern) <= set(BLOCK_OF_LETTER):
        return [BLOCK_OF_LETTER[letter] for letter in pattern]
    rule = f"must spell the {depth} layers in the letters {' '.join(BLOCK_OF_LETTER)}"
    config.problem(f"hybrid_override_pattern {rule}, but is {short(pattern)}")
    return ["mlp"] * depth


def _mamba2(config: Config) -> StateSpace:
    return StateSpace(
        num_heads=config.size("mamba_num_heads"),
        head_dim=config.size("mamba_head_dim"),
        state_size=config.size("ssm_state_size"),
        num_groups=config.size("n_groups"),
        conv_kernel=config.size("conv_kernel"),
    )


def _nemotron_moe(config: Config) -> MoeMlp:
    return read_moe(
        config,
        "moe_intermediate_size",
        shared_ffn_hidden=config.size("moe_shared_expert_intermediate_size"),
        gated=False,
        bias=config.flag("mlp_bias", default=False),
        router_bias=True,
    )


def qwen3_next(config: Config) -> Architecture:
    """Qwen3-Next and Qwen3.5: three gated delta nets (arXiv:2412.06464) to one gated attention."""
    depth = num_layers(config)
    attention = replace(read_attention(config, head_norm=True), output_gate=True)
    delta_net = _delta_net(config)
    every = config.size("full_attention_interval", default=4)
    kinds = config.words("layer_types", ("linear_attention", "full_attention"), depth)
    if kinds is None:
        kinds = ["linear_attention" if (i + 1) % every else "full_attention" for i in range(depth)]
    mixers: list[Mixer] = [attention if kind == "full_attention" else delta_net for kind in kinds]
    return decoder(config, mixers, _qwen3_next_mlps(config), rms_norms(config))


def _delta_net(config: Config) -> StateSpace:
    return StateSpace(
        num_heads=config.size("linear_num_value_heads"),
        head_dim=config.size("linear_value_head_dim"),
        state_size=config.size("linear_key_head_dim"),
        num_groups=config.size("linear_num_key_heads"),
        conv_kernel=config.size("linear_conv_kernel_dim"),
        delta_rule=True,
    )


def _qwen3_next_mlps(config: Config) -> Mlp | Sequence[Mlp]:
    if not config.has(*EXPERTS):
        return read_mlp(config)
    shared = config.size("shared_expert_intermediate_size")
    moe = read_moe(config, "moe_intermediate_size", shared_ffn_hidden=shared, shared_gate=True)
    return sparse_where_stepped(config, moe)
