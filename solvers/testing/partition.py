"""The contract of back ends for `ChainPartition`."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement, product

import numpy as np

from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE
from meshwright.solvers.partition import ChainPartition, Partition
from meshwright.solvers.testing.contract import BackendContract, random_values

SHAPES = ((2, 4), (2, 2), (3, 3), (2, 3))  # (devices, groups)


class PartitionContract(BackendContract[ChainPartition, Partition]):
    """The laws for chain partitions, over neighbouring and scattered groups, equal and different items."""

    def small(self, seed: int) -> ChainPartition:
        """5 items: alike, in two runs, or all different."""
        rng = np.random.default_rng(seed)
        num_devices, num_groups = SHAPES[seed % 4]
        num_choices = 2 + seed % 2
        types = (np.zeros(5, int), np.array([0, 0, 1, 1, 1]), np.arange(5))[seed % 3]
        cost = np.sort(random_values(rng, seed, (5, num_choices)), axis=1)[types]
        use = -np.sort(-random_values(rng, seed, (5, num_choices, 2)), axis=1)[types]
        copies = rng.integers(1, 4, num_groups)
        everything = use.max(axis=1).sum(axis=0) * (1 + copies.mean() / 2) / num_devices
        return ChainPartition.create(
            cost,
            use,
            np.round(everything * rng.uniform(0.4, 1.2, (num_devices, 1))),
            device=np.arange(num_groups) % num_devices,
            use_per_copy=np.round(use / 2),
            copies=copies,
            group_cost=random_values(rng, seed, (num_groups,)),
            group_use=random_values(rng, seed, (num_groups, 2)) / 10,
            min_items=int(seed % 5 > 0),
            max_items=3 + seed % 3,
            bottleneck_weight=float(rng.integers(0, 8)),
            sum_weight=float(rng.integers(1, 3)),
            resource_names=("memory", "bandwidth"),
        )

    def large(self) -> Sequence[ChainPartition]:
        """48 different items over 8 groups that neighbour, or don't, on 4 devices."""
        size = np.random.default_rng(0).uniform(0.5, 1.5, (48, 1))
        cost, use = size * (1.0, 1.1, 1.2, 1.4), size * (3.0, 2.0, 1.5, 1.0)
        devices = (np.repeat(np.arange(4), 2), np.arange(8) % 4)
        return [
            ChainPartition.create(cost, use[..., None], [[30.0]] * 4, device=device, sum_weight=0.1)
            for device in devices
        ]

    def solutions(self, problem: ChainPartition) -> Iterator[Partition]:
        """All cuts times all choices."""
        for cuts in combinations_with_replacement(range(problem.num_items + 1), problem.num_groups - 1):
            for choice in product(range(problem.num_choices), repeat=problem.num_items):
                yield Partition(np.array((0, *cuts, problem.num_items)), np.array(choice))

    def price(self, problem: ChainPartition, solution: Partition) -> float:
        """Group by group, item by item."""
        cost, use = np.zeros(problem.num_devices), np.zeros_like(problem.limit)
        for group, device in enumerate(problem.device):
            first, last = solution.start[group : group + 2]
            if not problem.min_items[group] <= last - first <= problem.max_items[group]:
                return math.inf
            cost[device] += problem.group_cost[group]
            use[device] += problem.group_use[group]
            for item in range(first, last):
                choice = solution.choice[item]
                cost[device] += problem.cost[item, choice]
                use[device] += problem.use[item, choice] + problem.copies[group] * problem.use_per_copy[item, choice]
        if (use > problem.limit * (1 + FEASIBILITY_TOLERANCE)).any():
            return math.inf
        return float(problem.bottleneck_weight * cost.max() + problem.sum_weight * cost.sum())

    def keep_limits(self, problem: ChainPartition, conflicts: Collection[str]) -> ChainPartition:
        """By device and resource."""
        limit = np.full_like(problem.limit, np.inf)
        for d, r in np.ndindex(*limit.shape):
            if any(conflict.startswith(problem.limit_in_words(d, r)) for conflict in conflicts):
                limit[d, r] = problem.limit[d, r]
        return replace(problem, limit=limit)
