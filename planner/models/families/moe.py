"""Mixtures of experts with multi-head or grouped-query attention."""

from collections.abc import Sequence
from dataclasses import replace

from meshwright.cost_models.architecture import Architecture, Mlp
from meshwright.planner.models.config import Config
from meshwright.planner.models.decoder import (
    decoder,
    layer_norms,
    num_layers,
    read_attention,
    read_mlp,
    read_moe,
    rms_norms,
    windowed,
)


def mixtral(config: Config) -> Architecture:
    """Mixtral (arXiv:2401.04088): Mistral with experts in every layer."""
    mlp = read_moe(config, "intermediate_size")
    return decoder(config, windowed(config, read_attention(config)), mlp, rms_norms(config))


def minimax_m2(config: Config) -> Architecture:
    """MiniMax-M2: norms over all queries and all keys together, a learned balancing bias."""
    attention = read_attention(config)
    attention = replace(attention, qk_norm_params=attention.query_dim + attention.kv_dim)
    moe = read_moe(config, "intermediate_size", router_bias=True)
    return decoder(config, windowed(config, attention), moe, rms_norms(config))


def qwen2_moe(config: Config) -> Architecture:
    """Qwen1.5-MoE and Qwen2-MoE (arXiv:2407.10671): a gated shared expert beside the routed ones."""
    shared = config.size("shared_expert_intermediate_size")
    moe = read_moe(config, "moe_intermediate_size", shared_ffn_hidden=shared, shared_gate=True)
    mixers = windowed(config, read_attention(config, qkv_bias=True), default=False)
    return decoder(config, mixers, sparse_where_stepped(config, moe), rms_norms(config))


def qwen3_moe(config: Config) -> Architecture:
    """Qwen3-MoE (arXiv:2505.09388): norms on heads, no shared expert."""
    moe = read_moe(config, "moe_intermediate_size")
    bias = config.flag("attention_bias", default=False)
    attention = read_attention(config, head_norm=True, qkv_bias=bias, output_bias=bias)
    mixers = windowed(config, attention, default=False)
    return decoder(config, mixers, sparse_where_stepped(config, moe), rms_norms(config))


def sparse_where_stepped(config: Config, moe: Mlp) -> Sequence[Mlp]:
    """Qwen's rule: experts in every `decoder_sparse_step`-th layer that isn't one of `mlp_only_layers`."""
    step = config.size("decoder_sparse_step", default=1)
    dense_layers = config.keys.get("mlp_only_layers") or []
    if not isinstance(dense_layers, list):
        config.problem(f"mlp_only_layers must be a list of layer numbers, but is {dense_layers!r}")
        dense_layers = []
    sparse = [(i + 1) % step == 0 and i not in dense_layers for i in range(num_layers(config))]
    if all(sparse):
        return [moe] * len(sparse)
    dense = read_mlp(config)
    return [moe if has_experts else dense for has_experts in sparse]


def olmoe(config: Config) -> Architecture:
    """OLMoE (arXiv:2409.02060): norms over all queries and all keys together."""
    attention = read_attention(config)
    attention = replace(attention, qk_norm_params=attention.query_dim + attention.kv_dim)
    return decoder(config, attention, read_moe(config, "intermediate_size"), rms_norms(config))


def phimoe(config: Config) -> Architecture:
    """Phi-3.5-MoE (arXiv:2404.14219): LayerNorm, biases on attention and on the output layer."""
    bias = config.flag("attention_bias", default=False)
    attention = read_attention(config, qkv_bias=bias, output_bias=bias)
    mixers, moe = windowed(config, attention), read_moe(config, "intermediate_size")
    architecture = decoder(config, mixers, moe, layer_norms(config))
    return replace(architecture, lm_head_bias=config.flag("lm_head_bias", default=False))


def gpt_oss(config: Config) -> Architecture:
    """GPT-OSS (arXiv:2508.10925): attention sinks, biases everywhere, a window in every other layer."""
    bias = config.flag("attention_bias", default=True)
    attention = replace(read_attention(config, qkv_bias=bias, output_bias=bias), sinks=True)
    moe = read_moe(config, "intermediate_size", bias=True, router_bias=True)
    return decoder(config, windowed(config, attention, full_every=2), moe, rms_norms(config))


def dbrx(config: Config) -> Architecture:
    """DBRX: sixteen fine-grained experts; attention and experts have key groups of their own."""
    attention_keys, ffn_keys = config.section("attn_config"), config.section("ffn_config")
    attention = read_attention(config, kv_heads=attention_keys.optional_size("kv_n_heads"))
    moe = read_moe(ffn_keys, "ffn_hidden_size")
    return decoder(config, attention, moe, rms_norms(config))


def grok(config: Config) -> Architecture:
    """Grok-1: norms around each block, a tied embedding."""
    moe = read_moe(config, "intermediate_size")
    return decoder(config, read_attention(config), moe, rms_norms(config, per_layer=4), tied=True)


def llama4(config: Config) -> Architecture:
    """Llama 4: a shared expert beside the routed ones; three layers in four attend within chunks."""
    step = config.size("interleave_moe_layer_step", default=1)
    moe = read_moe(config, "intermediate_size", shared_ffn_hidden=config.size("intermediate_size"))
    dense = moe if step == 1 else replace(read_mlp(config), ffn_hidden=config.size("intermediate_size_mlp"))
    mlps = [moe if (i + 1) % step == 0 else dense for i in range(num_layers(config))]
    mixers = windowed(config, read_attention(config), full_every=config.size("no_rope_layer_interval", default=4))
    return decoder(config, mixers, mlps, rms_norms(config))
