"""Attention's core: scores, softmax and weighted values, fused (flash) or kernel by kernel."""

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels.gemm import gemm_time_s
from meshwright.cost_models.kernels.rates import OPERAND_BYTES, KernelRates
from meshwright.cost_models.kernels.streaming import streaming_time_s

QUERY_TILE = 128


def attention_time_s(
    accelerator: Accelerator,
    rates: KernelRates,
    precision: str,
    batch: ArrayLike,
    num_heads: ArrayLike,
    num_kv_heads: ArrayLike,
    seq_q: ArrayLike,
    seq_kv: ArrayLike,
    qk_dim: ArrayLike,
    v_dim: ArrayLike,
    score_fraction: ArrayLike,
    *,
    backward: bool,
    flash: bool,
) -> FloatColumn:
    """Time of one pass of attention's core, in seconds. All sizes broadcast.

    Args:
        accelerator: The device.
        rates: What it reaches.
        precision: Of queries, keys and values.
        batch: Sequences.
        num_heads: Query heads on this device.
        num_kv_heads: Key/value heads on this device.
        seq_q: Queries of a sequence.
        seq_kv: Keys of a sequence.
        qk_dim: Width of a query or key head.
        v_dim: Width of a value head.
        score_fraction: Share of the seq_q × seq_kv scores that is needed (1/2 causal, less with a window).
        backward: The backward pass alone, instead of the forward pass.
        flash: Fused; otherwise GEMMs with softmax, mask and dropout passes over the whole score matrix between.
    """
    sizes = (batch, num_heads, num_kv_heads, seq_q, seq_kv, qk_dim, v_dim, score_fraction)
    batch, heads, kv_heads, seq_q, seq_kv, qk_dim, v_dim, share = (
        np.asarray(x, dtype=np.float64) for x in sizes
    )
    if flash:
        return _flash_time_s(
            accelerator,
            rates,
            precision,
            batch,
            heads,
            kv_heads,
            seq_q,
            seq_kv,
            qk_dim,
            v_dim,
            share,
            backward=backward,
        )
    return _unfused_time_s(
        accelerator, rates, precision, batch * heads, seq_q, seq_kv, qk_dim, v_dim, backward=backward
    )


def _flash_time_s(
    accelerator: Accelerator,
    rates: KernelRates,
    precision: str,
    batch: FloatColumn,
    heads: FloatColumn,
    kv_heads: FloatColumn,
    seq_q: FloatColumn,
    seq_kv: FloatColumn,
    qk_dim: FloatColumn,
    v_dim: FloatColumn,
    share: FloatColumn,
    *,
    backward: bool,
) -> FloatColumn:
    """Fused attention (FlashAttention-2, arXiv:2307.08691): query tiles in waves over the cores, or memory.

    Forward 2 products (QKᵀ, PV); backward 5, the scores made again (QKᵀ, dQ, dK of width qk; dV, dP of width v).
    """
    dims = 3 * qk_dim + 2 * v_dim if backward else qk_dim + v_dim
    tiles = batch * heads * np.ceil(seq_q / QUERY_TILE)
    if accelerator.num_cores:
        # Tiles differ in length under a causal mask and are scheduled longest first: only a first wave is whole.
        tiles = np.maximum(tiles, accelerator.num_cores)
    fraction = rates.attention_backward_fraction if backward else rates.attention_fraction
    flops = accelerator.peak_flops_at(precision) * fraction * rates.sustained_fraction
    compute_s = tiles * QUERY_TILE * 2.0 * seq_kv * share * dims / flops
    rows = batch * (heads * seq_q * (qk_dim + v_dim) + kv_heads * seq_kv * (qk_dim + v_dim))
    num_bytes = rows * OPERAND_BYTES[precision] * (2.0 if backward else 1.0)
    memory_s = num_bytes / (accelerator.memory_bandwidth_bytes_per_s * rates.memory_fraction)
    return np.maximum(compute_s, memory_s) + rates.launch_s * (3.0 if backward else 1.0)


def _unfused_time_s(
    accelerator: Accelerator,
    rates: KernelRates,
    precision: str,
    matrices: FloatColumn,
    seq_q: FloatColumn,
    seq_kv: FloatColumn,
    qk_dim: FloatColumn,
    v_dim: FloatColumn,
    *,
    backward: bool,
) -> FloatColumn:
    """Batched GEMMs and passes over the score matrix, as Megatron-LM's fused-softmax kernel runs it.

    Passes per score, forward: scale-mask-softmax reads and writes it, dropout reads, writes and keeps a 1-byte
    mask (Korthikanti et al., arXiv:2205.05198, §4.1). Backward: dropout reads two and writes one, softmax
    reads two and writes one.
    """

    def gemm(m: FloatColumn, n: FloatColumn, k: FloatColumn) -> FloatColumn:
        return gemm_time_s(accelerator, rates, precision, m, n, k, matrices)

    width = OPERAND_BYTES[precision]
    if backward:
        products = gemm(seq_kv, v_dim, seq_q) + gemm(seq_q, seq_kv, v_dim)
        products = products + gemm(seq_q, qk_dim, seq_kv) + gemm(seq_kv, qk_dim, seq_q)
        score_bytes = 5 * width + 1
    else:
        products = gemm(seq_q, seq_kv, qk_dim) + gemm(seq_q, v_dim, seq_kv)
        score_bytes = 4 * width + 1
    scores = matrices * seq_q * seq_kv
    return products + streaming_time_s(accelerator, rates, scores * score_bytes, num_kernels=2)
