"""The exact back end for chain partitions of any structure: constraint programming with OR-Tools' CP-SAT."""

from collections.abc import Callable

import numpy as np

from meshwright.solvers.backend import Backend, Budget, Capabilities, Clock
from meshwright.solvers.outcome import OPTIMALITY_TOLERANCE, Outcome, relative_gap
from meshwright.solvers.partition.conflicts import irreducible_conflicts, quick_conflicts, without_costs
from meshwright.solvers.partition.local_search import improved_partition
from meshwright.solvers.partition.problem import ChainPartition, IntArray, Partition
from meshwright.solvers.partition.sequential import is_sequential

MOST_VARIABLES = 4_000
"""Beyond this many counts CP-SAT doesn't even finish its first linear relaxation within seconds (measured)."""

MOST_TO_PROVE = 64
"""Beyond this many counts, and with devices that host scattered groups, it rarely proves more within ten seconds than
its warm start knew (measured)."""

WARM_START_SHARE = 0.5  # of the time, at most
WARM_START_KICKS = 50


class CpSat(Backend[ChainPartition, Partition]):
    """CP-SAT over runs of equal items, begun from the local search's solution and bound."""

    name = "cp-sat"
    capabilities = Capabilities(exact=True, packages=("ortools",))

    def supports(self, problem: ChainPartition) -> bool:
        """See `Backend`."""
        return _num_variables(problem) <= MOST_VARIABLES

    def suits(self, problem: ChainPartition) -> bool:
        """See `Backend`."""
        return self.supports(problem) and (_num_variables(problem) <= MOST_TO_PROVE or is_sequential(problem))

    def solve(self, problem: ChainPartition, budget: Budget) -> Outcome[Partition]:
        """See `Backend`."""
        clock = Clock(budget)
        if conflicts := quick_conflicts(problem, clock):
            return Outcome.infeasible(conflicts, clock.seconds)
        start, bound = improved_partition(problem, clock.share(WARM_START_SHARE), WARM_START_KICKS)
        upper = np.inf if start is None else problem.evaluate(start).objective
        if relative_gap(upper, bound) > max(budget.relative_gap, OPTIMALITY_TOLERANCE):
            found, model_bound, detail = _minimise(problem, start, bound, clock)
            bound = max(bound, min(model_bound, upper))
        else:
            found, detail = None, "the warm start is good enough"
        if bound == np.inf:
            conflicts = irreducible_conflicts(problem, _infeasible(clock), clock)
            return Outcome.infeasible(conflicts, clock.seconds, detail)
        return problem.conclude([start, found], bound, clock, detail)


def _num_variables(problem: ChainPartition) -> int:
    """How many counts the model has."""
    return (len(run_starts(problem)) - 1) * problem.num_groups * problem.num_choices


def run_starts(problem: ChainPartition) -> IntArray:
    """(num_runs + 1,): where each run of equal items starts, and the end."""
    rows = [getattr(problem, name).reshape(problem.num_items, -1) for name in ("cost", "use", "use_per_copy")]
    items = np.concatenate(rows, axis=1)
    differs = (items[1:] != items[:-1]).any(axis=1)
    return np.concatenate(([0], np.flatnonzero(differs) + 1, [problem.num_items]))


def _minimise(
    problem: ChainPartition, start: Partition | None, bound: float, clock: Clock
) -> tuple[Partition | None, float, str]:
    from meshwright.solvers.partition.cp_sat_model import PartitionModel  # noqa: PLC0415  imports OR-Tools: half a second

    return PartitionModel(problem, run_starts(problem)).minimise(start, bound, clock)


def _infeasible(clock: Clock) -> Callable[[ChainPartition], bool]:
    """Whether a problem has no solution at all, whatever the cost."""

    def check(problem: ChainPartition) -> bool:
        return _minimise(without_costs(problem), None, 0.0, clock)[1] == np.inf

    return check
