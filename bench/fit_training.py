"""Fits `datasets/calibrations/training.json` on the published runs, on top of the kernels' calibration.

    python bench/fit_training.py [--choose] [--date YYYY-MM-DD]

With `--choose` it first tries every parameter beside the common sustained fraction, each source held out, and
prints what it gains. Only what gains is fitted: more parameters fit better and predict worse.
"""

import argparse
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import numpy as np

from meshwright.planner.calibrations import read_calibration, write_calibration
from meshwright.planner.fitting import FittedCalibration, calibrate
from meshwright.planner.fitting.free_parameters import FREE_PARAMETERS, SUSTAINED, FreeParameter
from meshwright.planner.runs import shipped_runs

FOLDER = Path(__file__).parent.parent / "datasets"
CHOSEN = (SUSTAINED,)
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


def print_gains(date: str) -> None:
    print(f"{'parameters':60}  {'halves: fitted':>16}  {'held out':>16}  {'sources held out':>16}")
    others = [parameter.name for parameter in FREE_PARAMETERS if parameter.name != SUSTAINED]
    for names in ([SUSTAINED], *([SUSTAINED, name] for name in others), [SUSTAINED, *others]):
        found = fitted(names, date)
        pairs = [
            (
                np.mean([half.fitted.mape for half in found.halves]),
                np.mean([half.fitted.abs_bias for half in found.halves]),
            ),
            (
                np.mean([half.held_out.mape for half in found.halves]),
                np.mean([half.held_out.abs_bias for half in found.halves]),
            ),
        ]
        if found.other_sources is not None:
            pairs.append((found.other_sources.mape, found.other_sources.abs_bias))
        print(f"{' + '.join(names):60}  " + "  ".join(f"{mape:7.1%} {bias:7.1%}" for mape, bias in pairs), flush=True)


def print_fit(found: FittedCalibration) -> None:
    for parameter in found.calibration.parameters:
        told = "" if parameter.is_identified else "  not identified"
        print(f"{parameter.name:40} {parameter.value:8.4f} ± {parameter.standard_error:.4f}{told}")
    print("before", found.before, "after", found.after, *found.halves, "other sources", found.other_sources, sep="\n")
    print("coverage", found.coverage, found.calibration.step_time_error, found.calibration.memory_error)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--date", default="")
    arguments = parser.parse_args()
    if arguments.choose:
        print_gains(arguments.date)
    result = fitted(CHOSEN, arguments.date)
    print_fit(result)
    write_calibration(result.calibration, FOLDER / "calibrations" / "training.json")
