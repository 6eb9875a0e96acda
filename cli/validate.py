"""`validate`: how close the prices come to published, measured runs."""

from json import dumps as as_json
from pathlib import Path
from typing import Annotated

import typer

from meshwright.cli.options import Calibration, Json, Verbose
from meshwright.cli.output import JsonTarget


def validate(
    runs: Annotated[
        Path | None,
        typer.Argument(help="Measured runs as CSV (datasets/runs/README.md); the shipped ones if left out."),
    ] = None,
    predictions: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write run_id,pred_step_time_s,pred_peak_mem_gib,reason as CSV."),
    ] = None,
    calibration: Calibration = None,
    verbose: Verbose = False,
    json: Json = None,
) -> None:
    """Price published runs, and show the errors."""
    from meshwright.cli.render.accuracy import validation
    from meshwright.cli.render.console import show
    from meshwright.planner.intake import read_rates
    from meshwright.planner.runs import write_predictions
    from meshwright.planner.validation import validate as score

    target, table = JsonTarget.checked(json), JsonTarget.checked(predictions)
    report = score(runs, read_rates(calibration))
    if table.name is not None:
        write_predictions(report.predictions, table.path)
    target.write(as_json(report.to_dict(), indent=2))
    if not target.is_stdout:
        show(validation(report, verbose=verbose))
