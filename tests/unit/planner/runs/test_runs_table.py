"""Reading tables of runs and writing predictions."""

import csv
from pathlib import Path

import pytest

from meshwright.errors import FileError, RunsError
from meshwright.planner.runs import Prediction, read_runs, shipped_runs, write_predictions

ROW = {
    "run_id": "a", "source": "lab", "model": "m", "n_layers": "2",
    "hidden": "64", "n_heads": "4", "ffn_hidden": "256",
    "vocab": "1000", "seq_len": "128", "accelerator": "a100-80gb", "n_gpus": "1", "global_batch": "4",
    "micro_batch": "1", "dp": "1", "tp": "1", "pp": "1", "sequence_parallel": "0", "step_time_s": "0.5",
}  # fmt: skip


def table(path: Path, *rows: dict[str, str]) -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_cells_become_typed_values_and_empty_ones_none(tmp_path):
    (run,) = read_runs(table(tmp_path / "runs.csv", ROW | {"peak_mem_gib": "", "extra_column": "ignored"}))
    assert (run.n_layers, run.step_time_s, run.sequence_parallel, run.peak_mem_gib) == (2, 0.5, False, None)


def test_every_bad_cell_is_reported_with_row_and_column(tmp_path):
    bad = ROW | {
        "n_gpus": "-8",
        "step_time_s": "nan",
        "tp": "1.5",
        "vocab": "many",
        "sequence_parallel": "yes",
    }
    path = table(tmp_path / "runs.csv", ROW, bad | {"run_id": "a"}, ROW | {"run_id": "", "seq_len": "0"})
    with pytest.raises(RunsError) as caught:
        read_runs(path)
    text = "\n".join(caught.value.problems)
    for wanted in (
        "row 3: run_id 'a' was already used in row 2",
        "row 3: n_gpus must be positive, but is '-8'",
        "row 3: step_time_s must be finite, but is 'nan'",
        "row 3: tp must be a whole number, but is '1.5'",
        "row 3: vocab must be a number, but is 'many'",
        "row 3: sequence_parallel must be 0 or 1, but is 'yes'",
        "row 4: run_id is empty",
        "row 4: seq_len must be positive, but is '0'",
    ):
        assert wanted in text


def test_all_missing_columns_are_named(tmp_path):
    row = {key: value for key, value in ROW.items() if key not in ("hidden", "tp")}
    with pytest.raises(RunsError) as caught:
        read_runs(table(tmp_path / "runs.csv", row))
    assert [problem.split("column ")[1] for problem in caught.value.problems] == ["'hidden'", "'tp'"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", b""])
def test_what_is_no_table_is_one_clear_error(tmp_path, content):
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with pytest.raises(RunsError):
        read_runs(path)


def test_a_missing_file_is_a_file_error(tmp_path):
    with pytest.raises(FileError, match="can't read"):
        read_runs(tmp_path / "none.csv")


def test_predictions_are_written_whole_or_not_at_all(tmp_path):
    rows = (Prediction("a", 1.5, 20.25), Prediction("b", reason="accelerator unknown, so no time"))
    path = tmp_path / "out.csv"
    write_predictions(rows, path)
    with path.open(newline="") as stream:
        written = list(csv.reader(stream))
    assert written == [
        ["run_id", "pred_step_time_s", "pred_peak_mem_gib", "reason"],
        ["a", "1.5", "20.25", ""],
        ["b", "", "", "accelerator unknown, so no time"],
    ]
    with pytest.raises(FileError, match="can't write"):
        write_predictions(rows, tmp_path / "no" / "such" / "folder.csv")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


def test_the_shipped_runs_are_whole():
    runs = shipped_runs()
    assert len(runs) == 3860
    assert sum(run.has_scorable_time for run in runs) == 2466
