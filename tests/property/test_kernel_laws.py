"""Laws of kernel times: better hardware never slows a kernel, and more work never speeds it up."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels import KernelRates, attention_time_s, gemm_time_s, streaming_time_s

SIZES = st.integers(1, 1 << 15)
FACTORS = st.floats(1.0, 8.0)
ROUNDING = 1 + 1e-9
law = settings(max_examples=50, deadline=None)


@st.composite
def devices(draw):
    """Accelerators from a laptop's to one of the next decade."""
    return Accelerator(
        "device",
        {"bf16": draw(st.floats(1e12, 1e16))},
        80e9,
        draw(st.floats(1e10, 1e13)),
        num_cores=draw(st.integers(0, 512)),
    )


@st.composite
def rates(draw):
    """Rates that a fit could give."""
    shares = st.floats(0.1, 1.0)
    return KernelRates(
        matmul_fraction=draw(shares),
        ramp_k=draw(st.floats(0, 600)),
        small_tile_slowdown=draw(st.floats(0, 1)),
        memory_fraction=draw(shares),
        attention_fraction=draw(shares),
        softmax_width=draw(st.floats(0, 512)),
        attention_ramp=draw(st.floats(0, 1000)),
        launch_s=draw(st.floats(0, 2e-5)),
    )


def faster(device, factor):
    return replace(device, peak_flops={name: x * factor for name, x in device.peak_flops.items()})


def wider(device, factor):
    return replace(device, memory_bandwidth_bytes_per_s=device.memory_bandwidth_bytes_per_s * factor)


@law
@given(devices(), rates(), SIZES, SIZES, SIZES, st.integers(1, 64), FACTORS)
def test_better_devices_never_slow_a_product(device, r, m, n, k, groups, factor):
    """Monotone in FLOP/s and in bandwidth, and never above the peak of either."""
    time_s = gemm_time_s(device, r, "bf16", m, n, k, groups)
    assert gemm_time_s(faster(device, factor), r, "bf16", m, n, k, groups) <= time_s * ROUNDING
    assert gemm_time_s(wider(device, factor), r, "bf16", m, n, k, groups) <= time_s * ROUNDING
    assert time_s * ROUNDING >= 2.0 * m * n * k * groups / device.peak_flops["bf16"]
    num_bytes = 2.0 * groups * (m * k + k * n + m * n)
    assert time_s * ROUNDING >= num_bytes / device.memory_bandwidth_bytes_per_s


@law
@given(devices(), rates(), SIZES, SIZES, SIZES, st.integers(1, 64), st.integers(1, 1000))
def test_larger_products_never_take_less(device, r, m, n, k, groups, more):
    """Monotone in every size."""
    time_s = gemm_time_s(device, r, "bf16", m, n, k, groups)
    for larger in ((m + more, n, k, groups), (m, n + more, k, groups), (m, n, k + more, groups)):
        assert gemm_time_s(device, r, "bf16", *larger) * ROUNDING >= time_s
    assert gemm_time_s(device, r, "bf16", m, n, k, groups + more) * ROUNDING >= time_s


@law
@given(devices(), rates(), SIZES, SIZES, st.booleans(), st.booleans(), FACTORS)
def test_better_devices_never_slow_attention(device, r, seq, batch, backward, flash, factor):
    """Monotone in FLOP/s and in bandwidth."""
    sizes = (min(batch, 64), 8, 2, seq, seq, 128, 128, 0.5)

    def time_s(d):
        return attention_time_s(d, r, "bf16", *sizes, backward=backward, flash=flash)

    assert time_s(faster(device, factor)) <= time_s(device) * ROUNDING
    assert time_s(wider(device, factor)) <= time_s(device) * ROUNDING


@law
@given(devices(), rates(), st.booleans(), st.booleans(), st.floats(0.01, 1.0), st.integers(0, 7))
def test_more_attention_never_takes_less(device, r, backward, flash, share, which):
    """Monotone in every size, and in the share of scores that is needed."""
    sizes = [2, 8, 2, 1000, 1000, 128, 128, share / 2]
    larger = sizes.copy()
    larger[which] *= 2

    def time_s(x):
        return attention_time_s(device, r, "bf16", *x, backward=backward, flash=flash)

    assert time_s(larger) * ROUNDING >= time_s(sizes)


@law
@given(devices(), rates(), st.floats(0, 1e12), st.floats(0, 1e12), FACTORS)
def test_streams_add_up(device, r, some, more, factor):
    """Two kernels take the time of both; monotone in bandwidth."""
    both = streaming_time_s(device, r, some + more, 2)
    apart = streaming_time_s(device, r, some) + streaming_time_s(device, r, more)
    assert np.isclose(both, apart)
    assert streaming_time_s(wider(device, factor), r, some) <= streaming_time_s(device, r, some)
