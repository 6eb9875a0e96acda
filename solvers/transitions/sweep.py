"""Along the chain with every partial solution that may still become the best one, or only the most promising ones."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meshwright.solvers.backend import Clock, TooHardError
from meshwright.solvers.integers import power_of_two_unit
from meshwright.solvers.pareto import fronts_by_key
from meshwright.solvers.transitions.lagrangian import cost_to_go
from meshwright.solvers.transitions.problem import ChainChoice, FloatArray, IntArray

ROUNDING = 1e-9  # relative: more than integers of 42 bits can be off


@dataclass(frozen=True)
class _Partial:
    """Choices for the first items, one row each.

    Attributes:
        choices: (num_rows, items so far).
        point: (num_rows, 2): cost and use so far, in units.
    """

    choices: NDArray[np.int16]
    point: IntArray

    def __len__(self) -> int:
        return len(self.point)

    def __getitem__(self, rows: IntArray | NDArray[np.bool_]) -> Self:
        return replace(self, choices=self.choices[rows], point=self.point[rows])

    def efficient(self) -> Self:
        """Those that no other one with the same last choice beats in both cost and use."""
        return self[fronts_by_key(self.choices[:, -1].astype(np.int64), self.point)]


class Sweep:
    """Extends partial solutions item by item.

    A partial solution is dropped if another one with the same last choice is no worse in both cost and use, or if its
    cost, the least priced cost from there on (`cost_to_go`) and what the limit is worth show that it can't beat the
    best known solution. Both are exact. Costs and uses are integers, so that equal sums are equal.

    Args:
        problem: What to solve.
        price: Of the resource; the better its Lagrangian bound, the more is dropped.
        best: The best known solution, which is feasible.
    """

    def __init__(self, problem: ChainChoice, price: float, best: IntArray) -> None:
        self.problem, self.price, self.best = problem, price, best
        self.upper = problem.objective(best)
        cost = np.where(np.isfinite(problem.cost), problem.cost, 0.0).max(axis=1).sum()
        changes = np.where(np.isfinite(problem.transition), problem.transition, 0.0).max(axis=(1, 2)).sum()
        self.unit = np.array([power_of_two_unit(cost + changes), power_of_two_unit(problem.use.max(axis=1).sum())])
        self.to_go = cost_to_go(problem, price)
        only_use = ChainChoice(problem.use, problem.use, np.zeros_like(problem.transition), np.inf)
        self.use_to_go = cost_to_go(only_use, 0.0)

    def run(self, width: int, clock: Clock) -> bool:
        """Replaces `best` by a better solution, if one comes up.

        Args:
            width: Keep at most so many partial solutions, those with the best bounds.
            clock: For time.

        Returns:
            Whether the width left no partial solution out, so that `best` is optimal.

        Raises:
            TooHardError: Out of time.
        """
        partial, is_complete = self._promising(self._first(), 0), True
        for item in range(1, self.problem.num_items):
            if len(partial) > width:
                partial, is_complete = partial[np.argsort(self._bound(partial, item - 1), kind="stable")[:width]], False
            partial = self._promising(self._extend(partial, item), item)
            if clock.left_s == 0:
                raise TooHardError
        if len(partial):
            found = partial.choices[partial.point[:, 0].argmin()].astype(np.int64)
            self.best = min(self.best, found, key=self.problem.objective)
            self.upper = self.problem.objective(self.best)
        return is_complete

    def _first(self) -> _Partial:
        choices = np.flatnonzero(np.isfinite(self.problem.cost[0]))
        point = self._round(self.problem.cost[0, choices], self.problem.use[0, choices])
        return _Partial(choices[:, None].astype(np.int16), point)

    def _extend(self, partial: _Partial, item: int) -> _Partial:
        last = partial.choices[:, -1]
        cost = self.problem.transition[item - 1, last] + self.problem.cost[item]
        row, choice = np.nonzero(np.isfinite(cost))
        point = partial.point[row] + self._round(cost[row, choice], self.problem.use[item, choice])
        return _Partial(np.column_stack((partial.choices[row], choice.astype(np.int16))), point)

    def _promising(self, partial: _Partial, item: int) -> _Partial:
        """Efficient ones that may beat the best known solution within the limit."""
        use = partial.point[:, 1] * self.unit[1] + self.use_to_go[item, partial.choices[:, -1]]
        fits = use <= self.problem.room * (1 + ROUNDING)
        return partial[fits & (self._bound(partial, item) < self.upper * (1 + ROUNDING))].efficient()

    def _bound(self, partial: _Partial, item: int) -> FloatArray:
        """(num_rows,): no completion of a partial solution costs less."""
        cost, use = (partial.point * self.unit).T
        return np.asarray(cost + self.price * (use - self.problem.room) + self.to_go[item, partial.choices[:, -1]])

    def _round(self, cost: FloatArray, use: FloatArray) -> IntArray:
        """(…, 2): costs rounded down and uses up, in units."""
        return np.stack((np.floor(cost / self.unit[0]), np.ceil(use / self.unit[1])), axis=-1).astype(np.int64)
