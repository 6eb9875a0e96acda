"""Cells that contradict the files which their rows cite."""

from importlib.resources import as_file, files

import pytest

from meshwright.errors import RunsError
from meshwright.planner.runs.corrections import Corrections, shipped_corrections
from meshwright.planner.runs.table import read_runs, shipped_runs


def test_shipped_runs_are_corrected_and_a_file_is_read_as_it_is() -> None:
    """Seven cells of three rows; nothing else differs from the table."""
    with as_file(files("meshwright.datasets") / "runs" / "runs.csv") as path:
        written = read_runs(path)
    corrected = {after.run_id for before, after in zip(written, shipped_runs(), strict=True) if before != after}
    assert corrected == {run_id for run_id, _ in shipped_corrections().cells}
    assert len(corrected) == 3


def test_a_correction_of_what_a_cell_does_not_say_is_an_error() -> None:
    """A newer table may have been corrected at its source."""
    stale = Corrections({("ultra-0001", "tp"): ("64", "2")})
    table = files("meshwright.datasets") / "runs" / "runs.csv"
    with as_file(table) as path, pytest.raises(RunsError, match="'64' was"):
        read_runs(path, stale)
