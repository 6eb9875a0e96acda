"""The contract of back ends for `Selection`."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE
from meshwright.solvers.selection import Selection
from meshwright.solvers.testing.contract import BackendContract, random_values

IntArray = NDArray[np.int64]


class SelectionContract(BackendContract[Selection, IntArray]):
    """The laws for selections."""

    def small(self, seed: int) -> Selection:
        """6 items with 3 choices, 2 resources and 2 lanes; some alike, some choices not offered."""
        rng = np.random.default_rng(seed)
        types = np.array([0, 1, 1, 2, 3, 3]) if seed % 3 else np.arange(6)
        cost, use = random_values(rng, seed, (6, 3)), random_values(rng, seed, (6, 3, 2))
        if seed % 4 == 0:
            cost[rng.random(cost.shape) < 0.2] = np.inf
            cost[:, 0] = 5.0
        return Selection.create(
            cost[types],
            use[types],
            np.round(use[types].mean(axis=1).sum(axis=0) * rng.uniform(0.5, 1.2, 2)),
            load=random_values(rng, seed, (6, 3, 2))[types],
            base_load=(3.0, 0.0),
            bottleneck_weight=float(rng.integers(0, 4)),
            sum_weight=float(rng.integers(1, 3)),
            resource_names=("memory", "host memory"),
        )

    def large(self) -> Sequence[Selection]:
        """150 different items with 6 choices and 3 resources."""
        rng = np.random.default_rng(0)
        use = rng.uniform(1, 9, (150, 6, 3))
        return [Selection.create(rng.uniform(1, 9, (150, 6)), use, use.mean(axis=1).sum(axis=0) * 0.8, load=use)]

    def solutions(self, problem: Selection) -> Iterator[IntArray]:
        """All choices."""
        for choice in product(range(problem.num_choices), repeat=problem.num_items):
            yield np.array(choice)

    def price(self, problem: Selection, solution: IntArray) -> float:
        """Item by item."""
        cost, use, load = 0.0, np.zeros_like(problem.limit), problem.base_load.copy()
        for item, choice in enumerate(solution):
            cost += problem.cost[item, choice]
            use += problem.use[item, choice]
            load += problem.load[item, choice]
        if (use > problem.limit * (1 + FEASIBILITY_TOLERANCE)).any():
            return math.inf
        return float(problem.bottleneck_weight * load.max() + problem.sum_weight * cost)

    def keep_limits(self, problem: Selection, conflicts: Collection[str]) -> Selection:
        """By resource."""
        named = [
            any(conflict.startswith(problem.limit_in_words(r)) for conflict in conflicts)
            for r in range(len(problem.limit))
        ]
        return replace(problem, limit=np.where(named, problem.limit, np.inf))
