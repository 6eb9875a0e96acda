"""Cutting a chain of items into groups that share devices, with a choice for every item."""

from meshwright.solvers.backend import Backend, Budget, solve_with
from meshwright.solvers.outcome import Outcome
from meshwright.solvers.partition.cp_sat import CpSat
from meshwright.solvers.partition.dynamic_programming import DynamicProgramming
from meshwright.solvers.partition.greedy import Greedy
from meshwright.solvers.partition.local_search import LocalSearch
from meshwright.solvers.partition.problem import ChainPartition, Evaluation, Partition

BACKENDS: tuple[Backend[ChainPartition, Partition], ...] = (DynamicProgramming(), CpSat(), LocalSearch(), Greedy())
"""In order of preference."""

__all__ = ["BACKENDS", "ChainPartition", "Evaluation", "Partition", "solve_partition"]


def solve_partition(
    problem: ChainPartition, budget: Budget | None = None, backend: str | None = None
) -> Outcome[Partition]:
    """The best partition of a chain within a budget.

    Args:
        problem: What to solve; its class states the mathematics.
        budget: Time, wanted gap and seed; the defaults of `Budget` if None.
        backend: "dynamic-programming", "cp-sat", "local-search" or "greedy"; if None, those that suit the problem
            in turn, until one settles it.

    Raises:
        SolverError: The back end is unknown, not installed, or can't solve such a problem.
    """
    return solve_with(BACKENDS, problem, budget or Budget(), backend)
