"""Exact search through a space that arrives in chunks: drop what a bound rules out, price the rest, keep the best."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Table(Protocol):
    """Anything with rows that can be counted and picked: an array, or a struct of arrays."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: IntArray, /) -> Self: ...


T = TypeVar("T", bound=Table)


@dataclass(frozen=True)
class Ranking(Generic[T]):
    """The best rows of a space, best first, and an account of all the others.

    Attributes:
        rows: The kept rows; None if no row is feasible.
        number: (num_kept,) position of each kept row in the whole space.
        objective: (num_kept,) ascending; equal objectives stand in the order of the space.
        least_bound: Lowest bound of all rows that aren't infeasible: no row can be lower than this.
        num_seen: Rows in the space; the sum of the next three.
        num_pruned: Rows whose bound alone ruled them out.
        num_infeasible: Rows whose bound or price was inf.
        num_priced: Rows that were priced and are feasible.
    """

    rows: T | None
    number: IntArray
    objective: FloatArray
    least_bound: float
    num_seen: int
    num_pruned: int
    num_infeasible: int
    num_priced: int


def search(
    chunks: Iterable[T],
    bound: Callable[[T], FloatArray],
    price: Callable[[T], FloatArray],
    concatenate: Callable[[Sequence[T]], T],
    keep: int,
    slack: float = 0.0,
    batch_rows: int = 16_384,
) -> Ranking[T]:
    """The `keep` rows with the lowest price, and all those within `slack` of the last of them.

    Exact: a row is dropped unpriced only if its bound exceeds (1 + slack) times the current `keep`-th best price.
    The answer depends neither on how the space is cut into chunks nor on `batch_rows`.

    Args:
        chunks: The space.
        bound: Of every row of a chunk, (num_rows,): at most its price; inf where it is infeasible for sure.
        price: Of every row of a table, (num_rows,): at least 0; inf where it is infeasible.
        concatenate: Puts tables one under the other.
        keep: How many of the best rows are wanted, at least 1.
        slack: Relative margin; with 0.05 everything within 5 % of the `keep`-th best is kept too.
        batch_rows: Rows priced at once. The most promising of a chunk go first, so that they prune the others.
    """
    best = _Best[T](keep, slack)
    for chunk in chunks:
        bounds = bound(chunk)
        order = np.argsort(bounds, kind="stable")
        for first in range(0, len(order), batch_rows):
            rows = best.worth_pricing(order[first : first + batch_rows], bounds)
            if len(rows):
                table = chunk[rows]
                best.add(table, best.num_seen + rows, bounds[rows], price(table), concatenate)
        best.num_seen += len(chunk)
    return best.ranking()


class _Best(Generic[T]):
    """The best rows so far, in order, and the counts."""

    def __init__(self, keep: int, slack: float) -> None:
        self.keep, self.slack = keep, slack
        self.rows: T | None = None
        self.number = np.empty(0, np.int64)
        self.objective = np.empty(0)
        self.least_bound = math.inf
        self.num_seen = self.num_pruned = self.num_infeasible = self.num_priced = 0

    @property
    def cutoff(self) -> float:
        """What a row must not exceed to be kept."""
        if len(self.objective) < self.keep:
            return math.inf
        return float(self.objective[self.keep - 1]) * (1 + self.slack)

    def worth_pricing(self, rows: IntArray, bounds: FloatArray) -> IntArray:
        """The rows whose bound doesn't rule them out; counts the others."""
        possible = rows[bounds[rows] < math.inf]
        is_worth = bounds[possible] <= self.cutoff
        pruned = possible[~is_worth]
        self.num_infeasible += len(rows) - len(possible)
        self.num_pruned += len(pruned)
        self.least_bound = min(self.least_bound, float(bounds[pruned].min(initial=math.inf)))
        return possible[is_worth]

    def add(
        self,
        table: T,
        number: IntArray,
        bounds: FloatArray,
        objective: FloatArray,
        concatenate: Callable[[Sequence[T]], T],
    ) -> None:
        """Merges priced rows into the best, and trims those beyond the cutoff."""
        feasible = np.flatnonzero(objective < math.inf)
        self.num_priced += len(feasible)
        self.num_infeasible += len(objective) - len(feasible)
        if len(feasible) == 0:
            return
        self.least_bound = min(self.least_bound, float(bounds[feasible].min()))
        table = table[feasible]
        number = np.concatenate((self.number, number[feasible]))
        objective = np.concatenate((self.objective, objective[feasible]))
        order = np.lexsort((number, objective))
        self.objective = objective[order]
        order = order[self.objective <= self.cutoff]
        self.objective, self.number = objective[order], number[order]
        self.rows = (table if self.rows is None else concatenate((self.rows, table)))[order]

    def ranking(self) -> Ranking[T]:
        """The final account."""
        return Ranking(
            self.rows,
            self.number,
            self.objective,
            self.least_bound,
            self.num_seen,
            self.num_pruned,
            self.num_infeasible,
            self.num_priced,
        )
