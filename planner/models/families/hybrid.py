"""Hybrids: layers with attention beside layers with a recurrent state."""

from dataclasses import replace
from typing import Final

from meshwright.cost_models.architecture import Architecture, Mixer, Mlp, StateSpace
from meshwright.planner.models.config import Config, short
from meshwright.planner.models.decoder import (
    decoder,
    num_layers,
    read_attention,
    read_mlp,
    read_moe,
    rms_norms,
)
from meshwright.planner.models.families.moe import sparse_where_stepped

BLOCK_LETTERS: Final = "M*-E"
"""Nemotron-H's letters: Mamba-2 mixer, attention, dense feed-forward block, mixture of experts."""


def nemotron_h(config: Config) -> Architecture:
    """Nemotron-H (arXiv:2504.03624): each layer is a single block, as `hybrid_override_pattern` spells it."""
    pattern = _pattern(config)
    if config.has("moe_latent_size"):
        config.problem("moe_latent_size (experts in a narrower stream) isn't supported")
    bias = config.flag("mlp_bias", default=False)
    mixers: dict[str, Mixer] = {}
    mlps: dict[str, Mlp] = {}
    if "M" in pattern:
        mixers["M"] = _mamba2(config)
    if "*" in pattern:
        mixers["*"] = read_attention(config)
    if "-" in pattern:
        mlps["-"] = read_mlp(config, gated=False, bias=bias)
    if "E" in pattern:
        shared = config.size("moe_shared_expert_intermediate_size")
        mlps["E"] = read_moe(
            config,
            "moe_intermediate_size",
            shared_ffn_hidden=shared,
            gated=False,
            bias=bias,
            router_bias=True,
        )
    norms = rms_norms(config, per_layer=1)
    return decoder(
        config, [mixers.get(kind) for kind in pattern], [mlps.get(kind) for kind in pattern], norms
    )


def _pattern(config: Config) -> str:
    depth, pattern = num_layers(config), config.keys.get("hybrid_override_pattern")
    if isinstance(pattern, str) and len(pattern) == depth and set(pattern) <= set(BLOCK_LETTERS):
        return pattern
    rule = f"must spell the {depth} layers in the letters {' '.join(BLOCK_LETTERS)}"
    config.problem(f"hybrid_override_pattern {rule}, but is {short(pattern)}")
    return "-" * depth


def _mamba2(config: Config) -> StateSpace:
    return StateSpace(
        num_heads=config.size("mamba_num_heads"),
        head_dim=config.size("mamba_head_dim"),
        state_size=config.size("ssm_state_size"),
        num_groups=config.size("n_groups"),
        conv_kernel=config.size("conv_kernel"),
    )


def qwen3_next(config: Config) -> Architecture:
    """Qwen3-Next: three gated delta nets (arXiv:2412.06464) to one gated attention; experts throughout."""
    depth = num_layers(config)
    attention = replace(read_attention(config, head_norm=True), output_gate=True)
    delta_net = StateSpace(
        num_heads=config.size("linear_num_value_heads"),
        head_dim=config.size("linear_value_head_dim"),
        state_size=config.size("linear_key_head_dim"),
        num_groups=config.size("linear_num_key_heads"),
        conv_kernel=config.size("linear_conv_kernel_dim"),
        delta_rule=True,
    )
    every = config.size("full_attention_interval", default=4)
    kinds = config.words("layer_types", ("linear_attention", "full_attention"), depth)
    is_full = (
        [kind == "full_attention" for kind in kinds]
        if kinds
        else [(i + 1) % every == 0 for i in range(depth)]
    )
    shared = config.size("shared_expert_intermediate_size")
    moe = read_moe(config, "moe_intermediate_size", shared_ffn_hidden=shared, shared_gate=True)
    mixers: list[Mixer] = [attention if full else delta_net for full in is_full]
    return decoder(config, mixers, sparse_where_stepped(config, moe), rms_norms(config))
