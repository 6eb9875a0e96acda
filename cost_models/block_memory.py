"""Activation bytes that a block keeps from its forward to its backward pass, for one micro-batch on one device.

Per-tensor accounting after Korthikanti et al. (arXiv:2205.05198, §4), for today's kernels: flash attention keeps its
inputs, its output and one fp32 statistic a row instead of the score matrix, and fused norms keep input and output.
"""

from dataclasses import dataclass, field, replace
from functools import singledispatch

import numpy as np

from meshwright.cost_models.architecture import Attention, DenseMlp, LatentAttention, MoeMlp, StateSpace
from meshwright.cost_models.candidates import FloatColumn, RecomputeModules
from meshwright.cost_models.frozen_memory import input_bytes, norm_element_bytes, output_bytes
from meshwright.cost_models.job import Job
from meshwright.cost_models.shapes import Shapes

STATISTIC_BYTES = 4
"""One fp32 number a row: the norm's deviation, the log-sum-exp of flash attention."""
SCORE_BYTES = {True: 5, False: 4}
"""Bytes per score kept without flash attention: softmax input and output (2 + 2), and the dropout mask (1) where
there is dropout (arXiv:2205.05198, eq. 2)."""


@dataclass(frozen=True)
class BlockMemory:
    """Bytes of one block for one micro-batch.

    Attributes:
        saved: (num_shapes,) bytes kept without recomputation.
        modules: Bytes (num_shapes,) not kept if that module is recomputed.
        peak: (num_shapes,) bytes alive at once while the block's backward pass runs, beyond those kept.
        last_projection: (num_shapes,) parameters of the matrix whose gradient exists by then.
        unread: (num_shapes,) of what selection by operator keeps, bytes that the backward pass doesn't read.
    """

    saved: FloatColumn
    modules: dict[RecomputeModules, FloatColumn] = field(default_factory=dict)
    peak: FloatColumn | float = 0.0
    last_projection: FloatColumn | float = 0.0
    unread: FloatColumn | float = 0.0

    def __add__(self, other: "BlockMemory") -> "BlockMemory":
        return BlockMemory(
            self.saved + other.saved,
            self.modules | other.modules,
            np.maximum(self.peak, other.peak),
            np.maximum(self.last_projection, other.last_projection),
            self.unread + other.unread,
        )

    def with_op(self, kept: FloatColumn, unread: FloatColumn | float = 0.0) -> "BlockMemory":
        """The same block, of which selection by operator keeps `kept` bytes, `unread` ones among them."""
        dropped = np.maximum(self.saved - kept, 0.0)
        return replace(self, modules=self.modules | {RecomputeModules.OP: dropped}, unread=unread)


@singledispatch
def block_memory(block: object, job: Job, shapes: Shapes) -> BlockMemory:
    """Activation bytes of one mixer or feed-forward block with its norm and residual; None keeps nothing."""
    if block is None:
        return BlockMemory(np.zeros(len(shapes)))
    raise TypeError(f"no memory model for {type(block).__name__} ({job.architecture.name}, {len(shapes)} shapes)")


def stream_bytes(job: Job, shapes: Shapes) -> FloatColumn:
    """The residual stream on one device."""
    return shapes.stream_tokens * job.architecture.hidden * job.workload.activation_bytes


def gathered_bytes(job: Job, shapes: Shapes) -> FloatColumn:
    """The same, gathered from the sequence-parallel ranks."""
    return shapes.tokens * job.architecture.hidden * job.workload.activation_bytes


def received_bytes(job: Job, shapes: Shapes) -> FloatColumn:
    """The gradient of a block's output, gathered; without sequence parallelism it is the stream's own gradient."""
    return np.where(shapes.sequence_parallel, gathered_bytes(job, shapes), 0.0)


