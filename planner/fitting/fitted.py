"""What a fit on measured steps found, with its evidence."""

from collections.abc import Mapping
from dataclasses import dataclass

from meshwright.cost_models.calibration import Calibration
from meshwright.planner.fitting.step_errors import StepErrors


@dataclass(frozen=True)
class HalfErrors:
    """A fit on one half of the groups.

    Attributes:
        fitted: On the half that it saw.
        held_out: On the other half.
    """

    fitted: StepErrors
    held_out: StepErrors


@dataclass(frozen=True)
class FittedCalibration:
    """A calibration fitted on measured steps, with its evidence.

    Attributes:
        calibration: Ready to plan with, and to write to a file.
        before: Errors of the base calibration on all rows.
        after: Errors of the fit on the rows that it saw.
        halves: Fits on either half of the groups, with the other half held out; empty with few groups.
        other_sources: Every source predicted by a fit on the other sources; None with few sources.
        coverage: Share of held-out steps inside their interval, fitted on the other half of the groups; None with
            few sources, where the base's error bars stay.
        unpriced: Why rows with a step time weren't used, by run_id.
        warnings: What the data can't tell.
    """

    calibration: Calibration
    before: StepErrors
    after: StepErrors
    halves: tuple[HalfErrors, ...]
    other_sources: StepErrors | None
    coverage: float | None
    unpriced: Mapping[str, str]
    warnings: tuple[str, ...]
