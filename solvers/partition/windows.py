"""Improves a chain partition by solving windows of it exactly: whole neighbourhoods at once, never worse."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from meshwright.solvers.backend import Backend, Budget, Capabilities, Clock, TooHardError
from meshwright.solvers.outcome import OPTIMALITY_TOLERANCE, Outcome
from meshwright.solvers.partition.bounds import capacity_bound
from meshwright.solvers.partition.conflicts import irreducible_conflicts, quick_conflicts, without_costs
from meshwright.solvers.partition.greedy import greedy_partition, with_cheapest_choices
from meshwright.solvers.partition.problem import ChainPartition, FloatArray, IntArray, Partition
from meshwright.solvers.partition.sequential import relax_order, solve_sequential

LEAST_IMPROVEMENT = 1e-9  # relative: less is rounding
MOST_KICKS = 300  # bounds the work, so that a generous time limit gives repeatable answers
KICK_STOP = 0.4  # chance that a kick ends after each moved item: 2.5 items on average
RELAXATION_SHARE = 0.6  # of the time, at most, for the bound


class Windows(Backend[ChainPartition, Partition]):
    """Local search whose moves are exact re-solves of parts, from the greedy and the order-free solution."""

    name = "windows"
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
    best, objective = None, np.inf
    for start in (relaxed, greedy):
        if start is not None and objective > _target(bound, clock):
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


def improve(problem: ChainPartition, partition: Partition, target: float, clock: Clock) -> Partition:
    """The partition once exact re-solves of windows no longer help, `target` is reached, or time is up.

    A window is a run of groups on different devices: its cuts and choices are optimised together while the rest
    stays (`solve_sequential`). In between, each device chooses anew for all items that it holds.
    """
    neighbourhoods = [*_windows(problem.device), *(problem.groups_of(d) for d in np.unique(problem.device))]
    objective = problem.evaluate(partition).objective
    stale = 0
    for groups in itertools.cycle(neighbourhoods):
        if stale == len(neighbourhoods) or objective <= target or clock.left_s == 0:
            return partition
        better = _resolve(problem, partition, groups, clock)
        price = problem.evaluate(better).objective
        if price < objective * (1 - LEAST_IMPROVEMENT) and not problem.violations(better):
            partition, objective, stale = better, price, 0
        else:
            stale += 1
    return partition


def _windows(device: IntArray) -> list[IntArray]:
    """Longest runs of groups on different devices, so that half of each overlaps with the next."""
    windows, first, last = [], 0, -1
    while first < len(device):
        end = first + 1
        while end < len(device) and device[end] not in device[first:end]:
            end += 1
        if end > last:
            windows.append(np.arange(first, end))
        first, last = first + max(1, (end - first) // 2), end
    return windows


def _resolve(problem: ChainPartition, partition: Partition, groups: IntArray, clock: Clock) -> Partition:
    """The partition with these groups solved anew; unchanged where that is too hard."""
    if partition.sizes()[groups].sum() == 0:
        return partition
    part, items = _part(problem, partition, groups)
    now = problem.evaluate(partition).device_cost
    inside = np.unique(problem.device[groups])
    floor = float(np.delete(now, inside).max(initial=0.0))
    upper = part.bottleneck_weight * max(floor, now[inside].max()) + part.sum_weight * now[inside].sum()
    try:
        found, _ = solve_sequential(part, upper, floor, clock)
    except TooHardError:
        return partition
    if found is None:
        return partition
    sizes, choice = partition.sizes(), partition.choice.copy()
    sizes[groups], choice[items] = found.sizes(), found.choice
    return Partition(np.concatenate(([0], np.cumsum(sizes))), choice)


def _part(problem: ChainPartition, partition: Partition, groups: IntArray) -> tuple[ChainPartition, IntArray]:
    """The problem of filling only these groups, and the items concerned; whatever else devices hold is fixed."""
    group_of_item = partition.group_of_item()
    items = np.flatnonzero(np.isin(group_of_item, groups))
    inside, device = np.unique(problem.device[groups], return_inverse=True)
    cost, use = _fixed(problem, partition, items)
    is_first = np.isin(np.arange(len(groups)), np.unique(device, return_index=True)[1])
    is_one_device = len(inside) == 1
    sizes = partition.sizes()[groups]
    part = replace(
        problem,
        cost=problem.cost[items],
        use=problem.use[items],
        use_per_copy=problem.use_per_copy[items],
        device=device.reshape(-1),
        copies=problem.copies[groups],
        group_cost=np.where(is_first, cost[problem.device[groups]], 0.0),
        group_use=np.where(is_first[:, None], use[problem.device[groups]], 0.0),
        min_items=sizes if is_one_device else problem.min_items[groups],
        max_items=sizes if is_one_device else problem.max_items[groups],
        limit=problem.limit[inside],
    )
    return part, items


def _fixed(problem: ChainPartition, partition: Partition, items: IntArray) -> tuple[FloatArray, FloatArray]:
    """Cost and use of every device without these items."""
    total = problem.evaluate(partition)
    group = partition.group_of_item()[items]
    choice = partition.choice[items]
    cost, use = total.device_cost.copy(), total.device_use.copy()
    np.subtract.at(cost, problem.device[group], problem.cost[items, choice])
    per_copy = problem.copies[group][:, None] * problem.use_per_copy[items, choice]
    np.subtract.at(use, problem.device[group], problem.use[items, choice] + per_copy)
    return np.maximum(cost, 0.0), np.maximum(use, 0.0)
