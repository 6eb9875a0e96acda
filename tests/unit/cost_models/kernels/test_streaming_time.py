"""Memory-bound kernels, and the roofline's knee."""

import numpy as np
import pytest

from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels import KernelRates, spec_sheet_rates, streaming_time_s
from meshwright.cost_models.kernels.roofline import roofline_s

DEVICE = Accelerator("device", {"bf16": 1e15}, 80e9, 2e12)


def test_bytes_over_achieved_bandwidth_and_a_launch_each():
    """1 GB at half of 2 TB/s takes 1 ms, and three launches of 1 us."""
    rates = KernelRates(memory_fraction=0.5, launch_s=1e-6)
    assert streaming_time_s(DEVICE, rates, 1e9, 3) == pytest.approx(1e-3 + 3e-6)


def test_spec_sheet_rates_are_the_same_for_all():
    """Nothing but the data sheet tells devices apart."""
    other = Accelerator("other", {"fp16": 1e12}, 1.0, 1.0, kind="nvidia-volta")
    assert spec_sheet_rates(DEVICE) == spec_sheet_rates(other)


def test_roofline_lies_between_the_larger_and_the_sum():
    """Overlap is never better than perfect, never worse than none; zero stays zero."""
    compute, memory = np.array([1.0, 2.0, 0.0, 1e-300]), np.array([1.0, 1e-6, 0.0, 1.0])
    time_s = roofline_s(compute, memory)
    assert (time_s >= np.maximum(compute, memory)).all()
    assert (time_s <= compute + memory).all()
    assert time_s[2] == 0.0
