"""What every solver returns: a status, the best solution found, and how good the best possible one can be."""

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Generic, Self, TypeVar

OPTIMALITY_TOLERANCE = 1e-6
"""Relative gap below which a solution counts as optimal (back ends that need integers round costs far below this)."""

FEASIBILITY_TOLERANCE = 1e-9
"""Relative excess up to which a limit counts as met, so that sums of rounded floats don't decide feasibility."""

S_co = TypeVar("S_co", covariant=True)


class Status(Enum):
    """How a solver ended."""

    OPTIMAL = "optimal"
    """No solution is better, and that is proven."""
    FEASIBLE = "feasible"
    """A solution; `Outcome.gap` says how much better another one could be at most."""
    INFEASIBLE = "infeasible"
    """No solution exists, and that is proven; `Outcome.conflicts` says which limits can't hold together."""
    UNKNOWN = "unknown"
    """Stopped (out of time, or a heuristic at its end) with neither a solution nor a proof that there is none."""


@dataclass(frozen=True)
class Outcome(Generic[S_co]):
    """What a solver found about a minimisation.

    Attributes:
        status: How it ended.
        solution: The best solution found; None where there is none.
        objective: Its objective; inf where there is none.
        bound: No solution has a lower objective than this; -inf where nothing is known, inf if infeasible.
        seconds: Wall-clock time spent.
        detail: What the back end has to say about its run, in words.
        conflicts: If infeasible, the limits that can't hold together, each with its name, index and value.
    """

    status: Status
    solution: S_co | None
    objective: float
    bound: float
    seconds: float
    detail: str = ""
    conflicts: tuple[str, ...] = ()

    @property
    def gap(self) -> float:
        """By how much another solution could be better at most, relative to `objective`; inf if unknown."""
        if self.status is Status.OPTIMAL:
            return 0.0
        return relative_gap(self.objective, self.bound)

    @classmethod
    def found(cls, solution: S_co, objective: float, bound: float, seconds: float, detail: str = "") -> Self:  # type: ignore[misc]
        """A solution, which is optimal if `bound` reaches its objective within `OPTIMALITY_TOLERANCE`."""
        bound = min(bound, objective)
        proven = relative_gap(objective, bound) <= OPTIMALITY_TOLERANCE
        return cls(Status.OPTIMAL if proven else Status.FEASIBLE, solution, objective, bound, seconds, detail)

    @classmethod
    def infeasible(cls, conflicts: tuple[str, ...], seconds: float, detail: str = "") -> Self:
        """A proof that no solution exists, because of `conflicts`."""
        return cls(Status.INFEASIBLE, None, math.inf, math.inf, seconds, detail, conflicts)

    @classmethod
    def unknown(cls, bound: float, seconds: float, detail: str) -> Self:
        """Neither a solution nor a proof that there is none; `detail` says why the search ended."""
        return cls(Status.UNKNOWN, None, math.inf, bound, seconds, detail)

    def merge(self, other: Self, seconds: float) -> Self:
        """The better solution and the better bound of two runs on the same problem."""
        if Status.INFEASIBLE in {self.status, other.status}:
            return replace(self if self.status is Status.INFEASIBLE else other, seconds=seconds)
        best = min(other, self, key=lambda outcome: outcome.objective)
        bound = max(self.bound, other.bound)
        if best.solution is None:
            return type(self).unknown(bound, seconds, best.detail)
        return type(self).found(best.solution, best.objective, bound, seconds, best.detail)


def relative_gap(objective: float, bound: float) -> float:
    """(objective − bound) / |objective|: 0 if they meet, inf if either isn't known."""
    if objective <= bound:
        return 0.0
    if math.isinf(objective) or math.isinf(bound) or objective == 0.0:
        return math.inf
    return (objective - bound) / abs(objective)
