"""Choices along a chain of items, with a price on changes between neighbours and one limit."""

from meshwright.solvers.backend import Backend, Budget, solve_with
from meshwright.solvers.outcome import Outcome
from meshwright.solvers.transitions.backends import Beam, DynamicProgramming, Ilp
from meshwright.solvers.transitions.problem import ChainChoice, IntArray

BACKENDS: tuple[Backend[ChainChoice, IntArray], ...] = (DynamicProgramming(), Ilp(), Beam())
"""In order of preference."""

__all__ = ["BACKENDS", "ChainChoice", "solve_chain_choice"]


def solve_chain_choice(
    problem: ChainChoice, budget: Budget | None = None, backend: str | None = None
) -> Outcome[IntArray]:
    """The cheapest choice of every item of a chain within a budget; the solution is (num_items,) int.

    Args:
        problem: What to solve; its class states the mathematics.
        budget: Time, wanted gap and seed; the defaults of `Budget` if None.
        backend: "dynamic-programming", "ilp" or "beam"; if None, the first of them.

    Raises:
        SolverError: The back end is unknown or not installed.
    """
    return solve_with(BACKENDS, problem, budget or Budget(), backend)
