"""How close predictions come to published runs: errors, ranking, memory, fit."""

from meshwright.planner.validation.errors import ErrorStatistics, error_statistics
from meshwright.planner.validation.fit import FitScore
from meshwright.planner.validation.ranking import RankGroup, kendall_tau_b, top_1_regret
from meshwright.planner.validation.report import ValidationReport, score_predictions, validate

__all__ = [
    "ErrorStatistics",
    "FitScore",
    "RankGroup",
    "ValidationReport",
    "error_statistics",
    "kendall_tau_b",
    "score_predictions",
    "top_1_regret",
    "validate",
]
