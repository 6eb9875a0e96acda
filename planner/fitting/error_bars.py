"""Error bars from residuals on groups that a fit didn't see: interval widths, and the spread of peak memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.candidates import BoolColumn, FloatColumn, IntColumn
from meshwright.cost_models.price import COMMUNICATION_TERMS, HOST_TERMS
from meshwright.cost_models.uncertainty import INTERVAL, PeakMemoryError, StepTimeError
from meshwright.planner.fitting.measured_steps import measured_steps
from meshwright.planner.fitting.step_fit import ROWS_OF_A_SOURCE, StepFit, each_unseen_s, first_half, source_weights
from meshwright.planner.runs import Run, predict_runs
from meshwright.planner.validation.fit import CONTESTED, capacities_gib

TAIL = (1.0 - INTERVAL) / 2.0
LEAST_WIDTH = 0.01
"""No interval is narrower than ±1 %: repeats of one run differ by as much."""
MIN_SOURCES = 4
PRETRAIN = "pretrain"
UNSTATED = "method not stated"
"""Notes with these words doubt how the memory was measured."""
LEAST_SPREAD = 0.005
UNSEEN_SPREAD = 0.073
"""Least spread of needed over predicted memory that is believed: what was fitted on pre-training runs before the
mechanisms that now explain them were looked for, with these runs in view. On runs that nobody looked at it won't be
less."""
OUTLIERS = 0.1
"""Share of published peaks that don't belong to the plan they are printed beside, such as 8-bit optimizers that no
column tells: a judgement, as every robust loss has one."""


class Meaning(IntEnum):
    """What a measured peak says about the memory that a run needs."""

    EXACT = 0
    AT_MOST = 1
    AT_LEAST = 2


@dataclass(frozen=True)
class StepResiduals:
    """Steps predicted by fits that didn't see them; (num_rows,) each.

    Attributes:
        log_ratio: log(measured / predicted).
        communication: Share of the predicted step that waits for links.
        host: Share that waits for the host.
        weights: Of the rows: sources count alike.
    """

    log_ratio: FloatColumn
    communication: FloatColumn
    host: FloatColumn
    weights: FloatColumn

    def __getitem__(self, rows: BoolColumn) -> "StepResiduals":
        return StepResiduals(self.log_ratio[rows], self.communication[rows], self.host[rows], self.weights[rows])


def step_time_error_of(fitted: StepFit) -> tuple[StepTimeError, float]:
    """Interval widths from every source predicted by a fit on the others, and how many held-out steps they cover.

    For the coverage the widths are fitted on either half of the groups and tried on the other.
    """
    steps, calibration = fitted.steps, fitted.calibration()
    shares = (steps.shares(calibration, terms) for terms in (COMMUNICATION_TERMS, HOST_TERMS))
    communication, host = (share.clip(0.0, 1.0) for share in shares)
    weights = source_weights(steps, np.ones(len(steps.runs), dtype=np.bool_))

    def residuals(labels: Sequence[str]) -> StepResiduals:
        log_ratio = np.log(steps.measured_s / each_unseen_s(fitted, labels))
        return StepResiduals(log_ratio, communication, host, weights)

    unseen, first, kinds = residuals(steps.sources), first_half(steps), sorted(set(steps.kinds))
    covered = [coverage(step_time_error(unseen[half]), unseen[~half]) for half in (first, ~first)]
    error = step_time_error(unseen)
    further = extra_width(error, residuals(steps.kinds)) if len(kinds) > 1 else 0.0
    error = replace(error, unseen_kind=further, seen_kinds=tuple(kinds))
    return replace(error, unseen_framework=_unseen_framework(error, fitted)), float(np.mean(covered))


def _unseen_framework(error: StepTimeError, fitted: StepFit) -> float:
    """What steps need more width whose framework nobody has described: every run as if it didn't name its own."""
    if len(set(fitted.steps.sources)) < MIN_SOURCES:
        return 0.0
    calibration = fitted.calibration()
    steps = measured_steps([replace(run, framework="") for run in fitted.steps.runs], calibration)
    communication, host = (
        steps.shares(calibration, terms).clip(0.0, 1.0) for terms in (COMMUNICATION_TERMS, HOST_TERMS)
    )
    weights = source_weights(steps, np.ones(len(steps.runs), dtype=np.bool_))
    log_ratio = np.log(steps.measured_s / steps.step_times_s(calibration))
    return extra_width(error, StepResiduals(log_ratio, communication, host, weights))


def peak_memory_error_of(
    runs: Sequence[Run], calibration: Calibration, *, fine_tuning: bool = False
) -> PeakMemoryError | None:
    """Spread of needed over predicted peak memory, each source weighing alike; None with too few sources.

    Allocated bytes are what a run needs. What an allocator reserves, or a device reports, is no less: some of it
    could be given back. A run that ran out of memory needed no less than the capacity. Fine-tuning has
    an error of its own: its scripts change memory in ways that no column tells (8-bit optimizers, chunked losses).
    """
    training = [run for run in runs if ((run.task or PRETRAIN) != PRETRAIN) == fine_tuning]
    known = [run for run in training if run.has_scorable_memory or _ran_out(run)]
    peaks = [prediction.peak_memory_gib for prediction in predict_runs(known, calibration, cached=0.0)]
    pairs = [(run, peak) for run, peak in zip(known, peaks, strict=True) if peak]
    sources = [run.source for run, _ in pairs]
    if len(set(sources)) < MIN_SOURCES:
        return None
    known_gib = [run.peak_mem_gib or capacities_gib()[run.accelerator] for run, _ in pairs]
    log_ratio = np.log(np.array(known_gib) / np.array([peak for _, peak in pairs]))
    weights = np.minimum(1.0, ROWS_OF_A_SOURCE / np.array([sources.count(source) for source in sources]))
    error = peak_memory_error(log_ratio, np.array([_meaning(run) for run, _ in pairs]), weights)
    return replace(error, spread=max(error.spread, UNSEEN_SPREAD))


