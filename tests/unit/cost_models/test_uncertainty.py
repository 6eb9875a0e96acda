"""Laws of error bars and of the chance of running out of memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.cost_models.uncertainty import (
    PeakMemoryError,
    StepTimeError,
    memory_limit_bytes,
    out_of_memory_probability,
    step_time_interval_s,
)

errors = st.builds(PeakMemoryError, st.floats(0.7, 1.5), st.floats(0.005, 0.3))


def interval(error, kind="nvidia-hopper", step_s=10.0, communication=0.0, host=0.0):
    """One interval."""
    low, high = step_time_interval_s(error, kind, *(np.array([x]) for x in (step_s, communication, host)))
    return float(low[0]), float(high[0])


@given(errors, st.floats(1e-4, 0.5), st.floats(1e9, 1e12))
def test_at_the_limit_the_risk_is_the_highest_allowed(error, risk, capacity):
    """Limit and probability are each other's inverse."""
    limit = memory_limit_bytes(error, capacity, risk)
    assert out_of_memory_probability(error, limit, capacity) == pytest.approx(risk, rel=1e-6)


@given(errors, st.floats(1e-3, 0.4), st.floats(1.01, 2.0))
def test_more_risk_or_more_memory_allows_more(error, risk, more):
    """The limit grows with the risk, and in proportion to the capacity."""
    limit = memory_limit_bytes(error, 80e9, risk)
    assert memory_limit_bytes(error, 80e9, risk * more) > limit
    assert memory_limit_bytes(error, 80e9 * more, risk) == pytest.approx(limit * more)


@given(errors, st.floats(1.0, 1e15), st.floats(1.001, 10.0))
def test_a_larger_peak_is_never_safer(error, peak, more):
    """The chance grows with the peak, and is a chance at any size."""
    first, second = out_of_memory_probability(error, np.array([peak, peak * more]), 80e9)
    assert 0.0 <= first <= second <= 1.0


def test_half_of_the_runs_overflow_at_the_median():
    """With a median of 1.25, a predicted peak of 64 of 80 GB is a coin toss."""
    assert out_of_memory_probability(PeakMemoryError(1.25, 0.05), 64e9, 80e9) == pytest.approx(0.5)


def test_intervals_hold_the_prediction_and_widen_with_doubt():
    """Communication, host time and unseen kinds each widen the interval; the prediction is always inside."""
    error = StepTimeError(0.1, 0.3, 0.5, 1.5, 0.2, ("nvidia-hopper",))
    low, high = interval(error)
    assert low < 10.0 < high
    assert high == pytest.approx(10.0 * np.exp(0.15))
    for wider in ({"communication": 0.4}, {"host": 0.4}, {"kind": "google-tpu"}):
        wider_low, wider_high = interval(error, **wider)
        assert wider_low < low
        assert wider_high > high


def test_without_measured_steps_no_kind_counts_as_unseen():
    """A calibration that no step was measured for treats all kinds alike."""
    error = StepTimeError(0.1, 0.3, 0.5, 1.5, 0.2)
    assert interval(error, "google-tpu") == interval(error, "nvidia-hopper")


def test_stand_in_frameworks_widen_the_interval():
    """Nobody knows what an undescribed framework does: both ends move out, by as much as was fitted."""
    known = StepTimeError(0.1, above=1.5, unseen_framework=0.2)
    sizes = (np.array([10.0]), np.zeros(1), np.zeros(1))
    near = step_time_interval_s(known, "nvidia-hopper", *sizes)
    wide = step_time_interval_s(known, "nvidia-hopper", *sizes, is_stand_in=True)
    assert float(near[0][0] / wide[0][0]) == pytest.approx(np.exp(0.2))
    assert float(wide[1][0] / near[1][0]) == pytest.approx(np.exp(0.3))
