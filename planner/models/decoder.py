"""The parts that decoders of most families share, read by the key names that their configs have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshwright.cost_models.architecture import Architecture, Attention, DenseMlp, Layer, Mixer, Mlp, MoeMlp
from meshwright.planner.models.config import Config

HIDDEN: Final = ("hidden_size", "n_embd", "n_embed", "d_model")
HEADS: Final = ("num_attention_heads", "n_head", "n_heads")
LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
FFN: Final = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")
VOCAB: Final = ("vocab_size", "padded_vocab_size")
POSITIONS: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
)
EXPERTS: Final = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
TOP_K: Final = ("num_experts_per_tok", "num_selected_experts", "moe_top_k")

MOST_LAYERS: Final = 10_000
"""Far above the deepest published model; a list of more layers than this is a typing error."""

ATTENTION_KINDS: Final = {"full_attention": False, "sliding_attention": True, "chunked_attention": True}
"""Words of Hugging Face's `layer_types`, and whether that attention has a window."""


@dataclass(frozen=True, slots=True)
class Norms:
    """The norms of a family.

    Attributes:
        params: Parameters of one norm over the hidden width.
        per_layer: How many of them a layer has.
    """

    params: int
    per_layer: int = 2


def rms_norms(config: Config, per_layer: int = 2) -> Norms:
    """RMSNorm (arXiv:1910.07467), or LayerNorm without bias: a scale for every channel."""
    return Norms(hidden_size(config), per_layer)


def layer_norms(config: Config, per_layer: int = 2) -> Norms:
    """LayerNorm (arXiv:1607.06450): a scale and a bias for every channel."""
    return Norms(2 * hidden_size(config), per_layer)


def hidden_size(config: Config) -> int:
    """Width of the residual stream."""
    return config.size(*HIDDEN)


def num_layers(config: Config) -> int:
    """Layers without multi-token-prediction layers."""
    return config.size(*LAYERS, at_most=MOST_LAYERS)


def read_attention(
    config: Config,
    *,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    qkv_bias: bool = False,
    output_bias: bool = False,
    head_norm: bool = False,
) -> Attention:
    """Multi-head or grouped-query attention.

    Args:
        config: The model's keys.
        kv_heads: Key/value heads; by default `num_key_value_heads`, or as many as query heads.
        head_dim: Width of a head; by default `head_dim`, or the hidden width over the heads.
        qkv_bias: Whether queries, keys and values have biases.
        output_bias: Whether the output projection has a bias.
        head_norm: Whether queries and keys pass a norm over one head's width, shared by all heads.
    """
    problems_before = len(config.problems)
    hidden, heads = hidden_size(config), config.size(*HEADS)
    kv_heads = kv_heads or config.size("num_key_value_heads", default=heads)
    head_dim = head_dim or config.optional_size("head_dim", "attention_head_dim")
    if len(config.problems) == problems_before:
        rule = "num_attention_heads % num_key_value_heads == 0"
        fits = heads % kv_heads == 0
        config.require(that=fits, rule=rule, num_attention_heads=heads, num_key_value_heads=kv_heads)
        fits = head_dim is not None or hidden % heads == 0
        rule = f"{HIDDEN[0]} % {HEADS[0]} == 0"
        config.require(that=fits, rule=rule, hidden_size=hidden, num_attention_heads=heads)
    head_dim = head_dim or max(1, hidden // heads)
    return Attention(
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        qkv_bias=qkv_bias,
        output_bias=output_bias,
        qk_norm_params=2 * head_dim if head_norm else 0,
    )


def read_mlp(config: Config, *, gated: bool = True, bias: bool = False, times_hidden: int | None = None) -> DenseMlp:
    """A dense feed-forward block; `times_hidden` is its width over the hidden width where no key gives it."""
    default = times_hidden * hidden_size(config) if times_hidden else None
    return DenseMlp(config.size(*FFN, default=default), gated=gated, bias=bias)


def read_moe(
    config: Config,
    *ffn_keys: str,
    shared_ffn_hidden: int = 0,
    gated: bool = True,
    bias: bool = False,
    router_bias: bool = False,
    shared_gate: bool = False,
) -> MoeMlp:
    """A mixture of experts; `ffn_keys` name the width of one expert."""
    experts, top_k = config.size(*EXPERTS), config.size(*TOP_K)
    rule = "num_experts_per_tok <= num_experts"
    fits = top_k <= experts or experts == 1  # 1 stands in for a missing number
    config.require(that=fits, rule=rule, num_experts_per_tok=top_k, num_experts=experts)
    return MoeMlp(
        num_experts=experts,
        top_k=top_k,
        expert_ffn_hidden=config.size(*ffn_keys),
        shared_ffn_hidden=shared_ffn_hidden,
        gated=gated,
        bias=bias,
        router_bias=router_bias,
        shared_gate=shared_gate,
        num_groups=config.optional_size("n_group") or 1,
        top_k_groups=config.optional_size("topk_group") or 1,
    )


def windowed(config: Config, attention: Attention, *, full_every: int = 0, default: bool = True) -> list[Mixer]:
    """The attention of every layer, some of them with a sliding window or in chunks.

    Args:
        config: The model's keys: `layer_types` says which layers have the window.
        attention: What they all have in common.
        full_every: Without `layer_types`, every n-th layer attends to the whole sequence; 0 means none does.
        default: Whether the window holds where `use_sliding_window` isn't given.
    """
    depth = num_layers(config)
    window = config.optional_size("sliding_window", "attention_chunk_size")
    kinds = config.words("layer_types", tuple(ATTENTION_KINDS), depth)
    if window is None or not config.flag("use_sliding_window", default=default):
        return [attention] * depth
    if kinds is not None:
        has_window = [ATTENTION_KINDS[kind] for kind in kinds]
    else:
        has_window = [not full_every or (index + 1) % full_every != 0 for index in range(depth)]
    local = replace(attention, window=window)
    return [local if narrow else attention for narrow in has_window]


def decoder(
    config: Config,
    mixers: Mixer | Sequence[Mixer | None],
    mlps: Mlp | Sequence[Mlp | None],
    norms: Norms,
    *,
    tied: bool = False,
) -> Architecture:
    """Layers with equal norms between an embedding and an output layer; rarer parts are added with `replace`.

    Args:
        config: The model's keys.
        mixers: The mixer of each layer, or the one that all have.
        mlps: The feed-forward block of each layer, or the one that all have.
        norms: The norms of a layer; one more stands before the output layer.
        tied: Whether the output layer reuses the embedding table where `tie_word_embeddings` isn't given.
    """
    depth = num_layers(config)
    mixer_of = mixers if isinstance(mixers, Sequence) else [mixers] * depth
    mlp_of = mlps if isinstance(mlps, Sequence) else [mlps] * depth
    params = norms.params * norms.per_layer
    blocks = zip(mixer_of, mlp_of, strict=True)
    return Architecture(
        name=config.name,
        hidden=hidden_size(config),
        vocab=config.size(*VOCAB),
        layers=tuple(Layer(mixer, mlp, params, norms.per_layer) for mixer, mlp in blocks),
        tied_embeddings=config.flag("tie_word_embeddings", default=tied),
        max_seq_len=config.optional_size(*POSITIONS),
        final_norm_params=norms.params,
    )