def norm_bytes(job: Job, shapes: Shapes, adapters: int = 0) -> FloatColumn:
    """What a norm and the projection that reads it keep: input, output, and one fp32 statistic a token.

    Megatron's sequence parallelism keeps the divided output and gathers it again; DTensor keeps it gathered.

    Args:
        job: The job.
        shapes: Its shapes.
        adapters: Those beside the projection, if the base is frozen.
    """
    tokens = shapes.tokens if job.framework.keeps_gathered_sequence else shapes.stream_tokens
    own = shapes.stream_tokens * job.architecture.hidden * norm_element_bytes(job)
    return own + input_bytes(job, tokens * job.architecture.hidden, adapters) + shapes.stream_tokens * STATISTIC_BYTES


def norm_memory(job: Job, shapes: Shapes, adapters: int = 1) -> BlockMemory:
    """What the norm keeps, and the dropout mask of the block's output."""
    norm = norm_bytes(job, shapes, adapters)
    mask = shapes.stream_tokens * job.architecture.hidden if job.framework.dropout else 0.0
    return BlockMemory(norm + mask, {RecomputeModules.LAYERNORM: np.minimum(stream_bytes(job, shapes), norm)})


def scores_memory(job: Job, shapes: Shapes, heads: FloatColumn) -> FloatColumn:
    """Score matrix (or flash statistics) of one device's heads."""
    seq = job.workload.seq_len
    if job.framework.flash_attention:
        return shapes.tokens * heads * STATISTIC_BYTES
    return shapes.tokens * heads * seq * SCORE_BYTES[job.framework.dropout]


@block_memory.register
def _(block: Attention, job: Job, shapes: Shapes) -> BlockMemory:
    width, framework = job.workload.activation_bytes, job.framework
    heads = block.num_heads / shapes.tp
    kv_dim = np.maximum(block.num_kv_heads / shapes.tp, 1.0) * block.head_dim
    query_dim = heads * block.head_dim
    output = shapes.tokens * query_dim * width
    scores = scores_memory(job, shapes, heads)
    query, key = shapes.tokens * query_dim * width, shapes.tokens * kv_dim * width
    inputs = query * (2 if block.output_gate else 1) + 2 * key
    normed = query + key if block.qk_norm_params else 0.0
    # The whole product beside rotated copies; keys and values that query heads share are repeated instead.
    whole = query + key if block.num_kv_heads == block.num_heads else 2 * (query - key)
    product = whole if framework.fused_values else 0.0
    core = scores if not framework.flash_attention else np.zeros_like(scores)
    projected = input_bytes(job, shapes.tokens * query_dim, int(framework.adapts_all_linears), is_kept=True)
    adapted = query_dim + (2 * kv_dim + job.architecture.hidden if framework.adapts_all_linears else kv_dim)
    changed = output_bytes(job, shapes.tokens * adapted)
    attention = norm_memory(job, shapes, 1 if framework.fused_values else 3) + BlockMemory(
        saved=inputs + normed + product + output + scores + projected + changed,
        modules={RecomputeModules.CORE_ATTN: core},
        peak=output + np.maximum(inputs, received_bytes(job, shapes)),
    )
    # The layer's input, the products of queries and values, and attention's own output.
    return attention.with_op(stream_bytes(job, shapes) + query + key + output + scores)


@block_memory.register
def _(block: LatentAttention, job: Job, shapes: Shapes) -> BlockMemory:
    width, tokens = job.workload.activation_bytes, shapes.tokens
    heads = block.num_heads / shapes.tp
    rank = (block.q_lora_rank or 0) + block.kv_lora_rank
    compressed = tokens * (2 * rank + block.qk_rope_head_dim) * width
    up = tokens * heads * (2 * block.qk_head_dim + block.v_head_dim) * width
    output = tokens * heads * block.v_head_dim * width
    scores = scores_memory(job, shapes, heads)
    core = scores if not job.framework.flash_attention else np.zeros_like(scores)
    return norm_memory(job, shapes) + BlockMemory(
        saved=compressed + up + output + scores,
        modules={RecomputeModules.CORE_ATTN: core, RecomputeModules.MLA_UP_PROJ: up},
        peak=up + output,
    )


