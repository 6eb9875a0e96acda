"""Forward and backward time of attention, state-space, dense and MoE blocks on one device.

A block is a column-parallel linear in front, a row-parallel one behind, and what lies between
(Megatron-LM, arXiv:1909.08053, §3; with sequence parallelism arXiv:2205.05198, §4.2).
"""

from dataclasses import dataclass, field, replace
from functools import singledispatch

import numpy as np

from meshwright.cost_models import kernels
from meshwright.cost_models.architecture import Attention, DenseMlp, LatentAttention, MoeMlp, StateSpace
from meshwright.cost_models.candidates import FloatColumn, RecomputeModules
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls, LinearTime
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import LayerTerm, TermTable, term_table

NORM_FORWARD_PASSES = 2.0
"""Reads and writes of the stream by one norm: read x, write y."""
NORM_BACKWARD_PASSES = 3.0
"""Read x and dy, write dx."""
RESIDUAL_PASSES = 3.0
"""Read both summands, write the sum (backward: the two gradients likewise)."""


@dataclass(frozen=True)
class BlockTime:
    """Seconds of one block for one micro-batch.

    Attributes:
        forward: (num_terms, num_shapes).
        backward: (num_terms, num_shapes), without recomputation.
        modules: Forward seconds (num_shapes,) of each module that selective recomputation can repeat.
        unread_forward: Of the forward seconds, (num_shapes,) those of a last product that no backward pass reads.
        weight_gradient: Of the backward seconds, (num_shapes,) those that nothing but the optimizer waits for.
    """

    forward: TermTable
    backward: TermTable
    modules: dict[RecomputeModules, FloatColumn] = field(default_factory=dict)
    weight_gradient: FloatColumn | float = 0.0
    unread_forward: FloatColumn | float = 0.0

    def __add__(self, other: "BlockTime") -> "BlockTime":
        return BlockTime(
            self.forward + other.forward,
            self.backward + other.backward,
            _summed(self.modules, other.modules),
            self.weight_gradient + other.weight_gradient,
            self.unread_forward + other.unread_forward,
        )


def _summed(
    one: dict[RecomputeModules, FloatColumn], other: dict[RecomputeModules, FloatColumn]
) -> dict[RecomputeModules, FloatColumn]:
    """Modules of both; a module that both have, such as the norm, takes both times."""
    both = {module: one[module] + other[module] for module in one.keys() & other.keys()}
    return one | other | both


