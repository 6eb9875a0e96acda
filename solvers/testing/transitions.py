"""The contract of back ends for `ChainChoice`."""

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE
from meshwright.solvers.testing.contract import BackendContract, random_values
from meshwright.solvers.transitions import ChainChoice

IntArray = NDArray[np.int64]


class ChainChoiceContract(BackendContract[ChainChoice, IntArray]):
    """The laws for choices along a chain."""

    def small(self, seed: int) -> ChainChoice:
        """6 items with 3 choices; every third problem has choices that aren't offered and impossible transitions."""
        rng = np.random.default_rng(seed)
        cost, use = random_values(rng, seed, (6, 3)), random_values(rng, seed, (6, 3))
        transition = random_values(rng, seed, (5, 3, 3)) / 3
        if seed % 3 == 0:
            cost[rng.random(cost.shape) < 0.2] = np.inf
            transition[rng.random(transition.shape) < 0.3] = np.inf
        limit = np.round(use.mean(axis=1).sum() * rng.uniform(0.4, 1.2))
        return ChainChoice.create(cost, use, transition, limit, "memory")

    def large(self) -> Sequence[ChainChoice]:
        """200 alike items with 12 choices: a wide duality gap."""
        rng = np.random.default_rng(0)
        cost = rng.uniform(1, 2, 12)
        use = 3 - cost + rng.normal(0, 0.1, 12)
        return [ChainChoice.create([cost] * 200, [use] * 200, rng.uniform(0, 0.3, (12, 12)), 200 * use.mean())]

    def solutions(self, problem: ChainChoice) -> Iterator[IntArray]:
        """All sequences of choices."""
        for choice in product(range(problem.num_choices), repeat=problem.num_items):
            yield np.array(choice)

    def price(self, problem: ChainChoice, solution: IntArray) -> float:
        """Item by item, transition by transition."""
        cost, use = 0.0, 0.0
        for item, choice in enumerate(solution):
            cost += problem.cost[item, choice]
            use += problem.use[item, choice]
        for item, (choice, following) in enumerate(pairwise(solution)):
            cost += problem.transition[item, choice, following]
        return math.inf if use > problem.limit * (1 + FEASIBILITY_TOLERANCE) else float(cost)

    def keep_limits(self, problem: ChainChoice, conflicts: Collection[str]) -> ChainChoice:
        """There is only one."""
        named = any(conflict.startswith(problem.limit_in_words()) for conflict in conflicts)
        return problem if named else replace(problem, limit=math.inf)
