"""The shipped runs, priced from data sheets alone, against the figures that are committed."""

import json
from importlib.resources import files
from typing import Any

import pytest

from meshwright.planner.validation import ValidationReport, validate

TOLERANCE = 0.002
"""0.2 percentage points: what a change may cost unnoticed."""


@pytest.fixture(scope="module")
def report() -> ValidationReport:
    return validate()


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    text = (files("meshwright.datasets") / "runs" / "expected.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def test_nearly_every_scorable_run_is_priced(report):
    assert report.num_priced >= 0.95 * report.num_scorable


def test_unpriced_rows_say_why(report):
    assert all(prediction.reason for prediction in report.unpriced)


def test_step_time_error_is_no_worse_than_committed(report, expected):
    assert report.time_macro is not None
    assert report.time_macro.mape_with_missing <= expected["time_macro_mape"] + TOLERANCE


def test_memory_error_is_no_worse_than_committed(report, expected):
    assert report.memory_macro is not None
    assert report.memory_macro.mape <= expected["memory_macro_mape"] + TOLERANCE


def test_ranking_is_no_worse_than_committed(report, expected):
    assert report.ranking_mean is not None
    assert report.ranking_mean.tau >= expected["ranking_mean_tau"] - 5 * TOLERANCE


def test_no_more_confirmed_failures_are_said_to_fit_than_committed(report, expected):
    assert report.fit_confirmed.num_said_to_fit <= expected["confirmed_failures_said_to_fit"]
