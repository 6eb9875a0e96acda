"""A model as a list of layers: the widths that decide its bytes and its FLOP.

Every layer is described by itself, so hybrids (attention beside state space) and mixed dense/MoE models
need no special case; `Architecture.layer_kinds` groups equal layers for the vectorised cost models.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Attention:
    """Multi-head, grouped-query or multi-query attention.

    Attributes:
        num_heads: Query heads.
        num_kv_heads: Key/value heads (equal to `num_heads` for multi-head attention).
        head_dim: Width of one query, key and value head.
        window: Sliding-window or chunk length in tokens; None attends to the whole sequence.
        qkv_bias: Whether the query, key and value projections have biases.
        output_bias: Whether the output projection has a bias.
        qk_norm_params: Parameters of the query and key norms of one layer.
        sinks: Whether every head has a learned attention sink (GPT-OSS).
        output_gate: Whether a gate as wide as the queries multiplies the output (Qwen3-Next).
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    window: int | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm_params: int = 0
    sinks: bool = False
    output_gate: bool = False

    @property
    def query_dim(self) -> int:
        """Width of all queries together."""
        return self.num_heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all keys together; the values are as wide."""
        return self.num_kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (MLA; DeepSeek-V2, arXiv:2405.04434, §2.1).

    Attributes:
        num_heads: Heads.
        q_lora_rank: Width of the compressed queries; None projects queries directly.
        kv_lora_rank: Width of the compressed keys and values.
        qk_nope_head_dim: Width of the part of a query/key head without rotary embedding.
        qk_rope_head_dim: Width of the rotary part; its key is shared by all heads.
        v_head_dim: Width of a value head.
    """

    num_heads: int
    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int

    @property
    def qk_head_dim(self) -> int:
        """Width of one query or key head, both parts."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim


@dataclass(frozen=True, slots=True)
class StateSpace:
    """A Mamba-2 mixer (arXiv:2405.21060) or its sister, the gated delta net (arXiv:2412.06464).

    Attributes:
        num_heads: State-space heads (a delta net's value heads).
        head_dim: Channels of one head; `num_heads * head_dim` is the inner width.
        state_size: State per channel (a delta net's key width).
        num_groups: Groups that share B and C (a delta net's key heads).
        conv_kernel: Length of the causal convolution.
        delta_rule: Whether the state forgets by the gated delta rule (Qwen3-Next).
    """

    num_heads: int
    head_dim: int
    state_size: int
    num_groups: int
    conv_kernel: int
    delta_rule: bool = False

    @property
    def inner_dim(self) -> int:
        """Width of the mixer's inner stream."""
        return self.num_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class DenseMlp:
    """A feed-forward block that every token passes.

    Attributes:
        ffn_hidden: Inner width.
        gated: Whether a gate projection as wide as the up projection multiplies it (SwiGLU, GeGLU).
        bias: Whether the projections have biases.
    """

    ffn_hidden: int
    gated: bool = True
    bias: bool = False

    @property
    def num_projections(self) -> int:
        """Matrices of the block: gate, up, down or up, down."""
        return 3 if self.gated else 2


@dataclass(frozen=True, slots=True)
class MoeMlp:
    """A mixture of experts: a router sends every token to `top_k` of `num_experts`.

    Attributes:
        num_experts: Routed experts.
        top_k: Routed experts that a token visits.
        expert_ffn_hidden: Inner width of one routed expert.
        shared_ffn_hidden: Inner width of all shared experts together; 0 if there are none.
        gated: Whether experts have a gate projection.
        bias: Whether the experts' projections have biases.
        router_bias: Whether the router has a bias (also: a learned balancing bias).
        shared_gate: Whether a learned scalar gates the shared expert (Qwen2-MoE).
        num_groups: Groups that the experts are divided into; a token stays within some of them (DeepSeek-V2
            arXiv:2405.04434, §2.2.2).
        top_k_groups: How many of them.
    """

    num_experts: int
    top_k: int
    expert_ffn_hidden: int
    shared_ffn_hidden: int = 0
    gated: bool = True
    bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False
    num_groups: int = 1
    top_k_groups: int = 1

    @property
    def num_projections(self) -> int:
        """Matrices of one expert: gate, up, down or up, down."""
        return 3 if self.gated else 2


Mixer = Attention | LatentAttention | StateSpace
Mlp = DenseMlp | MoeMlp


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: a mixer over tokens and a feed-forward block; a hybrid's layer may lack either.

    Attributes:
        mixer: Attention or state space, or None.
        mlp: Feed-forward block, or None.
        norm_params: Parameters of all norms of the layer (query/key norms are the attention's own).
        num_norms: How many norms over the hidden width run in the layer.
    """

    mixer: Mixer | None
    mlp: Mlp | None
    norm_params: int
    num_norms: int = 2


@dataclass(frozen=True)
class Architecture:
    """A decoder-only transformer (or hybrid) as training sees it.

    Attributes:
        name: What reports call it.
        hidden: Width of the residual stream.
        vocab: Rows of the embedding table as published (unpadded).
        layers: The layers in order, without multi-token-prediction layers.
        tied_embeddings: Whether the output layer reuses the embedding table.
        max_seq_len: Longest sequence it was made for; None if unbounded or unknown.
        learned_positions: Rows of a learned position table; 0 for rotary, ALiBi or none.
        embedding_norm_params: Parameters of a norm right after the embedding (BLOOM).
        final_norm_params: Parameters of the norm before the output layer.
        lm_head_bias: Whether the output layer has a bias.
        mtp_layers: Multi-token-prediction layers (DeepSeek-V3), each with its own 2·hidden -> hidden projection
            and norms; they run after the last layer and share the embedding and the output layer.
    """

    name: str
    hidden: int
    vocab: int
    layers: tuple[Layer, ...]
    tied_embeddings: bool = False
    max_seq_len: int | None = None
    learned_positions: int = 0
    embedding_norm_params: int = 0
    final_norm_params: int = 0
    lm_head_bias: bool = False
    mtp_layers: tuple[Layer, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.hidden, self.vocab, self.layers, self.mtp_layers))

    def __hash__(self) -> int:  # computed once: caches look architectures up for every table of candidates
        return self._hash

    @property
    def num_layers(self) -> int:
        """Layers without multi-token-prediction layers."""
        return len(self.layers)

    @cached_property
    def layer_kinds(self) -> tuple[Layer, ...]:
        """The distinct layers, in order of first appearance (MTP layers last)."""
        return tuple(Counter(self.layers + self.mtp_layers))

    @cached_property
    def layer_kind_index(self) -> tuple[int, ...]:
        """For every layer, the index of its kind in `layer_kinds`."""
        kind_of = {kind: index for index, kind in enumerate(self.layer_kinds)}
        return tuple(kind_of[layer] for layer in self.layers)

    @property
    def is_moe(self) -> bool:
        """Whether any layer has routed experts."""
        return any(isinstance(kind.mlp, MoeMlp) for kind in self.layer_kinds)

    @property
    def num_experts(self) -> int:
        """Routed experts of the MoE layers; 0 for a dense model."""
        return max((kind.mlp.num_experts for kind in self.layer_kinds if isinstance(kind.mlp, MoeMlp)), default=0)
