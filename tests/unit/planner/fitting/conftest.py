"""Runs whose step times Meshwright itself made up, so that the right answer of a fit is known."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.training_rates import TrainingRates
from meshwright.planner.calibrations import read_calibration
from meshwright.planner.runs import Run, predict_runs, shipped_runs


@pytest.fixture(scope="session")
def kernels() -> Calibration:
    """Rates of kernels and collectives run alone."""
    return read_calibration("kernels")


@pytest.fixture(scope="session")
def some_runs() -> tuple[Run, ...]:
    """Up to eight plans of one job from each source that ranks plans: few jobs are quick to price."""
    groups: dict[str, dict[str, list[Run]]] = {}
    for run in shipped_runs():
        if run.has_scorable_time and run.rank_group:
            groups.setdefault(run.source, {}).setdefault(run.group_id, []).append(run)
    largest = [max(jobs.values(), key=len) for jobs in groups.values()]
    return tuple(run for runs in largest for run in runs[:: -(-len(runs) // 8)])


@pytest.fixture
def made_up(kernels: Calibration) -> Callable[[Sequence[Run], TrainingRates, float], list[Run]]:
    """Makes runs whose steps take what given rates say, with log-normal noise."""

    def make(runs: Sequence[Run], training: TrainingRates, noise: float) -> list[Run]:
        predictions = predict_runs(runs, replace(kernels, training=training))
        factors = np.exp(noise * np.random.default_rng(0).standard_normal(len(runs)))
        return [
            replace(run, step_time_s=(prediction.step_time_s or 0.0) * float(factor))
            for run, prediction, factor in zip(runs, predictions, factors, strict=True)
        ]

    return make
