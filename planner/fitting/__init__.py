"""Calibrations from measured steps: the few free parameters of a training step, with error bars."""

from meshwright.planner.fitting.calibrate import calibrate, calibrate_table
from meshwright.planner.fitting.fitted import FittedCalibration, HalfErrors
from meshwright.planner.fitting.step_errors import StepErrors

__all__ = ["FittedCalibration", "HalfErrors", "StepErrors", "calibrate", "calibrate_table"]
