"""Reads a table of runs, reporting every bad cell at once; writes predictions."""

import csv
import math
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from meshwright.errors import FileError, RunsError
from meshwright.planner.runs.corrections import NONE, Corrections, shipped_corrections
from meshwright.planner.runs.predict import Prediction
from meshwright.planner.runs.run import Run

REQUIRED = (
    "run_id", "n_layers", "hidden", "n_heads", "ffn_hidden", "vocab", "seq_len", "accelerator", "n_gpus",
    "global_batch", "micro_batch", "tp", "pp",
)  # fmt: skip
MAY_BE_ZERO = ("shared_experts", "n_dense_layers")
MAX_BYTES = 256 * 2**20
MAX_PROBLEMS = 20
_TYPES = {field.name: "str" if field.type is str else str(field.type) for field in fields(Run)}


def read_runs(path: str | Path, corrections: Corrections = NONE) -> tuple[Run, ...]:
    """Reads a CSV of runs (columns as in `datasets/runs/README.md`; unknown columns are ignored).

    Args:
        path: The table.
        corrections: Of cells.

    Raises:
        FileError: The file is missing, unreadable or too large.
        RunsError: Columns are missing or cells can't be read; every problem found, with row and column.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"{path} is larger than {MAX_BYTES // 2**20} MiB: that is no table of runs")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _parsed(csv.DictReader(stream), str(path), corrections)
    except OSError as error:
        raise FileError(f"can't read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunsError(f"{path} is no CSV table in UTF-8: {error}") from error


@lru_cache(maxsize=1)
def shipped_runs() -> tuple[Run, ...]:
    """The published runs that come with Meshwright, corrected where they contradict their sources."""
    with as_file(files("meshwright.datasets") / "runs" / "runs.csv") as path:
        return read_runs(path, shipped_corrections())


def _parsed(reader: "csv.DictReader[str]", name: str, corrections: Corrections) -> tuple[Run, ...]:
    columns = reader.fieldnames or []
    problems = [f"{name} has no column {column!r}" for column in REQUIRED if column not in columns]
    if problems:
        raise RunsError(problems)
    runs: list[Run] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(corrections.applied(reader), start=2):
        problems.extend(f"{name} row {number}: {problem}" for problem in _row_problems(row, seen, number))
        if not problems:
            cells: dict[str, Any] = {key: _cell(row.get(key) or "", kind) for key, kind in _TYPES.items()}
            runs.append(Run(**cells))
    if problems:
        hidden = len(problems) - MAX_PROBLEMS
        raise RunsError(problems[:MAX_PROBLEMS] + ([f"... and {hidden} more problems"] if hidden > 0 else []))
    return tuple(runs)


def _row_problems(row: dict[str, str], seen: dict[str, int], number: int) -> Iterator[str]:
    if None in row:
        yield f"more cells than columns ({len(row[None])} too many)"  # type: ignore[index]
    run_id = (row.get("run_id") or "").strip()
    if not run_id:
        yield "run_id is empty"
    elif run_id in seen:
        yield f"run_id {run_id!r} was already used in row {seen[run_id]}"
    seen.setdefault(run_id, number)
    for column, kind in _TYPES.items():
        text = (row.get(column) or "").strip()
        if not text or kind == "str":
            continue
        wrong = _number_problem(text, kind, zero=column in MAY_BE_ZERO)
        if wrong:
            yield f"{column} {wrong}, but is {text!r}"


def _number_problem(text: str, kind: str, *, zero: bool) -> str | None:
    if kind.startswith("bool"):
        return None if text in ("0", "1") else "must be 0 or 1"
    try:
        number = float(text)
    except ValueError:
        return "must be a number"
    if not math.isfinite(number):
        return "must be finite"
    if number < 0 or (number == 0 and not zero):
        return "must be positive"
    if kind.startswith("int") and number != int(number):
        return "must be a whole number"
    return None


def _cell(text: str, kind: str) -> str | int | float | bool | None:
    text = text.strip()
    if kind == "str":
        return text
    if not text:
        return None
    if kind.startswith("bool"):
        return text == "1"
    return int(float(text)) if kind.startswith("int") else float(text)


def write_predictions(predictions: Iterable[Prediction], path: str | Path) -> None:
    """Writes `run_id,pred_step_time_s,pred_peak_mem_gib,reason`; nothing half-written is ever seen.

    Raises:
        FileError: The path can't be written.
    """
    path = Path(path)
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8", newline="", delete=False
        ) as stream:
            _write_rows(csv.writer(stream), predictions)
        Path(stream.name).chmod(0o666 & ~_umask())
        Path(stream.name).replace(path)
    except OSError as error:
        raise FileError(f"can't write {path}: {error.strerror or error}") from error


def _write_rows(writer: "csv._writer", predictions: Iterable[Prediction]) -> None:  # type: ignore[name-defined]
    writer.writerow(("run_id", "pred_step_time_s", "pred_peak_mem_gib", "reason"))
    for row in predictions:
        numbers = (f"{x:.6g}" if x is not None else "" for x in (row.step_time_s, row.peak_memory_gib))
        writer.writerow((row.run_id, *numbers, row.reason))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
