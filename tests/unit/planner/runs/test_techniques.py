"""What notes tell of techniques, and what runs recompute that don't say."""

from dataclasses import replace

import pytest

from meshwright.cost_models.calibration import Calibration
from meshwright.planner.runs.job import run_job
from meshwright.planner.runs.predict import predict_runs
from meshwright.planner.runs.run import Run
from meshwright.planner.runs.table import shipped_runs
from meshwright.planner.runs.techniques import document_tokens, is_compiled, techniques

UNSAID = "assumed: recompute not printed, none assumed (table default)"


def row(run_id: str) -> Run:
    return next(run for run in shipped_runs() if run.run_id == run_id)


def test_steps_of_a_cumulative_table_include_those_before() -> None:
    """torchtune's table adds one technique a row."""
    run = row("tune-0013")
    assert techniques(run) == {"Packed", "Compile", "Chunked CE", "Activation Checkpointing"}
    assert is_compiled(run)
    assert not is_compiled(row("tune-0010"))
    assert techniques(row("tune-0009")) == set()


def test_packed_examples_attend_within_themselves_where_the_framework_masks_them() -> None:
    """torchtune masks documents, and examples of instructions are short; its unpacked baseline has none to mask."""
    assert run_job(row("tune-0010"), Calibration.spec_sheet())[0].workload.document_len == 512
    assert document_tokens(row("tune-0009")) is None
    assert run_job(row("ultra-0001"), Calibration.spec_sheet())[0].workload.document_len is None


@pytest.mark.parametrize(("model", "recomputes"), [("automodel-013", True), ("automodel-011", False)])
def test_what_cannot_have_fitted_was_recomputed(model: str, recomputes: bool) -> None:
    """A row with a default in its recompute column is priced as one that says full, if only so it fits."""
    run = row(model)
    assert UNSAID in run.note
    told = replace(run, recompute="full", note="")
    unsaid_s, told_s = (one.step_time_s for one in predict_runs([run, told], Calibration.spec_sheet()))
    assert (unsaid_s == told_s) == recomputes


def test_each_technique_of_the_cumulative_table_needs_less_memory() -> None:
    """From packing to 8-bit moments, predicted peaks fall as the measured ones do."""
    runs = [row(f"tune-00{number}") for number in range(10, 17)]
    peaks = [one.peak_memory_gib or 0.0 for one in predict_runs(runs, Calibration.spec_sheet())]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)
