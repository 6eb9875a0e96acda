"""Attention's core: scores, softmax and weighted values, fused (flash) or kernel by kernel."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels.gemm import gemm_time_s
from meshwright.cost_models.kernels.rates import OPERAND_BYTES, KernelRates, eased, matrix_strength
from meshwright.cost_models.kernels.roofline import roofline_s
from meshwright.cost_models.kernels.streaming import streaming_time_s

QUERY_TILE = 128.0
"""Queries of one tile (FlashAttention-2 and -3, forward, head width 128)."""

PORTABLE_SPEED: Mapping[str, float] = {"nvidia-hopper": 370 / 648}
"""Speed of FlashAttention-2 over kernels written for the device, by kind of accelerator; 1 where it is that kernel
itself. Hopper: it can't use the asynchronous matrix units (FlashAttention-3, arXiv:2407.08608, fig. 5: 370 of 648
TFLOP/s forward at 16k keys and head width 128; backward, fig. 6, much the same)."""


def portable_attention_speed(accelerator: Accelerator) -> float:
    """Speed of FlashAttention-2 on a device over its fastest kernel."""
    return eased(PORTABLE_SPEED.get(accelerator.kind, 1.0), matrix_strength(accelerator))


@dataclass(frozen=True, slots=True)
class _Shape:
    """Sizes of one attention core, float64 and broadcast against each other."""

    batch: FloatColumn
    num_heads: FloatColumn
    num_kv_heads: FloatColumn
    seq_q: FloatColumn
    seq_kv: FloatColumn
    qk_dim: FloatColumn
    v_dim: FloatColumn
    score_fraction: FloatColumn


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
        flash: Fused; otherwise GEMMs, with passes over the whole score matrix between them.

    Raises:
        MissingDataError: The data sheet has no peak FLOP/s for the precision.
    """
    sizes = (batch, num_heads, num_kv_heads, seq_q, seq_kv, qk_dim, v_dim, score_fraction)
    shape = _Shape(*(np.asarray(size, dtype=np.float64) for size in sizes))
    if flash:
        return _flash_time_s(accelerator, rates, precision, shape, backward=backward)
    return _unfused_time_s(accelerator, rates, precision, shape, backward=backward)


def _flash_time_s(
    accelerator: Accelerator, rates: KernelRates, precision: str, shape: _Shape, *, backward: bool
) -> FloatColumn:
    """Fused attention (FlashAttention-2, arXiv:2307.08691): tiles of queries, beside the traffic.

    A score costs the multiply-adds of its products (forward QKᵀ and PV; backward QKᵀ again, dQ, dK of width
    qk and dV, dP of width v) beside those that the softmax's exponentials take the time of (twice backward:
    FlashAttention-3, arXiv:2407.08608, §3.2 and fig. 6). Under a mask the tile on the diagonal is half
    wasted. Tiles differ in length there, so the longest one bounds the time when there are few.
    """
    passes = 2.0 if backward else 1.0
    products = 3.0 * shape.qk_dim + 2.0 * shape.v_dim if backward else shape.qk_dim + shape.v_dim
    flop_per_score = 2.0 * np.hypot(products, passes * rates.softmax_width)
    flops = rates.attention_flops(accelerator, precision, backward=backward)
    needed = shape.seq_kv * shape.score_fraction
    scanned = needed + np.where(shape.score_fraction < 1.0, np.minimum(QUERY_TILE / 2, shape.seq_kv - needed), 0.0)
    tiles = shape.batch * shape.num_heads * np.ceil(shape.seq_q / QUERY_TILE)
    all_tiles_s = tiles * QUERY_TILE * (scanned + rates.attention_ramp) * flop_per_score / flops
    longest = np.minimum(shape.seq_kv, 2.0 * needed) + rates.attention_ramp
    longest_tile_s = QUERY_TILE * longest * flop_per_score / flops * accelerator.num_cores
    rows = shape.num_heads * shape.seq_q + shape.num_kv_heads * shape.seq_kv
    num_bytes = passes * shape.batch * rows * (shape.qk_dim + shape.v_dim) * OPERAND_BYTES[precision]
    memory_s = num_bytes / rates.memory_bytes_per_s(accelerator)
    # Backward is three kernels: rowwise sums of dO·O, the products, the conversion of dQ.
    time_s = roofline_s(np.hypot(all_tiles_s, longest_tile_s), memory_s) + (2.0 * passes - 1.0) * rates.launch_s
    ratio = None if backward else rates.measured.get(f"attention forward {precision}")
    return time_s if ratio is None else time_s * ratio.at(shape.batch * shape.num_heads, shape.seq_q, shape.qk_dim)


def _unfused_time_s(
    accelerator: Accelerator, rates: KernelRates, precision: str, shape: _Shape, *, backward: bool
) -> FloatColumn:
    """Batched GEMMs and passes over the whole score matrix, as Megatron-LM's fused-softmax kernel runs it.

    Passes over a score, forward: scale-mask-softmax reads and writes it, dropout reads it, writes it and
    keeps a 1-byte mask (Korthikanti et al., arXiv:2205.05198, §4.1). Backward: dropout reads the gradient
    and the mask and writes, softmax reads its result and the gradient and writes.
    """
    s, matrices = shape, shape.batch * shape.num_heads

    def gemm(m: FloatColumn, n: FloatColumn, k: FloatColumn) -> FloatColumn:
        return gemm_time_s(accelerator, rates, precision, m, n, k, matrices)

    if backward:
        products_s = gemm(s.seq_kv, s.v_dim, s.seq_q) + gemm(s.seq_q, s.seq_kv, s.v_dim)
        products_s = products_s + gemm(s.seq_q, s.qk_dim, s.seq_kv) + gemm(s.seq_kv, s.qk_dim, s.seq_q)
    else:
        products_s = gemm(s.seq_q, s.seq_kv, s.qk_dim) + gemm(s.seq_q, s.v_dim, s.seq_kv)
    score_bytes = (5.0 if backward else 4.0) * OPERAND_BYTES[precision] + 1.0
    passes_s = streaming_time_s(accelerator, rates, matrices * s.seq_q * s.seq_kv * score_bytes, num_kernels=2)
    return products_s + passes_s
