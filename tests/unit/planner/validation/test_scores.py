"""Scores against cases small enough to work out by hand."""

import json
from dataclasses import replace

import pytest

from meshwright.planner.runs import Prediction, Run
from meshwright.planner.validation import (
    error_statistics,
    kendall_tau_b,
    score_predictions,
    top_1_regret,
)


def test_error_statistics_by_hand():
    stats = error_statistics([1.0, 2.0, 4.0, 10.0], [1.1, 1.8, 6.0, None])
    assert (stats.num_rows, stats.num_missing) == (4, 1)
    assert stats.mape == pytest.approx((0.1 + 0.1 + 0.5) / 3)
    assert stats.median_ape == pytest.approx(0.1)
    assert stats.bias == pytest.approx((0.1 - 0.1 + 0.5) / 3)
    assert stats.p90_ape == pytest.approx(0.1 + 0.8 * 0.4)  # NumPy interpolates between the 2nd and 3rd of three
    assert stats.mape_with_missing == pytest.approx((0.7 + 1.0) / 4)


@pytest.mark.parametrize(
    ("predicted", "measured", "tau"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([4, 3, 2, 1], [10, 20, 30, 40], -1.0),
        ([1, 2, 4, 3], [10, 20, 30, 40], (5 - 1) / 6),
        ([1, 1, 2, 3], [10, 20, 30, 40], 5 / (5 * 6) ** 0.5),  # one tie in the prediction
        ([1, 1, 1, 1], [10, 20, 30, 40], 0.0),
        (
            [1, 2, float("inf"), float("inf")],
            [10, 20, 30, 40],
            5 / (5 * 6) ** 0.5,
        ),  # missing ranks last, and ties
    ],
)
def test_kendall_tau_b_by_hand(predicted, measured, tau):
    assert kendall_tau_b(predicted, measured) == pytest.approx(tau)


def test_regret_averages_the_plans_that_tie_for_fastest():
    assert top_1_regret([1.0, 2.0], [10.0, 12.0]) == pytest.approx(0.0)
    assert top_1_regret([2.0, 1.0], [10.0, 12.0]) == pytest.approx(0.2)
    assert top_1_regret([1.0, 1.0, 3.0], [10.0, 12.0, 9.0]) == pytest.approx(11 / 9 - 1)


def rows() -> list[Run]:
    """Five plans of one job, one of them measured twice, and a failure."""
    base = Run(run_id="", source="lab", quality="A", accelerator="a100-80gb", rank_group="job")
    runs = [
        replace(base, run_id=str(tp), tp=tp, step_time_s=float(tp), peak_mem_gib=40.0, mem_basis="allocated")
        for tp in (1, 2, 4, 8)
    ]
    runs.append(replace(base, run_id="again", tp=8, step_time_s=10.0))
    runs.append(replace(base, run_id="oom", tp=16, quality="C", oom=True, failed=True))
    return runs


def test_repeats_of_a_plan_are_averaged_before_ranking():
    predictions = [Prediction(run.run_id, step, 50.0) for run, step in zip(rows(), (1, 2, 4, 9, 9, 1), strict=True)]
    report = score_predictions(rows(), predictions, "none")
    (group,) = report.groups
    assert (group.num_plans, group.tau, group.regret) == (4, pytest.approx(1.0), 0.0)
    assert report.time_macro is not None
    assert report.time_macro.mape == pytest.approx((1 / 8 + 1 / 10) / 5)


def test_fit_counts_confirmed_failures_said_to_fit():
    predictions = [
        Prediction(run.run_id, 1.0, memory) for run, memory in zip(rows(), (50, 90, 50, 50, 50, 60), strict=True)
    ]
    report = score_predictions(rows(), predictions, "none")
    assert (report.fit_confirmed.false_fit, report.fit_confirmed.false_oom) == (1.0, 0.25)
    assert report.fit_unconfirmed.num_failed == 0


def test_a_report_serialises_to_json():
    predictions = [Prediction(run.run_id, reason="not priced") for run in rows()]
    report = score_predictions(rows(), predictions, "none")
    assert report.num_priced == 0
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["time"]["source"]["lab"]["mape_with_missing"] == 1.0
    assert len(report.unpriced) == len(rows())
