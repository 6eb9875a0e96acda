"""Llama and the dense families of its shape: norms without bias and a gated feed-forward block."""

from dataclasses import replace

from meshwright.cost_models.architecture import Architecture
from meshwright.planner.models.config import Config
from meshwright.planner.models.decoder import (
    Norms,
    decoder,
    read_attention,
    read_mlp,
    rms_norms,
    windowed,
)


def llama(config: Config) -> Architecture:
    """Llama, Mistral, Phi-3, Yi, InternLM, Baichuan, Granite: flags say which projections have biases."""
    bias = config.flag("attention_bias", "bias", default=False)
    attention = read_attention(config, qkv_bias=bias, output_bias=bias)
    mlp = read_mlp(config, bias=config.flag("mlp_bias", default=False))
    return decoder(config, windowed(config, attention), mlp, rms_norms(config))


def qwen(config: Config) -> Architecture:
    """Qwen (arXiv:2309.16609): biases on queries, keys and values; gate and up count as one width."""
    bias = not config.flag("no_bias", default=True)
    head_dim = config.optional_size("kv_channels")
    attention = read_attention(config, head_dim=head_dim, qkv_bias=True, output_bias=bias)
    both = read_mlp(config, bias=bias)
    mlp = replace(both, ffn_hidden=max(1, both.ffn_hidden // 2))
    return decoder(config, attention, mlp, rms_norms(config))


def qwen2(config: Config) -> Architecture:
    """Qwen2 (arXiv:2407.10671): biases on queries, keys, values; past `max_window_layers` maybe a window."""
    attention = read_attention(config, qkv_bias=True)
    mixers = windowed(config, attention, default=False)
    first_windowed = min(config.count("max_window_layers"), len(mixers))
    mixers[:first_windowed] = [attention] * first_windowed
    return decoder(config, mixers, read_mlp(config), rms_norms(config))


def qwen3(config: Config) -> Architecture:
    """Qwen3 (arXiv:2505.09388): norms on query and key heads instead of biases."""
    bias = config.flag("attention_bias", default=False)
    attention = read_attention(config, head_norm=True, qkv_bias=bias, output_bias=bias)
    return decoder(config, windowed(config, attention, default=False), read_mlp(config), rms_norms(config))


def olmo(config: Config) -> Architecture:
    """OLMo (arXiv:2402.00838): norms have no parameters."""
    return decoder(config, read_attention(config), read_mlp(config), Norms(params=0))


def olmo2(config: Config) -> Architecture:
    """OLMo 2 (arXiv:2501.00656): norms after the blocks, and over all queries and all keys together."""
    attention = read_attention(config)
    attention = replace(attention, qk_norm_params=attention.query_dim + attention.kv_dim)
    return decoder(config, windowed(config, attention), read_mlp(config), rms_norms(config))


def cohere(config: Config) -> Architecture:
    """Command R: both blocks side by side after one norm; some sizes have norms on every head."""
    bias = config.flag("attention_bias", default=False)
    attention = read_attention(config, qkv_bias=bias, output_bias=bias)
    if config.flag("use_qk_norm", default=False):
        attention = replace(attention, qk_norm_params=attention.query_dim + attention.kv_dim)
    mixers = windowed(config, attention, full_every=config.size("sliding_window_pattern", default=4))
    return decoder(config, mixers, read_mlp(config), rms_norms(config, per_layer=1), tied=True)


def glm(config: Config) -> Architecture:
    """GLM-4 (arXiv:2406.12793): biases on queries, keys and values."""
    attention = read_attention(config, qkv_bias=config.flag("attention_bias", default=True))
    return decoder(config, attention, read_mlp(config), rms_norms(config))


def glm4(config: Config) -> Architecture:
    """GLM-4-0414: GLM-4 with norms around each block."""
    attention = read_attention(config, qkv_bias=config.flag("attention_bias", default=False))
    return decoder(config, attention, read_mlp(config), rms_norms(config, per_layer=4))


def chatglm(config: Config) -> Architecture:
    """ChatGLM2, ChatGLM3 and GLM-4 in their own key names."""
    multi_query = config.flag("multi_query_attention", default=False)
    attention = read_attention(
        config,
        kv_heads=config.size("multi_query_group_num") if multi_query else None,
        head_dim=config.optional_size("kv_channels"),
        qkv_bias=config.flag("add_qkv_bias", "add_bias_linear", default=False),
    )
    return decoder(config, attention, read_mlp(config), rms_norms(config))
