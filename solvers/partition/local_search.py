"""The heuristic back end for chain partitions of any structure: local search with exact moves."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from meshwright.solvers.backend import Backend, Budget, Capabilities, Clock, TooHardError
from meshwright.solvers.outcome import OPTIMALITY_TOLERANCE, Outcome
from meshwright.solvers.partition.bounds import capacity_bound
from meshwright.solvers.partition.conflicts import irreducible_conflicts, quick_conflicts, without_costs
from meshwright.solvers.partition.greedy import greedy_partition, with_cheapest_choices
from meshwright.solvers.partition.problem import ChainPartition, IntArray, Partition
from meshwright.solvers.partition.sequential import relax_order
from meshwright.solvers.partition.windows import improve, repair

LOOSER_LIMITS = (1.05, 1.15, 1.4, 2.0, 4.0)  # factors under which greedy starts are sought for repair
MOST_KICKS = 300  # bounds the work, so that a generous time limit gives repeatable answers
KICK_STOP = 0.4  # chance that a kick ends after each moved item: 2.5 items on average
RELAXATION_SHARE = 0.6  # of the time, at most, for the bound


class LocalSearch(Backend[ChainPartition, Partition]):
    """Local search whose moves are exact re-solves of parts, from the greedy and the order-free solution."""

    name = "local-search"
    capabilities = Capabilities(exact=False)

    def solve(self, problem: ChainPartition, budget: Budget) -> Outcome[Partition]:
        """See `Backend`."""
        clock = Clock(budget)
        if conflicts := quick_conflicts(problem, clock):
            return Outcome.infeasible(conflicts, clock.seconds)
        found, bound = improved_partition(problem, clock, MOST_KICKS)
        if found is None and bound == np.inf:
            return Outcome.infeasible(irreducible_conflicts(problem, _infeasible(clock), clock), clock.seconds)
        return problem.conclude([found], bound, clock)


def _infeasible(clock: Clock) -> Callable[[ChainPartition], bool]:
    """Whether a problem has no solution even if the order of items is forgotten."""

    def check(problem: ChainPartition) -> bool:
        try:
            return relax_order(without_costs(problem), np.inf, clock)[1] == np.inf
        except TooHardError:
            return False

    return check


def improved_partition(problem: ChainPartition, clock: Clock, kicks: int) -> tuple[Partition | None, float]:
    """The best partition that local search finds, or None, and a bound."""
    greedy, bound = greedy_partition(problem), capacity_bound(problem)
    relaxed, bound = _order_free_start(problem, greedy, bound, clock)
    starts = [start for start in (relaxed, greedy) if start is not None]
    if not starts and bound < np.inf:
        starts = _repaired_starts(problem, clock)
    best, objective = None, np.inf
    for start in starts:
        if objective > _target(bound, clock):
            found = improve(problem, start, _target(bound, clock), clock)
            if (price := problem.evaluate(found).objective) < objective:
                best, objective = found, price
    return (None if best is None else _kick(problem, best, _target(bound, clock), clock, kicks)), bound


def _order_free_start(
    problem: ChainPartition, known: Partition | None, bound: float, clock: Clock
) -> tuple[Partition | None, float]:
    """A start with the sizes of the order-free optimum, if that can be had, and the better bound."""
    upper = np.inf if known is None else problem.evaluate(known).objective
    if upper <= _target(bound, clock):
        return None, bound
    try:
        sizes, order_free_bound = relax_order(problem, upper, clock.share(RELAXATION_SHARE))
    except TooHardError:
        return None, bound
    return (None if sizes is None else with_cheapest_choices(problem, sizes)), max(bound, order_free_bound)


def _repaired_starts(problem: ChainPartition, clock: Clock) -> list[Partition]:
    """A feasible partition from a greedy one under looser limits, if there is one."""
    for factor in LOOSER_LIMITS:
        start = greedy_partition(replace(problem, limit=problem.limit * factor))
        repaired = None if start is None else repair(problem, start, clock)
        if repaired is not None:
            return [repaired]
    return []


def _target(bound: float, clock: Clock) -> float:
    """The objective that is good enough."""
    return bound + max(clock.budget.relative_gap, OPTIMALITY_TOLERANCE) * abs(bound)


def _kick(problem: ChainPartition, best: Partition, target: float, clock: Clock, kicks: int) -> Partition:
    """Moves a few items between random groups and improves again, as often as time allows; never worse."""
    rng = np.random.default_rng(clock.budget.seed)
    objective = problem.evaluate(best).objective
    tried = {best.sizes().tobytes()}
    for _ in range(kicks):
        if objective <= target or clock.left_s == 0:
            break
        sizes = _kicked(best.sizes(), rng)
        start = None if sizes.tobytes() in tried else with_cheapest_choices(problem, sizes)
        tried.add(sizes.tobytes())
        if start is None or problem.violations(start):
            continue
        found = improve(problem, start, target, clock)
        if (price := problem.evaluate(found).objective) < objective:
            best, objective = found, price
    return best


def _kicked(sizes: IntArray, rng: np.random.Generator) -> IntArray:
    """Sizes after one or more moves of an item from some group to another."""
    for _ in range(rng.geometric(KICK_STOP)):
        donor, taker = rng.integers(len(sizes), size=2)
        moved = min(1, int(sizes[donor]))
        sizes[donor] -= moved
        sizes[taker] += moved
    return sizes
