"""Fits `datasets/calibrations/training.json` on the published runs, on top of the kernels' calibration.

    python bench/fit_training.py [--choose] [--date YYYY-MM-DD]

With `--choose` it first tries every parameter beside the common sustained fraction, each source held out, and
prints what it gains. Only what gains is fitted: more parameters fit better and predict worse.
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np

from meshwright.planner.calibrations import read_calibration, write_calibration
from meshwright.planner.fitting import FittedCalibration, calibrate
from meshwright.planner.fitting.free_parameters import BY_KIND, FREE_PARAMETERS, SUSTAINED, FreeParameter
from meshwright.planner.fitting.measured_steps import measured_steps
from meshwright.planner.fitting.robust import Estimate
from meshwright.planner.fitting.step_errors import step_errors
from meshwright.planner.fitting.step_fit import StepFit, each_unseen_s, first_half, fit_steps
from meshwright.planner.runs import shipped_runs

FOLDER = Path(__file__).parent.parent / "datasets"
CHOSEN = (SUSTAINED, "host_launch_ratio")
"""Parameters that held-out sources gain by; kinds of accelerator come along."""


def chosen(names: Sequence[str]) -> list[FreeParameter]:
    return [parameter for parameter in FREE_PARAMETERS if parameter.name in names]


def fitted(names: Sequence[str], date: str) -> FittedCalibration:
    table = files("meshwright.datasets") / "runs" / "runs.csv"
    checksum = sha256(table.read_bytes()).hexdigest()
    provenance = {"training table": f"datasets/runs/runs.csv, SHA-256 {checksum}, {date}"}
    return calibrate(
        shipped_runs(), read_calibration("kernels"), name="training", free=chosen(names), provenance=provenance
    )


def without(full: StepFit, names: Sequence[str]) -> StepFit:
    """The fit of some of the parameters, the others at their priors, to first order around the fit of all."""
    keep = np.array([p.name in names or p.name.startswith(BY_KIND) for p in full.parameters])
    z, slopes = full.estimate.z, full.estimate.jacobian
    residuals = full.estimate.residuals - slopes[:, ~keep] @ z[~keep]
    estimate = Estimate(z[keep], residuals, slopes[:, keep], full.estimate.z_error[keep])
    return replace(full, parameters=tuple(itertools.compress(full.parameters, keep)), estimate=estimate)


def print_gains() -> None:
    """Errors of fits with other parameters free, each on groups and on sources that it didn't see."""
    base = read_calibration("kernels")
    steps = measured_steps(shipped_runs(), base)
    full, first = fit_steps(steps, base, FREE_PARAMETERS), first_half(steps)
    everything = np.ones(len(first), dtype=np.bool_)
    print(f"{'parameters, MAPE / bias':60}  {'held-out half 2':>16}  {'held-out half 1':>16}  {'held-out sources':>16}")
    others = [parameter.name for parameter in FREE_PARAMETERS if parameter.name != SUSTAINED]
    for names in ([SUSTAINED], *([SUSTAINED, name] for name in others), [SUSTAINED, *others]):
        some = without(full, names)
        found = [step_errors(steps, some.predicted_s(seen), ~seen) for seen in (first, ~first)]
        found.append(step_errors(steps, each_unseen_s(some, steps.sources), everything))
        said = "  ".join(f"{errors.mape:7.1%} {errors.abs_bias:8.1%}" for errors in found)
        print(f"{' + '.join(names)[:60]:60}  {said}", flush=True)


def print_fit(found: FittedCalibration) -> None:
    for parameter in found.calibration.parameters:
        told = "" if parameter.is_identified else "  not identified"
        print(f"{parameter.name:40} {parameter.value:8.4f} ± {parameter.standard_error:.4f}{told}")
    print("before", found.before, "after", found.after, *found.halves, "other sources", found.other_sources, sep="\n")
    print("coverage", found.coverage, found.calibration.step_time_error)
    print(found.calibration.memory_error, "fine-tuning", found.calibration.fine_tuning_memory_error)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--date", default="")
    arguments = parser.parse_args()
    if arguments.choose:
        print_gains()
    result = fitted(CHOSEN, arguments.date)
    print_fit(result)
    write_calibration(result.calibration, FOLDER / "calibrations" / "training.json")
