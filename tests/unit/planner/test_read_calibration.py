"""Reading calibrations: the shipped one, and a user's file."""

import json

import pytest

from meshwright.cost_models.calibration import Calibration
from meshwright.errors import FileError
from meshwright.planner.calibrations import list_calibrations, read_calibration, shipped_calibration


def test_shipped_calibration_says_where_from_and_how_well():
    """Every kind has rates, and every fit its residuals and its source."""
    shipped = shipped_calibration()
    assert {"nvidia-volta", "nvidia-ampere", "nvidia-hopper", "nvidia-blackwell"} <= set(shipped.kernels)
    assert "default" in shipped.collectives
    assert {"aiconfigurator", "apex_plus", "method"} <= set(shipped.provenance)
    assert all(residual.held_out_rows > 0 for residual in shipped.residuals)


def test_shipped_fits_hold_out_of_sample():
    """Held-out GEMMs, attention and NVLink collectives are within a tenth, at the median."""
    fitted = [r for r in shipped_calibration().residuals if r.subject.startswith(("gemm", "att", "collectives nv"))]
    assert len(fitted) == 14
    assert all(r.held_out_median < 0.10 for r in fitted)
    assert all(abs(r.held_out_bias) < 0.04 for r in fitted)


def test_names_are_known():
    """Names and files are both calibrations."""
    assert list_calibrations() == ("spec-sheet", "kernels", "training")
    assert read_calibration("spec-sheet") == Calibration.spec_sheet()
    assert read_calibration("training") == shipped_calibration()


def test_a_file_overrides_what_it_names(tmp_path):
    """What a file leaves out keeps its default."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "mine", "kernels": {"default": {"launch_s": 1e-6}}}))
    kernels = read_calibration(path).kernels["default"]
    assert kernels.launch_s == 1e-6
    assert kernels.memory_fraction == 0.83


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "the file: Input should be a dictionary"),
        ("{}", "name: Field required"),
        ('{"name": "x", "kernel": {}}', "kernel is unknown; known are name, kernels"),
        ('{"name": "x", "kernels": {"a": {"lunch_s": 1}}}', r"kernels\.a\.lunch_s is unknown"),
        (
            '{"name": "x", "kernels": {"a": {"launch_s": -1}}}',
            r"launch_s must be finite and at least 0, but got -1",
        ),
        ('{"name": "x", "kernels": {"a": {"launch_s": NaN}}}', "must be finite"),
        ('{"name": "x", "kernels": {"a": {"matmul_fractions": {"bf16": 0}}}}', "above 0, but got 0"),
        ('{"name": "x", "collectives": {"a": {"hop_s": "soon"}}}', r"collectives\.a\.hop_s: Input should be"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path, text, message):
    """Each message names the place and the value."""
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        read_calibration(path)


def test_all_problems_at_once(tmp_path):
    """Two wrong rates give two problems."""
    path = tmp_path / "bad.json"
    path.write_text('{"name": "x", "kernels": {"a": {"launch_s": -1, "memory_fraction": 0}}}')
    with pytest.raises(FileError) as error:
        read_calibration(path)
    assert len(error.value.problems) == 2


def test_a_missing_file_names_the_known_ones(tmp_path):
    """The message says what would work."""
    with pytest.raises(FileError, match="known names are spec-sheet, kernels"):
        read_calibration(tmp_path / "none.json")
