"""Cells of the shipped table that contradict the files which their rows cite."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from meshwright.errors import RunsError


@dataclass(frozen=True)
class Corrections:
    """What cells say, and what their sources say: by row and column.

    Attributes:
        cells: (was, is) of every corrected cell, by (run_id, column).
    """

    cells: Mapping[tuple[str, str], tuple[str, str]]

    def applied(self, rows: Iterator[dict[str, str]]) -> Iterator[dict[str, str]]:
        """The rows with their corrected cells.

        Raises:
            RunsError: A cell no longer says what was corrected.
        """
        for row in rows:
            changed = {column: pair for (run_id, column), pair in self.cells.items() if run_id == row["run_id"]}
            for column, (was, _) in changed.items():
                if row[column] != was:
                    raise RunsError(f"{row['run_id']}: {column} is {row[column]!r}, but {was!r} was to be corrected")
            yield row | {column: now for column, (_, now) in changed.items()}


NONE = Corrections({})


def shipped_corrections() -> Corrections:
    """Those of `datasets/runs/corrections.csv`, each with its source there."""
    text = (files("meshwright.datasets") / "runs" / "corrections.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return Corrections({(row["run_id"], row["column"]): (row["was"], row["is"]) for row in rows})
