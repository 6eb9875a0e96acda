"""How far predictions of measured steps are off, over sources."""

from dataclasses import dataclass

from meshwright.cost_models.candidates import BoolColumn, FloatColumn
from meshwright.planner.fitting.measured_steps import MeasuredSteps
from meshwright.planner.validation.errors import error_statistics, errors_by, macro_error


@dataclass(frozen=True, slots=True)
class StepErrors:
    """Errors of predicted step times: means over sources of at least five rows, or over rows if there are none.

    Attributes:
        num_rows: Rows.
        mape: Mean |predicted - measured| / measured.
        abs_bias: Mean over sources of |mean (predicted - measured) / measured|.
    """

    num_rows: int
    mape: float
    abs_bias: float


def step_errors(steps: MeasuredSteps, predicted_s: FloatColumn, rows: BoolColumn) -> StepErrors:
    """Errors on some of the rows."""
    chosen = [
        (run, measured, predicted)
        for run, measured, predicted, row in zip(
            steps.runs, steps.measured_s.tolist(), predicted_s.tolist(), rows.tolist(), strict=True
        )
        if row
    ]
    macro = macro_error(errors_by(chosen, lambda run: run.source))
    if macro is not None:
        return StepErrors(len(chosen), macro.mape, macro.abs_bias)
    pooled = error_statistics([row[1] for row in chosen], [row[2] for row in chosen])
    return StepErrors(len(chosen), pooled.mape, abs(pooled.bias))