def _meaning(run: Run) -> Meaning:
    """What a run's memory says about what it needs."""
    if not run.has_scorable_memory:
        return Meaning.AT_LEAST
    is_exact = "allocated" in run.mem_basis and UNSTATED not in run.note
    return Meaning.EXACT if is_exact else Meaning.AT_MOST


def _ran_out(run: Run) -> bool:
    """Whether a run certainly ran out of memory."""
    return bool(run.oom) and run.accelerator in capacities_gib() and not any(text in run.note for text in CONTESTED)


def weighted_quantile(values: FloatColumn, weights: FloatColumn, quantile: float) -> float:
    """The value below which a share of the weight lies."""
    order = np.argsort(values)
    share = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    return float(np.interp(quantile, share, values[order]))


def step_time_error(residuals: StepResiduals) -> StepTimeError:
    """Interval widths by quantile regression, then scaled so that a tenth of the weight lies beyond either end."""
    features = np.stack([np.ones_like(residuals.host), residuals.communication, residuals.host], axis=1)
    slopes = np.maximum(_quantile_regression(features, np.abs(residuals.log_ratio), residuals.weights), 0.0)
    scaled = residuals.log_ratio / np.maximum(features @ slopes, LEAST_WIDTH)
    below = max(-weighted_quantile(scaled, residuals.weights, TAIL), LEAST_WIDTH)
    above = max(weighted_quantile(scaled, residuals.weights, 1.0 - TAIL), LEAST_WIDTH)
    base, communication, host = np.maximum(slopes * below, (LEAST_WIDTH, 0.0, 0.0)).tolist()
    return StepTimeError(base, communication, host, above / below)


def _quantile_regression(features: NDArray[np.float64], values: FloatColumn, weights: FloatColumn) -> FloatColumn:
    """Non-negative slopes of the `INTERVAL` quantile (Koenker and Bassett, 1978), as a linear programme.

    Minimise Σ w (q·over + (1-q)·under) subject to features · slopes + over - under = values, all ≥ 0.
    """
    from scipy.optimize import linprog  # noqa: PLC0415 - an optional dependency

    rows, columns = features.shape
    cost = np.concatenate([np.zeros(columns), INTERVAL * weights, (1.0 - INTERVAL) * weights])
    equality = np.hstack([features, np.eye(rows), -np.eye(rows)])
    return np.asarray(linprog(cost, A_eq=equality, b_eq=values, bounds=(0, None)).x[:columns])


def _widths(error: StepTimeError, residuals: StepResiduals) -> FloatColumn:
    """(num_rows,) half-widths of the intervals, on the side that each residual lies on."""
    below = error.base + error.communication * residuals.communication + error.host * residuals.host
    return np.where(residuals.log_ratio > 0.0, below * error.above, below)


def inside_interval(error: StepTimeError, residuals: StepResiduals) -> BoolColumn:
    """(num_rows,) whether each measured step lies in its interval."""
    return np.asarray(np.abs(residuals.log_ratio) <= _widths(error, residuals))


def coverage(error: StepTimeError, residuals: StepResiduals) -> float:
    """Weighted share of steps inside their interval."""
    return float((inside_interval(error, residuals) * residuals.weights).sum() / residuals.weights.sum())


def extra_width(error: StepTimeError, residuals: StepResiduals) -> float:
    """What must be added below for as many steps of unseen kinds to be inside as of seen ones."""
    excess = np.abs(residuals.log_ratio) - _widths(error, residuals)
    sides = np.where(residuals.log_ratio > 0.0, error.above, 1.0)
    return max(weighted_quantile(excess / sides, residuals.weights, INTERVAL), 0.0)


def peak_memory_error(log_ratio: FloatColumn, meaning: IntColumn, weights: FloatColumn) -> PeakMemoryError:
    """The most likely log-logistic distribution; a share `OUTLIERS` of the rows may lie anywhere within e^±1.

    Args:
        log_ratio: (num_rows,) log(known / predicted).
        meaning: (num_rows,) what is known, by `Meaning`.
        weights: (num_rows,) of the rows.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - an optional dependency

    anywhere = np.clip((log_ratio + 1.0) / 2.0, 0.01, 0.99)

    def loss(x: FloatColumn) -> float:
        z = np.clip((log_ratio - x[0]) / np.exp(x[1]), -700.0, 700.0)
        below = 1.0 / (1.0 + np.exp(-z))
        chances = (
            (1.0 - OUTLIERS) * below * (1.0 - below) / np.exp(x[1]) + OUTLIERS / 2.0,
            (1.0 - OUTLIERS) * below + OUTLIERS * anywhere,
            (1.0 - OUTLIERS) * (1.0 - below) + OUTLIERS * (1.0 - anywhere),
        )
        return float(-(weights * np.log(np.choose(meaning, chances))).sum())

    middle = weighted_quantile(log_ratio, weights, 0.5)
    starts = [(center, np.log(spread)) for center in (0.0, middle) for spread in (0.05, 0.15)]
    bounds = ((-2.0, 2.0), (np.log(LEAST_SPREAD), 0.0))
    best = min((minimize(loss, start, bounds=bounds) for start in starts), key=lambda found: float(found.fun))
    return PeakMemoryError(float(np.exp(best.x[0])), float(np.exp(best.x[1])))
