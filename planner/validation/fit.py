"""Whether runs are rightly said to fit into memory or not."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from meshwright.planner.runs import Run

RESERVE_GIB = 1.0
"""Kept for the context when a card's nominal memory is compared."""
CONTESTED = ("also succeeded", "logged metrics")
"""Notes on failures that the same source contradicts; they prove nothing."""


@dataclass(frozen=True, slots=True)
class FitScore:
    """Failed and finished runs against the card's memory.

    Attributes:
        num_failed: Failed runs with a prediction.
        num_said_to_fit: Of those, said to fit.
        num_finished: Finished runs with measured and predicted memory.
        num_said_not_to_fit: Of those, said not to fit.
    """

    num_failed: int
    num_said_to_fit: int
    num_finished: int
    num_said_not_to_fit: int

    @property
    def false_fit(self) -> float | None:
        """Share of failed runs that are said to fit; None without any."""
        return self.num_said_to_fit / self.num_failed if self.num_failed else None

    @property
    def false_oom(self) -> float | None:
        """Share of finished runs that are said not to fit; None without any."""
        return self.num_said_not_to_fit / self.num_finished if self.num_finished else None


@lru_cache(maxsize=1)
def capacities_gib() -> dict[str, float]:
    """Nominal memory of every accelerator of the table, in GiB."""
    text = (files("meshwright.datasets") / "runs" / "capacities.csv").read_text(encoding="utf-8")
    return {row["accelerator"]: float(row["capacity_gib"]) for row in csv.DictReader(text.splitlines())}


def fit_scores(rows: Iterable[tuple[Run, float | None]]) -> tuple[FitScore, FitScore]:
    """Scores of (run, predicted GiB) rows: sources that confirm out-of-memory failures, and the others.

    A source that has ever reported a failure without saying why may have crashed for another reason, so its
    false-fit rate is an upper bound.
    """
    known = [(run, memory) for run, memory in rows if memory is not None and run.accelerator in capacities_gib()]
    unspecified = {run.source for run, _ in known if run.failed and not run.oom}
    confirmed = [row for row in known if row[0].source not in unspecified]
    return _fit_score(confirmed), _fit_score([row for row in known if row[0].source in unspecified])


def _fit_score(rows: Sequence[tuple[Run, float]]) -> FitScore:
    failed = [row for row in rows if row[0].failed and not any(text in row[0].note for text in CONTESTED)]
    finished = [row for row in rows if row[0].has_scorable_memory]
    return FitScore(
        len(failed),
        sum(_fits(*row) for row in failed),
        len(finished),
        sum(not _fits(*row) for row in finished),
    )


def _fits(run: Run, memory_gib: float) -> bool:
    return memory_gib <= capacities_gib()[run.accelerator] - RESERVE_GIB
