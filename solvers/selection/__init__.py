"""A choice for every item of a set, under limits that all share."""

from meshwright.solvers.backend import Backend, Budget, solve_with
from meshwright.solvers.outcome import Outcome
from meshwright.solvers.selection.backends import CpSat, Greedy
from meshwright.solvers.selection.problem import IntArray, Selection

BACKENDS: tuple[Backend[Selection, IntArray], ...] = (CpSat(), Greedy())
"""In order of preference."""

__all__ = ["BACKENDS", "Selection", "solve_selection"]


def solve_selection(problem: Selection, budget: Budget | None = None, backend: str | None = None) -> Outcome[IntArray]:
    """The best choice of every item within a budget; the solution is (num_items,) int.

    Args:
        problem: What to solve; its class states the mathematics.
        budget: Time, wanted gap and seed; the defaults of `Budget` if None.
        backend: "cp-sat" or "greedy"; if None, both in turn.

    Raises:
        SolverError: The back end is unknown or not installed.
    """
    return solve_with(BACKENDS, problem, budget or Budget(), backend)
