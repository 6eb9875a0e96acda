"""DeepSeek and its descendants: dense first layers, shared experts, latent attention, MTP."""

from dataclasses import replace

from meshwright.cost_models.architecture import Architecture, Attention, LatentAttention, Layer, MoeMlp
from meshwright.planner.models.config import Config
from meshwright.planner.models.decoder import (
    EXPERTS,
    HEADS,
    MOST_LAYERS,
    decoder,
    num_layers,
    read_attention,
    read_mlp,
    read_moe,
    rms_norms,
)


def deepseek(config: Config) -> Architecture:
    """DeepSeekMoE (arXiv:2401.06066): plain attention with fine-grained and shared experts."""
    bias = config.flag("attention_bias", default=False)
    return dense_then_sparse(config, read_attention(config, qkv_bias=bias, output_bias=bias), router_bias=False)


def deepseek_v2(config: Config) -> Architecture:
    """DeepSeek-V2 (arXiv:2405.04434): multi-head latent attention."""
    return dense_then_sparse(config, read_latent_attention(config), router_bias=False)


def deepseek_v3(config: Config) -> Architecture:
    """DeepSeek-V3 (arXiv:2412.19437), Kimi K2: a learned balancing bias and multi-token prediction."""
    return dense_then_sparse(config, read_latent_attention(config), router_bias=True)


def glm4_moe(config: Config) -> Architecture:
    """GLM-4.5 (arXiv:2508.06471): DeepSeek-V3's layers with grouped-query attention."""
    qkv_bias = config.flag("attention_bias", default=False)
    head_norm = config.flag("use_qk_norm", default=False)
    attention = read_attention(config, qkv_bias=qkv_bias, head_norm=head_norm)
    return dense_then_sparse(config, attention, router_bias=True)


def read_latent_attention(config: Config) -> LatentAttention:
    """Multi-head latent attention; without `q_lora_rank` queries aren't compressed."""
    if config.flag("attention_bias", default=False):
        config.problem("attention_bias isn't supported together with latent attention")
    return LatentAttention(
        num_heads=config.size(*HEADS),
        q_lora_rank=config.optional_size("q_lora_rank"),
        kv_lora_rank=config.size("kv_lora_rank"),
        qk_nope_head_dim=config.size("qk_nope_head_dim"),
        qk_rope_head_dim=config.size("qk_rope_head_dim"),
        v_head_dim=config.size("v_head_dim"),
    )


def dense_then_sparse(config: Config, mixer: Attention | LatentAttention, *, router_bias: bool) -> Architecture:
    """Dense layers up to `first_k_dense_replace`, then (and for MTP) experts in each `moe_layer_freq`-th."""
    depth, norms = num_layers(config), rms_norms(config)
    if not config.has(*EXPERTS):
        return decoder(config, mixer, read_mlp(config), norms)
    first, step = config.count("first_k_dense_replace"), config.size("moe_layer_freq", default=1)
    moe = _read_experts(config, router_bias=router_bias)
    dense = read_mlp(config) if first or step > 1 else moe
    mlps = [moe if i >= first and i % step == 0 else dense for i in range(depth)]
    mtp = Layer(mixer, moe, norms.params * norms.per_layer, norms.per_layer)
    num_mtp = config.count("num_nextn_predict_layers", at_most=MOST_LAYERS)
    return replace(decoder(config, mixer, mlps, norms), mtp_layers=(mtp,) * num_mtp)


def _read_experts(config: Config, *, router_bias: bool) -> MoeMlp:
    width = config.size("moe_intermediate_size")
    shared = config.count("n_shared_experts") * width
    return read_moe(config, "moe_intermediate_size", shared_ffn_hidden=shared, router_bias=router_bias)
