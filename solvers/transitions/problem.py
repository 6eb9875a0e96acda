"""Choices along a chain with a price on changes between neighbours: the problem, and a check of any solution."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshwright.errors import InputError
from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ChainChoice:
    """Every item of a chain takes one of its choices; neighbours pay for the transition between theirs.

    With a choice k_i for each item i:

        minimise    Σ_i cost_{i,k_i}  +  Σ_i transition_{i,k_i,k_{i+1}}
        limit       Σ_i use_{i,k_i} ≤ limit

    Attributes:
        cost: (num_items, num_choices), at least 0; inf where an item doesn't offer a choice.
        use: (num_items, num_choices), at least 0.
        transition: (num_items − 1, num_choices, num_choices), at least 0; inf where a transition is impossible.
        limit: On the sum of uses; inf if there is none.
        resource_name: For messages.
    """

    cost: FloatArray
    use: FloatArray
    transition: FloatArray
    limit: float
    resource_name: str = "the resource"

    @classmethod
    def create(
        cls,
        cost: ArrayLike,
        use: ArrayLike,
        transition: ArrayLike,
        limit: float,
        resource_name: str = "the resource",
    ) -> Self:
        """Checks the arrays; `transition` may be one (num_choices, num_choices) matrix for all neighbours.

        Raises:
            InputError: Shapes don't fit together, or values are negative or NaN.
        """
        cost_, use_ = np.asarray(cost, np.float64), np.asarray(use, np.float64)
        changes = np.asarray(transition, np.float64)
        if (
            cost_.ndim != 2
            or cost_.size == 0
            or use_.shape != cost_.shape
            or changes.shape[-2:] != (cost_.shape[1],) * 2
        ):
            raise InputError(
                "`cost` and `use` must be (items, choices) and `transition` (items - 1, choices, choices), "
                f"but got {cost_.shape}, {use_.shape} and {changes.shape}"
            )
        wrong = [
            f"`{name}` must be at least 0, but got {np.min(values)}"
            for name, values in (("cost", cost_), ("use", use_), ("transition", changes), ("limit", np.array(limit)))
            if not np.all(values >= 0)
        ]
        if wrong:
            raise InputError(wrong)
        changes = np.broadcast_to(changes, (max(0, len(cost_) - 1), cost_.shape[1], cost_.shape[1]))
        return cls(cost_, use_, changes, float(limit), resource_name)

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.cost)

    @property
    def num_choices(self) -> int:
        """How many choices an item has at most."""
        return int(self.cost.shape[1])

    @property
    def room(self) -> float:
        """The limit with its tolerance, the same for all back ends."""
        return self.limit * (1 + FEASIBILITY_TOLERANCE)

    def objective(self, choice: IntArray) -> float:
        """What a solution, (num_items,) int, costs."""
        item = np.arange(self.num_items)
        changes = self.transition[item[:-1], choice[:-1], choice[1:]]
        return float(self.cost[item, choice].sum() + changes.sum())

    def total_use(self, choice: IntArray) -> float:
        """What a solution uses."""
        return float(self.use[np.arange(self.num_items), choice].sum())

    def violations(self, choice: IntArray) -> tuple[str, ...]:
        """Every constraint that a solution breaks, in words; empty if it is feasible."""
        broken = []
        if not np.isfinite(self.objective(choice)):
            broken.append("a choice isn't offered or a transition is impossible: the objective is inf")
        if (use := self.total_use(choice)) > self.room:
            broken.append(f"{self.limit_in_words()}, but {use:.12g} is used")
        return tuple(broken)

    def limit_in_words(self) -> str:
        """The limit by its name and value."""
        return f"{self.resource_name} is limited to {self.limit:.12g}"