@block_memory.register
def _(block: StateSpace, job: Job, shapes: Shapes) -> BlockMemory:
    width = job.workload.activation_bytes
    inner = block.inner_dim / shapes.tp
    groups_dim = 2 * block.num_groups * block.state_size / np.minimum(shapes.tp, block.num_groups)
    # z, x before and after the convolution, B, C, dt, the scan's output and the gated norm's output.
    saved = shapes.tokens * (5 * inner + 2 * groups_dim + block.num_heads / shapes.tp) * width
    return norm_memory(job, shapes) + BlockMemory(saved, peak=saved)


def feed_forward_memory(job: Job, tokens: FloatColumn, ffn: FloatColumn, *, gated: bool) -> BlockMemory:
    """Inner activations of a feed-forward block on `tokens` rows.

    The backward pass of the activation reads what it kept and the gradient of its output, and writes its inputs'
    ones: five tensors of a gated block and three of a plain one, of which the kept ones count already. The product
    that the down projection read is gone by then; eager kernels have the activated gate and its gradient instead.
    """
    kept = job.framework.gated_activation_saved if gated else job.framework.plain_activation_saved
    read = min(2.0 if gated else 1.0, kept)
    alive = (5.0 + (kept >= 4) - kept) if gated else 3.0 - kept
    inner = tokens * ffn * job.workload.activation_bytes
    saved = kept * inner
    if job.workload.trains_adapters:
        everywhere = job.framework.adapts_all_linears
        saved = (kept - 1.0) * inner + input_bytes(job, tokens * ffn, int(everywhere))
        adapted = (2.0 if gated else 1.0) * ffn + job.architecture.hidden
        saved = saved + everywhere * output_bytes(job, tokens * adapted)
        alive = alive + 1.0
    return BlockMemory(
        saved=saved,
        modules={RecomputeModules.MLP_ACT: saved - read * inner, RecomputeModules.MLP: saved},
        peak=max(alive, 1.0) * inner,
    )


@block_memory.register
def _(block: DenseMlp, job: Job, shapes: Shapes) -> BlockMemory:
    ffn = block.ffn_hidden / shapes.tp
    inner = feed_forward_memory(job, shapes.tokens, ffn, gated=block.gated)
    received = received_bytes(job, shapes) + shapes.tokens * ffn * job.workload.activation_bytes
    down = BlockMemory(np.zeros(len(shapes)), peak=received, last_projection=job.architecture.hidden * ffn)
    adapters = int(job.framework.adapts_all_linears) * (2 if block.gated else 1)
    feed_forward = norm_memory(job, shapes, adapters) + inner + down
    # The gate's product and the down projection's, and what sequence parallelism scatters of it and of attention's.
    scattered = np.where(shapes.sequence_parallel, stream_bytes(job, shapes), 0.0)
    output = gathered_bytes(job, shapes) * block.gated + scattered
    gate = shapes.tokens * ffn * job.workload.activation_bytes
    return feed_forward.with_op(gate + output + scattered, unread=output)


@block_memory.register
def _(block: MoeMlp, job: Job, shapes: Shapes) -> BlockMemory:
    width, hidden = job.workload.activation_bytes, job.architecture.hidden
    routed = shapes.expert_tokens * shapes.etp * block.top_k * job.workload.moe_imbalance
    experts = feed_forward_memory(job, routed, block.expert_ffn_hidden / shapes.etp, gated=block.gated)
    # The experts' input after dispatch, and their output before the weighted combination.
    exchanged = 2 * routed * hidden * width
    router = shapes.expert_tokens * block.num_experts * 4.0
    routed_memory = experts + BlockMemory(saved=exchanged + router, peak=exchanged)
    total = norm_memory(job, shapes) + BlockMemory(
        saved=routed_memory.saved,
        modules={
            RecomputeModules.MLP_ACT: experts.modules[RecomputeModules.MLP_ACT],
            RecomputeModules.MOE: routed_memory.saved,
        },
        peak=routed_memory.peak,
    )
    if block.shared_ffn_hidden:
        shared = feed_forward_memory(job, shapes.tokens, block.shared_ffn_hidden / shapes.tp, gated=block.gated)
        total += BlockMemory(shared.saved, peak=shared.peak)
    return total
