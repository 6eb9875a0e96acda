"""Forward and backward time of what mixes tokens: attention, latent attention, state spaces."""

from dataclasses import dataclass

import numpy as np

from meshwright.cost_models import kernels
from meshwright.cost_models.architecture import Attention, LatentAttention, StateSpace
from meshwright.cost_models.block_time import BlockTime, linear_block, norm_and_residual
from meshwright.cost_models.candidates import FloatColumn, RecomputeModules
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import term_table


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


def attention_time(block: Attention, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """Attention with its projections, norm and residual."""
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


def latent_attention_time(block: LatentAttention, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434, §2.1), absorbed into no other product."""
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


def state_space_time(block: StateSpace, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """A Mamba-2 mixer with its norm and residual."""
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
