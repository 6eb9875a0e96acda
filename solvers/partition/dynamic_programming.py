"""The exact back end for chain partitions whose devices can be filled one after the other."""

from collections.abc import Callable

import numpy as np

from meshwright.solvers.backend import Backend, Budget, Capabilities, Clock, TooHardError
from meshwright.solvers.outcome import Outcome, relative_gap
from meshwright.solvers.partition.bounds import capacity_bound
from meshwright.solvers.partition.conflicts import irreducible_conflicts, quick_conflicts, without_costs
from meshwright.solvers.partition.greedy import greedy_partition
from meshwright.solvers.partition.problem import ChainPartition, Partition
from meshwright.solvers.partition.sequential import is_sequential, solve_sequential


class DynamicProgramming(Backend[ChainPartition, Partition]):
    """Pareto fronts a device, then the best path through all devices; exact, and needs nothing.

    Supports problems in which each device's groups are neighbours (one group a device, for instance), or in which
    all items are alike.
    """

    name = "dynamic-programming"
    capabilities = Capabilities(exact=True)

    def supports(self, problem: ChainPartition) -> bool:
        """See `Backend`."""
        return is_sequential(problem)

    def solve(self, problem: ChainPartition, budget: Budget) -> Outcome[Partition]:
        """See `Backend`."""
        clock = Clock(budget)
        if conflicts := quick_conflicts(problem, clock):
            return Outcome.infeasible(conflicts, clock.seconds)
        start, bound = greedy_partition(problem), capacity_bound(problem)
        upper = np.inf if start is None else problem.evaluate(start).objective
        if relative_gap(upper, bound) <= budget.relative_gap:
            return problem.conclude([start], bound, clock, "greedy is good enough")
        try:
            found, bound = solve_sequential(problem, upper, 0.0, clock)
        except TooHardError:
            return problem.conclude([start], bound, clock, "too hard to solve exactly in time")
        if start is None and bound == np.inf:
            return Outcome.infeasible(irreducible_conflicts(problem, _infeasible(clock), clock), clock.seconds)
        return problem.conclude([start, found], bound, clock)


def _infeasible(clock: Clock) -> Callable[[ChainPartition], bool]:
    """Whether a problem has no solution at all, whatever the cost."""

    def check(problem: ChainPartition) -> bool:
        try:
            return solve_sequential(without_costs(problem), np.inf, 0.0, clock)[1] == np.inf
        except TooHardError:
            return False

    return check
