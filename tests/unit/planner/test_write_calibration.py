"""Writing calibrations: whole or not at all."""

import json

import pytest

from meshwright.cost_models.calibration import Calibration
from meshwright.errors import FileError
from meshwright.planner.calibrations import list_calibrations, read_calibration, write_calibration


@pytest.mark.parametrize("name", list_calibrations())
def test_every_calibration_survives_a_file(name, tmp_path):
    """What was written reads back equal."""
    write_calibration(read_calibration(name), tmp_path / "copy.json")
    assert read_calibration(tmp_path / "copy.json") == read_calibration(name)
    assert [path.name for path in tmp_path.iterdir()] == ["copy.json"]


def test_an_unwritable_place_is_said(tmp_path):
    """A missing folder, or a file where a folder should be."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "a.json", tmp_path / "file" / "a.json"):
        with pytest.raises(FileError, match="can't be written"):
            write_calibration(Calibration.spec_sheet(), path)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"training": {"sustaned_fraction": 1}},
            r"training\.sustaned_fraction is unknown; known are sustained_fraction",
        ),
        (
            {"training": {"sustained_fraction": 0}},
            r"training\.sustained_fraction must be finite and above 0, but got 0",
        ),
        ({"training": {"sustained_fractions": {"nvidia-hopper": -1}}}, "above 0, but got -1"),
        ({"training": {"step_overhead_s": -1}}, "at least 0, but got -1"),
        ({"memory_error": {"spread": 0}}, r"memory_error\.spread must be finite and above 0"),
        ({"step_time_error": {"base": "wide"}}, r"step_time_error\.base: Input should be a valid number"),
    ],
)
def test_bad_parts_are_refused(part, message, tmp_path):
    """A misspelt or impossible value never goes unnoticed."""
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"name": "bad", **part}))
    with pytest.raises(FileError, match=message):
        read_calibration(path)