@singledispatch
def block_time(block: object, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """Time of one mixer or feed-forward block with its norm and residual; None takes no time."""
    if block is None:
        return BlockTime(term_table(len(shapes)), term_table(len(shapes)))
    raise TypeError(f"no time model for {type(block).__name__} ({calls.job.architecture.name}, {len(shapes)} shapes)")


def norm_and_residual(calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """The norm before a block and the residual addition behind it."""
    stream_bytes = shapes.stream_tokens * calls.job.architecture.hidden * calls.width
    excess = calls.job.framework.norm_traffic
    norm = calls.elementwise(NORM_FORWARD_PASSES * stream_bytes, excess)
    residual = calls.elementwise(RESIDUAL_PASSES * stream_bytes)
    backward = residual + calls.elementwise(NORM_BACKWARD_PASSES * stream_bytes, excess)
    return BlockTime(
        forward=term_table(len(shapes), elementwise=norm + residual),
        backward=term_table(len(shapes), elementwise=backward),
        modules={RecomputeModules.LAYERNORM: norm, RecomputeModules.OP: norm},
    )


def tensor_exchange(calls: KernelCalls, shapes: Shapes, first: LinearTime, readers: int = 1) -> BlockTime:
    """Tensor-parallel communication around a block whose column-parallel linear is `first`.

    Forward: all-reduce of the output, or with sequence parallelism all-gather of the input and reduce-scatter of the
    output. Backward: the same volume, and with sequence parallelism one more all-gather for the weight gradient.
    What runs beside products slows them. Without sequence parallelism, products that read the same input may each
    all-reduce a gradient of it (`separate_input_gradients`). Rings over several nodes are held up at every node
    (`collective_stall_s`).
    """
    hidden_bytes = shapes.tokens * calls.job.architecture.hidden * calls.width
    one = np.ones_like(shapes.tp)
    sp = shapes.sequence_parallel
    gather = np.where(sp, calls.all_gather(hidden_bytes, shapes.tp, one), 0.0)
    scatter = np.where(
        sp, calls.reduce_scatter(hidden_bytes, shapes.tp, one), calls.all_reduce(hidden_bytes, shapes.tp, one)
    )
    stall_s = border_stall_s(calls, shapes)
    gather, scatter = gather + sp * stall_s, scatter + stall_s
    profile = calls.job.framework
    slowdown = calls.training.overlap_slowdown
    exposed_share = 1.0 - (1.0 - slowdown) * profile.overlap_tensor_forward
    forward = (gather + scatter) * exposed_share
    if profile.overlap_tensor_backward:
        beside = np.maximum(gather - first.input_gradient, 0.0) + np.maximum(scatter - first.weight_gradient, 0.0)
        backward = gather * exposed_share + beside + slowdown * (gather + scatter - beside)
    else:
        backward = (1.0 if profile.keeps_gathered_sequence else 2.0) * gather + scatter
    backward = backward + np.where(sp, 0.0, (readers - 1) * profile.separate_input_gradients * scatter)
    size = len(shapes)
    return BlockTime(term_table(size, tensor_comm=forward), term_table(size, tensor_comm=backward))


def border_stall_s(calls: KernelCalls, shapes: Shapes) -> FloatColumn:
    """(num_shapes,) time by which nodes hold up one tensor-parallel collective; 0 where it stays within one."""
    nodes = shapes.tp / calls.job.cluster.devices_per_node
    return np.where(nodes > 1, nodes, 0.0) * calls.job.framework.collective_stall_s


def linear_block(
    calls: KernelCalls,
    shapes: Shapes,
    first: LinearTime,
    second: LinearTime,
    quantised: FloatColumn,
    quantised_backward: FloatColumn,
    readers: int = 1,
) -> BlockTime:
    """The two linears of a block, quantisation of their inputs and output gradients, and tensor-parallel exchange.

    Where a framework doesn't fuse them, `readers` products make up the first.
    """
    size = len(shapes)
    cast, cast_backward = calls.quantise(quantised), calls.quantise(quantised_backward)
    exchange = tensor_exchange(calls, shapes, first, readers)
    return exchange + BlockTime(
        forward=term_table(size, matmul=first.forward + second.forward, elementwise=cast),
        backward=term_table(size, matmul=first.backward + second.backward, elementwise=cast_backward),
        weight_gradient=first.weight_gradient + second.weight_gradient,
    )


def score_fraction(window: int | None, seq_len: int, document_len: int | None = None) -> float:
    """Share of the seq×seq scores that causal (and windowed) attention needs, within documents where it stays there."""
    if document_len is not None and document_len < seq_len:
        return score_fraction(window, document_len) * document_len / seq_len
    if window is None or window >= seq_len:
        return 0.5
    return (window - 0.5 * window * window / seq_len) / seq_len


@dataclass(frozen=True)
class CoreAttention:
    """Widths of scaled-dot-product attention on one device.

    Attributes:
        heads: (num_shapes,) query heads on the device.
        kv_heads: (num_shapes,) key/value heads on the device.
        qk_dim: Width of a query or key head.
        v_dim: Width of a value head.
        window: Sliding window in tokens, or None.
    """

    heads: FloatColumn
    kv_heads: FloatColumn
    qk_dim: int
    v_dim: int
    window: int | None = None


MERGE_BYTES = 10.0
"""HBM traffic per output element to merge one ring step's partial result: read and write fp32, read 16 bit."""


def core_attention_time(calls: KernelCalls, shapes: Shapes, core: CoreAttention) -> BlockTime:
    """Scores, softmax and values, with the key/value ring of context parallelism beside them.

    Ring attention (arXiv:2310.01889) does cp steps of local attention, merges their results, and passes keys and
    values on beside all but the last; what doesn't fit beside it is exposed. The backward ring also carries their
    gradients. With early and late pieces on every rank each step has the same work.
    """
    forward = attention_kernel_time(calls, shapes, core, backward=False)
    backward = attention_kernel_time(calls, shapes, core, backward=True)
    kv_bytes = shapes.tokens * core.kv_heads * (core.qk_dim + core.v_dim) * calls.width
    ring = calls.all_gather(kv_bytes * shapes.cp, shapes.cp, shapes.tp)
    share = (shapes.cp - 1) / shapes.cp
    merge = calls.elementwise((shapes.cp - 1) * shapes.tokens * core.heads * core.v_dim * MERGE_BYTES)
    size = len(shapes)
    return BlockTime(
        forward=term_table(size, attention=forward, context_comm=merge + np.maximum(ring - forward * share, 0.0)),
        backward=term_table(
            size, attention=backward, context_comm=merge + np.maximum(2 * ring - backward * share, 0.0)
        ),
        modules={RecomputeModules.CORE_ATTN: forward},
    )


def attention_kernel_time(calls: KernelCalls, shapes: Shapes, core: CoreAttention, *, backward: bool) -> FloatColumn:
    """All ring steps of one device's attention; without context parallelism one kernel over the whole sequence."""
    job = calls.job
    piece = job.workload.seq_len / shapes.cp
    step = kernels.attention_time_s(
        job.cluster.accelerator,
        calls.kernel_rates,
        "bf16" if calls.is_low_precision else job.workload.precision,
        shapes.micro_batch,
        core.heads,
        core.kv_heads,
        piece,
        piece,
        core.qk_dim,
        core.v_dim,
        score_fraction(core.window, job.workload.seq_len, job.workload.document_len),
        backward=backward,
        flash=job.framework.flash_attention,
    )
    return np.asarray(step * shapes.cp / attention_speed(job))


def attention_speed(job: Job) -> float:
    """Speed of the framework's attention kernel over the fastest one for the device; 1 where it isn't fused."""
    profile = job.framework
    if not profile.flash_attention:
        return 1.0
    portable = 1.0 if profile.native_attention else kernels.portable_attention_speed(job.cluster.accelerator)
    return profile.attention_speed * portable


@block_time.register
def _(block: Attention, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    hidden = calls.job.architecture.hidden
    kv_heads = np.maximum(block.num_kv_heads / shapes.tp, 1.0)
    query_dim = block.query_dim / shapes.tp
    kv_dim = kv_heads * block.head_dim
    gate_dim = query_dim if block.output_gate else 0.0
    qkv = calls.linear(shapes.tokens, hidden, query_dim + gate_dim + 2 * kv_dim)
    key = calls.linear(shapes.tokens, hidden, kv_dim)
    output = calls.linear(shapes.tokens, query_dim, hidden, adapts=calls.job.framework.adapts_all_linears)
    rotary = calls.elementwise(2 * shapes.tokens * (query_dim + kv_dim) * calls.width)
    core = CoreAttention(block.num_heads / shapes.tp, kv_heads, block.head_dim, block.head_dim, block.window)
    size = len(shapes)
    return (
        norm_and_residual(calls, shapes)
        + linear_block(
            calls,
            shapes,
            qkv,
            output,
            shapes.tokens * (hidden + query_dim),
            shapes.tokens * (hidden + query_dim + gate_dim + 2 * kv_dim),
            readers=3,
        )
        + core_attention_time(calls, shapes, core)
        + BlockTime(
            term_table(size, elementwise=rotary),
            term_table(size, elementwise=rotary),
            # Of queries, keys, values and output, operators 1 to 4, the keys' and the output's product run again.
            modules={RecomputeModules.OP: key.forward + output.forward + rotary},
        )
    )


@block_time.register
def _(block: LatentAttention, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    hidden, tokens = calls.job.architecture.hidden, shapes.tokens
    heads = block.num_heads / shapes.tp
    query_dim = heads * block.qk_head_dim
    kv_up_dim = heads * (block.qk_nope_head_dim + block.v_head_dim)
    value_dim = heads * block.v_head_dim
    query_rank = block.q_lora_rank or 0
    down = calls.linear(shapes.stream_tokens, hidden, query_rank + block.kv_lora_rank + block.qk_rope_head_dim)
    up = calls.linear(tokens, block.kv_lora_rank, kv_up_dim)
    up += calls.linear(tokens, query_rank or hidden, query_dim)
    output = calls.linear(tokens, value_dim, hidden)
    rotary = calls.elementwise(2 * tokens * (2 * query_dim + kv_up_dim) * calls.width)
    core = CoreAttention(heads, heads, block.qk_head_dim, block.v_head_dim)
    size = len(shapes)
    compressed = BlockTime(
        forward=term_table(size, matmul=down.forward, elementwise=rotary),
        backward=term_table(size, matmul=down.backward, elementwise=2 * rotary),
        modules={RecomputeModules.MLA_UP_PROJ: up.forward + rotary},
        weight_gradient=down.weight_gradient,
    )
    return (
        norm_and_residual(calls, shapes)
        + linear_block(
            calls,
            shapes,
            up,
            output,
            tokens * (hidden + query_rank + block.kv_lora_rank + value_dim),
            tokens * (hidden + query_rank + block.kv_lora_rank + query_dim + kv_up_dim),
        )
        + core_attention_time(calls, shapes, core)
        + compressed
    )


@block_time.register
def _(block: StateSpace, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    hidden, tokens = calls.job.architecture.hidden, shapes.tokens
    inner = block.inner_dim / shapes.tp
    groups_dim = 2 * block.num_groups * block.state_size / np.minimum(shapes.tp, block.num_groups)
    projected = calls.linear(tokens, hidden, 2 * inner + groups_dim + block.num_heads / shapes.tp)
    output = calls.linear(tokens, inner, hidden)
    # Mamba-2's chunked scan (arXiv:2405.21060, §6): memory-bound; reads and writes x, z, B, C and the states.
    scan = calls.elementwise(tokens * (6 * inner + 2 * groups_dim) * calls.width)
    size = len(shapes)
    return (
        norm_and_residual(calls, shapes)
        + linear_block(calls, shapes, projected, output, tokens * (hidden + inner), tokens * (hidden + 2 * inner))
        + BlockTime(term_table(size, elementwise=scan), term_table(size, elementwise=2 * scan))
    )


def activation_passes(*, gated: bool) -> tuple[float, float]:
    """Tensors of the inner width that an activation function reads and writes: forward, backward."""
    return (3.0, 5.0) if gated else (2.0, 3.0)


def feed_forward(
    calls: KernelCalls,
    tokens: FloatColumn,
    ffn: FloatColumn,
    *,
    gated: bool,
    groups: FloatColumn | int = 1,
) -> tuple[LinearTime, LinearTime, FloatColumn, FloatColumn]:
    """Up (with gate) and down projections on `tokens` rows a group, and both passes of the activation function."""
    hidden = calls.job.architecture.hidden
    everywhere = calls.job.framework.adapts_all_linears
    up = calls.linear(tokens, hidden, ffn * (2 if gated else 1), groups, adapts=everywhere)
    down = calls.linear(tokens, ffn, hidden, groups, adapts=everywhere)
    forward_passes, backward_passes = activation_passes(gated=gated)
    inner_bytes = tokens * np.asarray(groups) * ffn * calls.width
    return up, down, calls.elementwise(forward_passes * inner_bytes), calls.elementwise(backward_passes * inner_bytes)


def dense_feed_forward(calls: KernelCalls, shapes: Shapes, ffn_hidden: int, *, gated: bool) -> BlockTime:
    """A tensor-parallel feed-forward block without norm and residual."""
    ffn = ffn_hidden / shapes.tp
    up, down, activation, activation_backward = feed_forward(calls, shapes.tokens, ffn, gated=gated)
    size = len(shapes)
    hidden, up_dim = calls.job.architecture.hidden, ffn * (2 if gated else 1)
    products = linear_block(
        calls, shapes, up, down, shapes.tokens * (hidden + ffn), shapes.tokens * (hidden + up_dim), 2 if gated else 1
    )  # fmt: skip
    return products + BlockTime(
        forward=term_table(size, elementwise=activation),
        backward=term_table(size, elementwise=activation_backward),
        modules={
            RecomputeModules.MLP_ACT: activation,
            RecomputeModules.MLP: up.forward + down.forward + activation,
            # Of gate, up and down, operators 5 to 7, the up projection runs again; of up and down, 5 and 6, the last.
            RecomputeModules.OP: activation + (up.forward / 2 if gated else down.forward),
        },
    )


@block_time.register
def _(block: DenseMlp, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    down = calls.linear(shapes.tokens, block.ffn_hidden / shapes.tp, calls.job.architecture.hidden)
    block_s = dense_feed_forward(calls, shapes, block.ffn_hidden, gated=block.gated)
    return norm_and_residual(calls, shapes) + replace(block_s, unread_forward=down.forward)


def copies_sent(calls: KernelCalls, shapes: Shapes, block: MoeMlp) -> FloatColumn:
    """Share of a token's top_k copies that leave its domain where each domain gets one at most.

    DeepEP sends a token once to every node that holds some of its experts, where NVLink passes it on, and within a node
    once to every device.
    """
    extent = calls.job.cluster.filled_levels[0].extent if calls.job.cluster.levels else 1
    nodes = np.maximum(shapes.ep * shapes.etp / extent, 1.0)
    domains = np.where(nodes > 1.0, nodes, shapes.ep)
    if calls.job.workload.routing == "consecutive":
        return np.maximum(domains / block.num_experts, 1.0 / block.top_k)
    return np.asarray(domains_reached(domains, block) / block.top_k)


def domains_reached(domains: FloatColumn, block: MoeMlp) -> FloatColumn:
    """How many of d domains, over which the experts are spread, hold some of a token's.

    Of k experts drawn evenly from d domains d·(1 - (1 - 1/d)^k) are distinct. Where a token stays within g of G groups
    of experts, those lie in as many domains at most, or k/g of its experts are drawn from the domains of each group.
    """

    def distinct(extent: FloatColumn, drawn: float) -> FloatColumn:
        return np.asarray(extent * (1.0 - (1.0 - 1.0 / extent) ** drawn))

    groups, chosen = block.num_groups, block.top_k_groups
    per_group = np.maximum(domains / groups, 1.0)
    limited = np.where(
        domains >= groups, chosen * distinct(per_group, block.top_k / chosen), distinct(domains, float(chosen))
    )
    return limited if groups > chosen else distinct(domains, float(block.top_k))


def expert_exchange(calls: KernelCalls, shapes: Shapes, block: MoeMlp) -> FloatColumn:
    """Dispatch and combine of one pass: all-to-all over expert ranks, gather and scatter over expert-tensor ranks."""
    hidden_bytes = calls.job.architecture.hidden * calls.width * block.top_k
    local_bytes = shapes.expert_tokens * hidden_bytes * calls.job.workload.moe_imbalance
    copies = copies_sent(calls, shapes, block) if calls.job.framework.expert_copies_once else 1.0
    exchange = 2 * calls.all_to_all(local_bytes * copies, shapes.ep, shapes.etp)
    gathered = local_bytes * shapes.etp
    one = np.ones_like(shapes.etp)
    tensor = calls.all_gather(gathered, shapes.etp, one) + calls.reduce_scatter(gathered, shapes.etp, one)
    overlap = 1.0 if calls.fuses_experts else calls.job.framework.overlap_expert
    hidden_share = (1.0 - calls.training.overlap_slowdown) * overlap
    return exchange * (1.0 - hidden_share) + tensor


def permutation(calls: KernelCalls, shapes: Shapes, block: MoeMlp) -> FloatColumn:
    """Reordering of routed copies by expert, before the experts and back after them, each reading and writing.

    A token is read once for its top_k copies, and what arrives, from all ranks that divide the experts' tensors, is
    sorted once more by local expert. Dispatchers that send a token once (DeepEP) leave one reordering: of what arrived,
    to one copy for every expert.
    """
    if calls.job.framework.expert_copies_once:
        passes = 1.0 + copies_sent(calls, shapes, block)
    else:
        arrives = (shapes.ep * shapes.etp > 1) & (block.num_experts > shapes.ep)
        sorted_again = np.where(arrives, 2.0 * shapes.etp, 0.0)
        passes = 1.0 + 1.0 / block.top_k + sorted_again
    copy_bytes = shapes.expert_tokens * block.top_k * calls.job.architecture.hidden * calls.width
    return calls.elementwise(2.0 * passes * copy_bytes * calls.job.workload.moe_imbalance)


@block_time.register
def _(block: MoeMlp, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    hidden, size = calls.job.architecture.hidden, len(shapes)
    local_experts = block.num_experts / shapes.ep
    routed = shapes.expert_tokens * shapes.etp * block.top_k * calls.job.workload.moe_imbalance
    ffn = block.expert_ffn_hidden / shapes.etp
    up, down, activation, activation_backward = feed_forward(
        calls, routed / local_experts, ffn, gated=block.gated,
        groups=local_experts,
    )  # fmt: skip
    router = calls.linear(shapes.expert_tokens, hidden, float(block.num_experts), precision="bf16", adapts=False)
    permute = permutation(calls, shapes, block)
    cast_apart = routed * (not calls.fuses_experts)
    cast = calls.quantise(cast_apart * (hidden + ffn))
    cast_backward = calls.quantise(cast_apart * (hidden + ffn * (2 if block.gated else 1)))
    exchange = expert_exchange(calls, shapes, block)
    expert_forward = up.forward + down.forward + activation
    experts = BlockTime(
        forward=term_table(
            size,
            matmul=up.forward + down.forward + router.forward,
            elementwise=activation + permute + cast,
            expert_comm=exchange,
        ),
        backward=term_table(
            size,
            matmul=up.backward + down.backward + router.backward,
            elementwise=activation_backward + permute + cast_backward,
            expert_comm=exchange,
        ),
        modules={
            RecomputeModules.MLP_ACT: activation,
            RecomputeModules.MOE: expert_forward + permute + cast + exchange,
        },
        weight_gradient=up.weight_gradient + down.weight_gradient + router.weight_gradient,
    )
    total = norm_and_residual(calls, shapes) + experts
    if block.shared_ffn_hidden:
        shared = dense_feed_forward(calls, shapes, block.shared_ffn_hidden, gated=block.gated)
        total += replace(shared, modules={})
    return total


def output_time(calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """Final norm, output layer over the padded vocabulary's tp share, and the loss."""
    job, size = calls.job, len(shapes)
    vocab = job.architecture.vocab / shapes.tp
    precision = "bf16" if calls.is_low_precision else None
    head = calls.linear(shapes.tokens, job.architecture.hidden, vocab, precision=precision, adapts=False)
    hidden_bytes = shapes.tokens * job.architecture.hidden * calls.width
    gather = calls.all_gather(hidden_bytes, shapes.tp, np.ones_like(shapes.tp))
    loss = calls.elementwise(job.framework.loss_traffic_bytes / 2 * shapes.tokens * vocab)
    return norm_and_residual(calls, shapes) + BlockTime(
        forward=term_table(size, matmul=head.forward, elementwise=loss, tensor_comm=gather),
        backward=term_table(size, matmul=head.backward, elementwise=loss, tensor_comm=gather),
        weight_gradient=head.weight_gradient,
    )


def embedding_time(calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """Table look-up and its scattered gradient, with the tensor-parallel reduction of the looked-up rows."""
    hidden_bytes = shapes.tokens * calls.job.architecture.hidden * calls.width
    lookup = calls.elementwise(2 * hidden_bytes)
    reduce = calls.reduce_scatter(hidden_bytes, shapes.tp, np.ones_like(shapes.tp))
    table = term_table(len(shapes), elementwise=lookup, tensor_comm=reduce)
    return BlockTime(table, table.copy())


def exposed_host_time(block: BlockTime, forward_host_s: FloatColumn, *, blocking: bool = False) -> BlockTime:
    """Adds the time that the device waits for the host to launch kernels.

    The host runs ahead, so that the device waits where launching is slower than running; or, `blocking`, it waits for
    every kernel, so that the device waits for each launch. The backward pass launches about one and a half times as
    many kernels and collectives: two products for each linear, one kernel for each other operation.
    """
    for terms, host_s in ((block.forward, forward_host_s), (block.backward, 1.5 * forward_host_s)):
        terms[LayerTerm.HOST] += host_s if blocking else np.maximum(host_s - terms.sum(axis=0), 0.0)
    return block
