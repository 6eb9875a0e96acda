"""Published, measured runs: reading them, pricing them, writing predictions."""

from meshwright.planner.runs.predict import Prediction, predict_runs
from meshwright.planner.runs.run import Run
from meshwright.planner.runs.table import read_runs, shipped_runs, write_predictions

__all__ = ["Prediction", "Run", "predict_runs", "read_runs", "shipped_runs", "write_predictions"]
