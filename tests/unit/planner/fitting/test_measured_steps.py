"""Measured steps are priced as the runs that `predict_runs` reads."""

import numpy as np
import pytest

from meshwright.cost_models.calibration import Calibration
from meshwright.planner.fitting.measured_steps import measured_steps
from meshwright.planner.runs import predict_runs, shipped_runs


def test_steps_recompute_what_predictions_recompute(kernels: Calibration) -> None:
    """Runs without pipelines take the same time in fits and in predictions, also where recomputation is filled in."""
    runs = [run for run in shipped_runs() if run.source == "nemo-automodel" and (run.pp or 1) == 1]
    steps = measured_steps(runs, kernels)
    predicted = {one.run_id: one.step_time_s for one in predict_runs(runs, kernels)}
    assert steps.step_times_s(kernels) == pytest.approx(np.array([predicted[run.run_id] for run in steps.runs]))
