"""Exact parameter counts, split by how tensor and expert parallelism divide them."""

from collections import Counter
from dataclasses import dataclass
from functools import singledispatch

from meshwright.cost_models.architecture import (
    Architecture,
    Attention,
    DenseMlp,
    LatentAttention,
    Layer,
    MoeMlp,
    StateSpace,
)


@dataclass(frozen=True, slots=True)
class ParameterCount:
    """Parameters of one layer (or part of it), by how they are divided.

    Attributes:
        sharded: Divided by the tensor-parallel degree.
        kv: Key and value projections: divided by tensor parallelism, but at most by the number of KV heads.
        replicated: Whole on every tensor-parallel rank: norms, router, MLA down projections, output biases.
        expert: Routed experts: divided by expert and expert-tensor parallelism.
    """

    sharded: int = 0
    kv: int = 0
    replicated: int = 0
    expert: int = 0

    def __add__(self, other: "ParameterCount") -> "ParameterCount":
        """Class by class."""
        return ParameterCount(
            sharded=self.sharded + other.sharded,
            kv=self.kv + other.kv,
            replicated=self.replicated + other.replicated,
            expert=self.expert + other.expert,
        )

    @property
    def total(self) -> int:
        """All classes together."""
        return self.sharded + self.kv + self.replicated + self.expert


@singledispatch
def block_parameters(block: object, hidden: int) -> ParameterCount:
    """Parameters of a mixer or feed-forward block on a residual stream `hidden` wide."""
    if block is None:
        return ParameterCount()
    raise TypeError(f"no parameter count for {type(block).__name__} (hidden={hidden})")


@block_parameters.register
def _(block: Attention, hidden: int) -> ParameterCount:
    queries = block.query_dim * (2 if block.output_gate else 1)
    sharded = hidden * queries + block.query_dim * hidden + (queries if block.qkv_bias else 0)
    sharded += block.num_heads if block.sinks else 0
    kv = 2 * block.kv_dim * (hidden + (1 if block.qkv_bias else 0))
    replicated = block.qk_norm_params + (hidden if block.output_bias else 0)
    return ParameterCount(sharded=sharded, kv=kv, replicated=replicated)


@block_parameters.register
def _(block: LatentAttention, hidden: int) -> ParameterCount:
    # DeepSeek-V2 (arXiv:2405.04434) eqs. 9-14; the compressions have norms and are whole on every rank.
    query_dim = block.num_heads * block.qk_head_dim
    sharded = block.kv_lora_rank * block.num_heads * (block.qk_nope_head_dim + block.v_head_dim)
    sharded += block.num_heads * block.v_head_dim * hidden
    replicated = hidden * (block.kv_lora_rank + block.qk_rope_head_dim) + block.kv_lora_rank
    if block.q_lora_rank is None:
        return ParameterCount(sharded=sharded + hidden * query_dim, replicated=replicated)
    sharded += block.q_lora_rank * query_dim
    replicated += hidden * block.q_lora_rank + block.q_lora_rank
    return ParameterCount(sharded=sharded, replicated=replicated)


@block_parameters.register
def _(block: StateSpace, hidden: int) -> ParameterCount:
    # Mamba-2: in_proj makes z, x, B, C, dt; the convolution runs over x, B, C; A, D, dt_bias are per head.
    if block.delta_rule:
        return _delta_net_parameters(block, hidden)
    groups_dim = 2 * block.num_groups * block.state_size
    in_proj = hidden * (2 * block.inner_dim + groups_dim + block.num_heads)
    conv = (block.inner_dim + groups_dim) * (block.conv_kernel + 1)
    sharded = in_proj + conv + 3 * block.num_heads + block.inner_dim + block.inner_dim * hidden
    return ParameterCount(sharded=sharded)


def _delta_net_parameters(block: StateSpace, hidden: int) -> ParameterCount:
    # Unlike Mamba-2: a second scalar per head (beta), no D, no convolution bias, one norm for all heads.
    keys_dim = 2 * block.num_groups * block.state_size
    in_proj = hidden * (2 * block.inner_dim + keys_dim + 2 * block.num_heads)
    conv = (block.inner_dim + keys_dim) * block.conv_kernel
    sharded = in_proj + conv + 2 * block.num_heads + block.inner_dim * hidden
    return ParameterCount(sharded=sharded, replicated=block.head_dim)


@block_parameters.register
def _(block: DenseMlp, hidden: int) -> ParameterCount:
    bias = (block.num_projections - 1) * block.ffn_hidden if block.bias else 0
    return ParameterCount(
        sharded=block.num_projections * hidden * block.ffn_hidden + bias,
        replicated=hidden if block.bias else 0,
    )


@block_parameters.register
def _(block: MoeMlp, hidden: int) -> ParameterCount:
    bias = (block.num_projections - 1) * block.expert_ffn_hidden + hidden if block.bias else 0
    expert = block.num_projections * hidden * block.expert_ffn_hidden + bias
    router = hidden * block.num_experts + (block.num_experts if block.router_bias else 0)
    return ParameterCount(
        sharded=block.num_projections * hidden * block.shared_ffn_hidden,
        replicated=router + (hidden if block.shared_gate else 0),
        expert=block.num_experts * expert,
    )


def layer_parameters(layer: Layer, hidden: int) -> ParameterCount:
    """Parameters of one layer: mixer, feed-forward block and norms."""
    blocks = block_parameters(layer.mixer, hidden) + block_parameters(layer.mlp, hidden)
    return blocks + ParameterCount(replicated=layer.norm_params)


def embedding_parameters(architecture: Architecture) -> int:
    """Parameters of the input side: token and position tables and their norm."""
    tables = (architecture.vocab + architecture.learned_positions) * architecture.hidden
    return tables + architecture.embedding_norm_params


def output_parameters(architecture: Architecture) -> int:
    """Parameters of the output side: final norm and, unless it is tied to the embedding, the output layer."""
    head = 0 if architecture.tied_embeddings else architecture.vocab * architecture.hidden
    return architecture.final_norm_params + head + (architecture.vocab if architecture.lm_head_bias else 0)


def mtp_parameters(architecture: Architecture) -> ParameterCount:
    """Parameters of the multi-token-prediction modules: layer, 2·hidden -> hidden projection and three norms.

    DeepSeek-V3 (arXiv:2412.19437) §2.2, eq. 21; embedding and output layer are shared with the main model.
    """
    hidden = architecture.hidden
    total = ParameterCount()
    for layer in architecture.mtp_layers:
        total += layer_parameters(layer, hidden) + ParameterCount(replicated=2 * hidden * hidden + 3 * hidden)
    return total


def total_parameters(architecture: Architecture, *, with_mtp: bool = False) -> int:
    """All parameters, as model cards count them (multi-token-prediction modules only if asked)."""
    counts = Counter(architecture.layers)
    layers = sum(count * layer_parameters(layer, architecture.hidden).total for layer, count in counts.items())
    mtp = mtp_parameters(architecture).total if with_mtp else 0
    return embedding_parameters(architecture) + layers + output_parameters(architecture) + mtp


def active_parameters(architecture: Architecture) -> int:
    """Parameters that one token meets: routed experts count `top_k` of `num_experts`."""
    total = total_parameters(architecture)
    for layer, count in Counter(architecture.layers).items():
        if isinstance(layer.mlp, MoeMlp):
            expert = block_parameters(layer.mlp, architecture.hidden).expert
            total -= count * (expert - expert * layer.mlp.top_k // layer.mlp.num_experts)
    return total
