"""GPT-2 and its descendants: LayerNorm and a feed-forward block without a gate."""

from dataclasses import replace

from meshwright.cost_models.architecture import Architecture
from meshwright.planner.models.config import Config
from meshwright.planner.models.decoder import (
    HEADS,
    decoder,
    hidden_size,
    layer_norms,
    read_attention,
    read_mlp,
    rms_norms,
    windowed,
)

OPT_POSITION_OFFSET = 2
"""OPT's position table starts with two rows for padding (Hugging Face's `OPTLearnedPositionalEmbedding`)."""


def gpt2(config: Config) -> Architecture:
    """GPT-2 and GPT-3 (arXiv:2005.14165): learned positions, biases everywhere."""
    attention = read_attention(config, qkv_bias=True, output_bias=True)
    mlp = read_mlp(config, gated=False, bias=True, times_hidden=4)
    positions = config.size("n_positions", "n_ctx")
    return replace(decoder(config, attention, mlp, layer_norms(config), tied=True), learned_positions=positions)


def gpt_neox(config: Config) -> Architecture:
    """GPT-NeoX-20B (arXiv:2204.06745) and Pythia: biases everywhere but on the output layer."""
    bias = config.flag("attention_bias", default=True)
    attention = read_attention(config, qkv_bias=bias, output_bias=bias)
    return decoder(config, attention, read_mlp(config, gated=False, bias=True), layer_norms(config))


def gptj(config: Config) -> Architecture:
    """GPT-J-6B: attention and feed-forward block side by side after one norm; the output layer has a bias."""
    mlp = read_mlp(config, gated=False, bias=True, times_hidden=4)
    architecture = decoder(config, read_attention(config), mlp, layer_norms(config, per_layer=1))
    return replace(architecture, lm_head_bias=True)


def phi(config: Config) -> Architecture:
    """Phi-1, Phi-1.5 (arXiv:2309.05463), Phi-2: as GPT-J, with biases everywhere."""
    attention = read_attention(config, qkv_bias=True, output_bias=True)
    mlp = read_mlp(config, gated=False, bias=True, times_hidden=4)
    return replace(decoder(config, attention, mlp, layer_norms(config, per_layer=1)), lm_head_bias=True)


def opt(config: Config) -> Architecture:
    """OPT (arXiv:2205.01068): learned positions, biases everywhere."""
    bias = config.flag("enable_bias", default=True)
    attention = read_attention(config, qkv_bias=bias, output_bias=bias)
    mlp = read_mlp(config, gated=False, bias=bias)
    positions = config.size("max_position_embeddings") + OPT_POSITION_OFFSET
    embedding_width = config.size("word_embed_proj_dim", default=hidden_size(config))
    if embedding_width != hidden_size(config) or not config.flag("do_layer_norm_before", default=True):
        config.problem("an embedding projected to another width (OPT-350M) isn't supported")
    return replace(decoder(config, attention, mlp, layer_norms(config), tied=True), learned_positions=positions)


def bloom(config: Config) -> Architecture:
    """BLOOM (arXiv:2211.05100): a norm after the embedding, biases everywhere."""
    attention = read_attention(config, qkv_bias=True, output_bias=True)
    mlp = read_mlp(config, gated=False, bias=True, times_hidden=4)
    norms = layer_norms(config)
    return replace(decoder(config, attention, mlp, norms, tied=True), embedding_norm_params=norms.params)


def mpt(config: Config) -> Architecture:
    """MPT: no biases, by default not even in the norms."""
    bias = not config.flag("no_bias", default=True)
    attention_keys = config.section("attn_config")
    attention = read_attention(
        config, kv_heads=attention_keys.optional_size("kv_n_heads"), qkv_bias=bias, output_bias=bias
    )
    mlp = read_mlp(config, gated=False, bias=bias, times_hidden=config.size("expansion_ratio", default=4))
    norms = layer_norms(config) if bias else rms_norms(config)
    alibi = attention_keys.flag("alibi", default=False)
    learned = config.flag("learned_pos_emb", default=True) and not alibi
    positions = config.size("max_seq_len") if learned else 0
    return replace(decoder(config, attention, mlp, norms, tied=True), learned_positions=positions)


def falcon(config: Config) -> Architecture:
    """Falcon (arXiv:2311.16867): multi-query (7B) or grouped (40B, 180B), blocks side by side."""
    grouped = config.flag("new_decoder_architecture", default=False)
    heads = config.size(*HEADS)
    one = 1 if config.flag("multi_query", default=True) else heads
    kv_heads = config.size("num_kv_heads", "n_head_kv", default=heads) if grouped else one
    bias = config.flag("bias", default=False)
    attention = read_attention(config, kv_heads=kv_heads, qkv_bias=bias, output_bias=bias)
    mlp = read_mlp(config, gated=False, bias=bias, times_hidden=4)
    if grouped:
        per_layer = config.size("num_ln_in_parallel_attn", default=2)
    else:
        per_layer = 1 if config.flag("parallel_attn", default=True) else 2
    return decoder(config, attention, mlp, layer_norms(config, per_layer), tied=True)


def starcoder2(config: Config) -> Architecture:
    """StarCoder2 (arXiv:2402.19173): grouped-query attention with a window, biases everywhere."""
    bias = config.flag("use_bias", default=True)
    attention = read_attention(config, qkv_bias=bias, output_bias=bias)
    mlp = read_mlp(config, gated=False, bias=bias)
    return decoder(config, windowed(config, attention), mlp, layer_norms(config), tied=True)


def nemotron(config: Config) -> Architecture:
    """Nemotron-4 (arXiv:2402.16819) and Minitron: grouped queries, squared ReLU, no biases outside norms."""
    bias = config.flag("attention_bias", default=False)
    attention = read_attention(config, qkv_bias=bias, output_bias=bias)
    mlp = read_mlp(config, gated=False, bias=config.flag("mlp_bias", default=False))
    return decoder(config, attention, mlp, layer_norms(config))
