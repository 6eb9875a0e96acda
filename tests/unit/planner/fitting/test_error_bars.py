"""Error bars cover what they claim, on residuals of known distributions."""

import numpy as np
import pytest

from meshwright.planner.fitting.error_bars import (
    Meaning,
    StepResiduals,
    coverage,
    extra_width,
    peak_memory_error,
    step_time_error,
    weighted_quantile,
)


def residuals(seed, rows=1500):
    """Log-normal errors, wider where a step communicates, and skewed to the slow side."""
    rng = np.random.default_rng(seed)
    communication, host = rng.uniform(0, 0.5, rows), rng.uniform(0, 0.2, rows)
    log_ratio = (0.05 + 0.4 * communication) * rng.standard_normal(rows)
    return StepResiduals(np.where(log_ratio > 0, 2 * log_ratio, log_ratio), communication, host, np.ones(rows))


def test_intervals_cover_what_they_claim():
    """Fitted on one half, 80 % of the other half lies inside, for quiet and for communicating steps."""
    error, others = step_time_error(residuals(0)), residuals(1)
    assert coverage(error, others) == pytest.approx(0.8, abs=0.03)
    for rows in (others.communication < 0.2, others.communication > 0.3):
        assert coverage(error, others[rows]) == pytest.approx(0.8, abs=0.06)
    assert error.above > 1.5
    assert error.communication > 0.2


def test_both_tails_are_alike():
    """A tenth lies beyond either end."""
    error, others = step_time_error(residuals(2)), residuals(3)
    below = error.base + error.communication * others.communication + error.host * others.host
    assert np.mean(others.log_ratio < -below) == pytest.approx(0.1, abs=0.03)
    assert np.mean(others.log_ratio > below * error.above) == pytest.approx(0.1, abs=0.03)


def test_unseen_kinds_need_more_width_only_where_they_err_more():
    """Residuals of the same size need nothing more; twice as large ones do."""
    error, same = step_time_error(residuals(4)), residuals(5)
    larger = StepResiduals(2 * same.log_ratio, same.communication, same.host, same.weights)
    assert extra_width(error, same) < 0.01
    assert extra_width(error, larger) > 0.05


def test_memory_distribution_is_recovered():
    """The most likely log-logistic distribution is the one that residuals were drawn from, outliers or not."""
    draws = np.random.default_rng(0).logistic(0.1, 0.05, 4000)
    draws[:200] = np.random.default_rng(1).uniform(-1, 1, 200)
    error = peak_memory_error(draws, np.full(4000, Meaning.EXACT), np.ones(4000))
    assert error.median == pytest.approx(np.exp(0.1), rel=0.01)
    assert error.spread == pytest.approx(0.05, rel=0.12)


def test_failures_count_as_more_than_the_capacity():
    """Of runs that overflowed only a lower bound is known: the fit stays right, where taking it as exact would not."""
    draws = np.random.default_rng(1).logistic(0.0, 0.05, 4000)
    meaning = np.where(draws > 0.05, Meaning.AT_LEAST, Meaning.EXACT)
    known = np.minimum(draws, 0.05)
    error, naive = (peak_memory_error(known, said, np.ones(4000)) for said in (meaning, np.zeros(4000, dtype=int)))
    assert error.median == pytest.approx(1.0, abs=0.01)
    assert error.spread == pytest.approx(0.05, rel=0.12)
    assert naive.spread < 0.045


def test_reserved_bytes_count_as_no_less_than_what_is_needed():
    """What an allocator reserves on top of what a run needs doesn't raise the median."""
    rng = np.random.default_rng(2)
    needed, reserves = rng.logistic(0.0, 0.05, 4000), rng.random(4000) < 0.5
    known = np.where(reserves, needed + 0.3, needed)
    error = peak_memory_error(known, np.where(reserves, Meaning.AT_MOST, Meaning.EXACT), np.ones(4000))
    assert error.median == pytest.approx(1.0, abs=0.01)


def test_weighted_quantiles_follow_the_weight():
    """A value with most of the weight is every middle quantile."""
    values, weights = np.array([1.0, 2.0, 3.0]), np.array([0.05, 0.9, 0.05])
    assert weighted_quantile(values, weights, 0.5) == pytest.approx(2.0)
    assert weighted_quantile(values, np.ones(3), 0.5) == pytest.approx(2.0)
