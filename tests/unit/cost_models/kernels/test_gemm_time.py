"""Matrix multiplications: the closed forms that the model must reduce to."""

from dataclasses import replace

import numpy as np
import pytest

from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels import KernelRates, gemm_time_s
from meshwright.errors import MissingDataError

DEVICE = Accelerator("device", {"bf16": 1e15, "fp8": 2e15, "nvfp4": 4e15}, 80e9, 3e12, num_cores=100)
COMPUTE_BOUND = replace(DEVICE, memory_bandwidth_bytes_per_s=1e18)
IDEAL = KernelRates(matmul_fraction=1.0, ramp_k=0.0, small_tile_slowdown=0.0, memory_fraction=1.0, launch_s=0.0)


def test_whole_waves_run_at_the_peak():
    """100 tiles of 256×128 on 100 cores waste nothing: 2mnk / peak."""
    m, n, k = 2560, 1280, 8192
    assert gemm_time_s(COMPUTE_BOUND, IDEAL, "bf16", m, n, k) == pytest.approx(2 * m * n * k / 1e15, rel=1e-3)


def test_a_tile_more_than_whole_waves_costs_time():
    """A wave that isn't full is paid for, whichever tile and split of the inner dimension serve best."""
    full = gemm_time_s(COMPUTE_BOUND, IDEAL, "bf16", 2560, 1280, 8192)
    over = gemm_time_s(COMPUTE_BOUND, IDEAL, "bf16", 2561, 1280, 8192)
    assert over > full * 1.02


def test_split_k_fills_idle_cores():
    """A single tile with an endless inner dimension uses more than one core, but no more than all of them."""
    time_s = gemm_time_s(DEVICE, IDEAL, "bf16", 256, 128, 1 << 22)
    alone_s = 2 * 256 * 128 * (1 << 22) / (1e15 / 100)
    assert alone_s / 100 < time_s < alone_s / 4


def test_few_rows_stream_the_weights():
    """A product of one row takes as long as reading its weights."""
    n = k = 1 << 15
    assert gemm_time_s(DEVICE, IDEAL, "bf16", 1, n, k) == pytest.approx(2 * n * k / 3e12, rel=0.02)


@pytest.mark.parametrize(("precision", "operand_bytes"), [("fp8", 1.0), ("nvfp4", 0.5625)])
def test_narrow_operands_stream_faster(precision, operand_bytes):
    """Weights below 16 bits move as many bytes fewer, scales included."""
    n = k = 1 << 15
    time_s = gemm_time_s(DEVICE, IDEAL, precision, 1, n, k)
    assert time_s == pytest.approx(operand_bytes * n * k / 3e12, rel=0.02)


def test_groups_share_waves():
    """100 experts with one tile each run in one wave, as one product with 100 tiles does."""
    grouped = gemm_time_s(COMPUTE_BOUND, IDEAL, "bf16", 256, 128, 8192, groups=100)
    assert grouped == pytest.approx(gemm_time_s(COMPUTE_BOUND, IDEAL, "bf16", 2560, 1280, 8192), rel=1e-3)


def test_ramp_adds_to_the_inner_dimension():
    """Filling and draining costs as much as `ramp_k` more steps."""
    ramped = gemm_time_s(COMPUTE_BOUND, replace(IDEAL, ramp_k=1000.0), "bf16", 2560, 1280, 8192)
    longer = gemm_time_s(COMPUTE_BOUND, IDEAL, "bf16", 2560, 1280, 9192)
    assert ramped == pytest.approx(longer, rel=1e-3)


def test_unknown_number_of_cores_has_no_waves():
    """Without a number of cores, tiles spread evenly."""
    spread = replace(COMPUTE_BOUND, num_cores=0)
    m, n, k = 2816, 1280, 8192
    assert gemm_time_s(spread, IDEAL, "bf16", m, n, k) == pytest.approx(2 * m * n * k / 1e15, rel=1e-3)


def test_sustained_clock_slows_compute_only():
    """`sustained_fraction` stretches a compute-bound product, and leaves a memory-bound one."""
    slow = replace(IDEAL, sustained_fraction=0.5)
    big = (COMPUTE_BOUND, "bf16", 2560, 1280, 8192)
    thin = (DEVICE, "bf16", 1, 1 << 15, 1 << 15)
    assert gemm_time_s(big[0], slow, *big[1:]) == pytest.approx(2 * gemm_time_s(big[0], IDEAL, *big[1:]), rel=1e-3)
    assert gemm_time_s(thin[0], slow, *thin[1:]) < 1.1 * gemm_time_s(thin[0], IDEAL, *thin[1:])


def test_launch_is_a_floor():
    """A product of nothing much takes the launch."""
    time_s = gemm_time_s(DEVICE, replace(IDEAL, launch_s=5e-6), "bf16", 1, 1, 1)
    assert time_s == pytest.approx(5e-6, rel=0.01)


def test_sizes_broadcast():
    """Columns and numbers mix, and every row equals its own call."""
    m = np.array([256, 512, 1024])
    table = gemm_time_s(DEVICE, KernelRates(), "bf16", m, 4096, 4096)
    rows = [float(gemm_time_s(DEVICE, KernelRates(), "bf16", x, 4096, 4096)) for x in m]
    assert table.dtype == np.float64
    assert table.tolist() == rows


def test_missing_precision_is_an_error():
    """No number is invented where the data sheet has none."""
    with pytest.raises(MissingDataError, match="fp32"):
        gemm_time_s(DEVICE, KernelRates(), "fp32", 1, 1, 1)
