"""Matrix multiplications: tiles in waves over the cores, or memory, whichever is slower."""

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels.rates import OPERAND_BYTES, KernelRates

TILES = ((256, 128), (128, 256), (128, 128), (64, 128), (128, 64), (64, 64))


def gemm_time_s(
    accelerator: Accelerator,
    rates: KernelRates,
    precision: str,
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    groups: ArrayLike = 1,
) -> FloatColumn:
    """Time of `groups` equal products (m×k)·(k×n) in one launch, in seconds.

    The larger of compute (tiles in whole waves over the cores) and memory (each operand read once, the result
    written once), plus the launch. All sizes broadcast.

    Raises:
        MissingDataError: The data sheet has no peak FLOP/s for the precision.
    """
    m, n, k, groups = (np.asarray(size, dtype=np.float64) for size in (m, n, k, groups))
    compute_s = _compute_time_s(accelerator, rates, precision, m, n, k, groups)
    operand = OPERAND_BYTES[precision]
    num_bytes = groups * ((m * k + k * n) * operand + m * n * (4.0 if operand == 4.0 else 2.0))
    memory_s = num_bytes / (accelerator.memory_bandwidth_bytes_per_s * rates.memory_fraction)
    return np.maximum(compute_s, memory_s) + rates.launch_s


def _compute_time_s(
    accelerator: Accelerator,
    rates: KernelRates,
    precision: str,
    m: FloatColumn,
    n: FloatColumn,
    k: FloatColumn,
    groups: FloatColumn,
) -> FloatColumn:
    """Best tile's time when memory is no limit."""
    flops = rates.matmul_flops(accelerator, precision)
    best = np.full(np.broadcast_shapes(m.shape, n.shape, k.shape, groups.shape), np.inf)
    for tile_m, tile_n in TILES:
        tiles = groups * np.ceil(m / tile_m) * np.ceil(n / tile_n)
        if accelerator.num_cores:
            tiles = np.ceil(tiles / accelerator.num_cores) * accelerator.num_cores
        # A small tile reads its operands more often per FLOP: 128×256 is the reference.
        intensity = (1 / tile_m + 1 / tile_n) / (1 / 128 + 1 / 256)
        np.minimum(
            best,
            tiles * 2.0 * tile_m * tile_n * (k + rates.ramp_k) * (0.8 + 0.2 * intensity) / flops,
            out=best,
        )
    return best
