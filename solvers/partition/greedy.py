"""A good chain partition at once: search for the lowest bottleneck that a greedy fill can keep."""

from dataclasses import dataclass

import numpy as np

from meshwright.solvers.backend import Backend, Budget, Capabilities, Clock
from meshwright.solvers.outcome import Outcome
from meshwright.solvers.partition.bounds import capacity_bound
from meshwright.solvers.partition.conflicts import quick_conflicts
from meshwright.solvers.partition.problem import ChainPartition, FloatArray, IntArray, Partition
from meshwright.solvers.upgrade import cheapest_fit

MOST_POLICIES = 12
MOST_CANDIDATES = 4  # fills whose choices are optimised
NUM_PROBES = 14  # halvings: finds the bottleneck to within 1e-4 of the range searched


class Greedy(Backend[ChainPartition, Partition]):
    """Binary search on the bottleneck, then the cheapest choices that fit; needs nothing, proves only a bound."""

    name = "greedy"
    capabilities = Capabilities(exact=False)

    def suits(self, problem: ChainPartition) -> bool:  # noqa: ARG002
        """See `Backend`: all others begin with it."""
        return False

    def solve(self, problem: ChainPartition, budget: Budget) -> Outcome[Partition]:
        """See `Backend`."""
        clock = Clock(budget)
        if conflicts := quick_conflicts(problem, clock):
            return Outcome.infeasible(conflicts, clock.seconds)
        return problem.conclude([greedy_partition(problem)], capacity_bound(problem), clock)


def greedy_partition(problem: ChainPartition) -> Partition | None:
    """The best partition that greedy fills find, or None."""
    found: list[Partition] = []
    for sizes in reversed(_sizes_near_the_lowest_bottleneck(problem)):  # the most promising come last
        partition = with_cheapest_choices(problem, sizes)
        if partition is not None and not problem.violations(partition):
            found.append(partition)
        if len(found) == MOST_CANDIDATES:
            break
    return min(found, key=lambda p: problem.evaluate(p).objective, default=None)


def _sizes_near_the_lowest_bottleneck(problem: ChainPartition) -> list[IntArray]:
    """Sizes of the fills that a binary search for the lowest bottleneck tries, in its order."""
    rules = _Rules.of(problem)
    fixed = np.bincount(problem.device, problem.group_cost)
    low = max(float(fixed.max()), float(fixed.sum() + rules.cost[0, -1]) / problem.num_devices)
    high = float(fixed.max() + rules.cost[:, -1].max())
    tried: dict[bytes, IntArray] = {}
    for _ in range(NUM_PROBES):
        target = (low + high) / 2
        sizes, fits = rules.fill(problem, target)
        low, high = (low, target) if fits else (target, high)
        tried.pop(sizes.tobytes(), None)
        tried[sizes.tobytes()] = sizes
    return list(tried.values())


def with_cheapest_choices(problem: ChainPartition, sizes: IntArray) -> Partition | None:
    """The partition into groups of these sizes with cheap choices that fit every device, or None."""
    start = np.concatenate(([0], np.cumsum(sizes)))
    choice = np.zeros(problem.num_items, np.int64)
    group = np.repeat(np.arange(problem.num_groups), sizes)
    for device in range(problem.num_devices):
        items = np.flatnonzero(problem.device[group] == device)
        use = problem.use[items] + problem.copies[group[items]][:, None, None] * problem.use_per_copy[items]
        room = problem.limit[device] - problem.group_use[problem.groups_of(device)].sum(axis=0)
        fit = None if (room < 0).any() else cheapest_fit(problem.cost[items], use, room)
        if fit is None:
            return None
        choice[items] = fit
    return Partition(start, choice)


@dataclass(frozen=True)
class _Rules:
    """Choices of all items under several rules, each a price on resources, as sums over the first k items.

    Attributes:
        cost: (num_rules, num_items + 1).
        use: (num_rules, num_items + 1, num_resources).
        use_per_copy: (num_rules, num_items + 1, num_resources).
    """

    cost: FloatArray
    use: FloatArray
    use_per_copy: FloatArray

    @classmethod
    def of(cls, problem: ChainPartition) -> "_Rules":
        """Rules from "cheapest" to "least use"; in between, the prices at which items change their choice."""
        scale = np.where(np.isfinite(problem.limit), problem.limit, np.inf).max(axis=0)
        use = problem.use + problem.copies.mean() * problem.use_per_copy
        share = (use / np.where(scale > 0, scale, 1.0)).sum(axis=2)
        prices = _prices(problem.cost, share)
        choice = np.stack([(problem.cost + price * share).argmin(axis=1) for price in prices])
        item = np.arange(problem.num_items)
        sums = (a[item, choice].cumsum(axis=1) for a in (problem.cost, problem.use, problem.use_per_copy))
        return cls(*(np.concatenate((np.zeros_like(s[:, :1]), s), axis=1) for s in sums))

    def fill(self, problem: ChainPartition, target: float) -> tuple[IntArray, bool]:
        """Sizes of groups filled in order, each with its share of what is left of its device, and whether all fit."""
        room_cost = target - np.bincount(problem.device, problem.group_cost, problem.num_devices)
        room = problem.limit.copy()
        np.subtract.at(room, problem.device, problem.group_use)
        groups_left = np.bincount(problem.device, minlength=problem.num_devices)
        later_min, later_max = (_sum_of_later(a) for a in (problem.min_items, problem.max_items))
        sizes, fits, first = np.zeros(problem.num_groups, np.int64), True, 0
        for group, device in enumerate(problem.device):
            cost = self.cost[:, first:] - self.cost[:, first, None]
            use = self._use(problem.copies[group], first)
            share = 1 / groups_left[device]
            within = (cost <= room_cost[device] * share) & (use <= room[device] * share).all(axis=2)
            reach = within.sum(axis=1) - 1
            remaining = problem.num_items - first
            least = max(int(problem.min_items[group]), remaining - int(later_max[group]))
            most = min(int(problem.max_items[group]), remaining - int(later_min[group]))
            size = max(0, min(max(int(reach.max()), least), most))
            fits &= bool(least <= most and size <= reach.max())
            rule = int(np.where(reach >= min(size, reach.max()), cost[:, size], np.inf).argmin())
            room_cost[device] -= cost[rule, size]
            room[device] -= use[rule, size]
            groups_left[device] -= 1
            sizes[group], first = size, first + size
        return sizes, fits and first == problem.num_items

    def _use(self, copies: float, first: int) -> FloatArray:
        """(num_rules, items from `first` on + 1, num_resources)."""
        use = self.use[:, first:] + copies * self.use_per_copy[:, first:]
        return np.asarray(use - use[:, :1])


def _sum_of_later(values: IntArray) -> IntArray:
    return np.asarray(values.sum() - np.cumsum(values))


def _prices(cost: FloatArray, share: FloatArray) -> FloatArray:
    """Prices of resource at which some item would change from one choice to another, thinned out, and both ends."""
    extra = cost[:, :, None] - cost[:, None, :]
    relief = share[:, None, :] - share[:, :, None]
    is_trade = (relief > 0) & (extra > 0) & np.isfinite(extra)
    rates = np.unique(extra[is_trade] / relief[is_trade])
    if len(rates) == 0:
        return np.zeros(1)
    inner = np.quantile(rates, np.linspace(0, 1, MOST_POLICIES - 2)) * (1 + 1e-9)
    return np.unique(np.concatenate(([0.0], inner, [rates[-1] * 1e6])))
