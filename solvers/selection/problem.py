"""A choice for every item under limits that all share: the problem, and a check of any solution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshwright.errors import InputError
from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Selection:
    """Every item takes one of its choices; choices use shared resources and load lanes that work side by side.

    With a choice k_i for each item i:

        minimise    bottleneck_weight · max_l (base_load_l + Σ_i load_{i,k_i,l})  +  sum_weight · Σ_i cost_{i,k_i}
        limits      Σ_i use_{i,k_i,r} ≤ limit_r                for every resource r

    Attributes:
        cost: (num_items, num_choices), at least 0; inf where an item doesn't offer a choice.
        use: (num_items, num_choices, num_resources), at least 0.
        limit: (num_resources,); inf where there is none.
        load: (num_items, num_choices, num_lanes), at least 0, in the unit of `cost`.
        base_load: (num_lanes,), at least 0: what each lane carries anyway.
        bottleneck_weight: Weight of the most loaded lane.
        sum_weight: Weight of the sum of costs.
        resource_names: One a resource, for messages.
    """

    cost: FloatArray
    use: FloatArray
    limit: FloatArray
    load: FloatArray
    base_load: FloatArray
    bottleneck_weight: float
    sum_weight: float
    resource_names: tuple[str, ...]

    @classmethod
    def create(
        cls,
        cost: ArrayLike,
        use: ArrayLike,
        limit: ArrayLike,
        *,
        load: ArrayLike | None = None,
        base_load: ArrayLike = 0.0,
        bottleneck_weight: float = 1.0,
        sum_weight: float = 1.0,
        resource_names: Sequence[str] = (),
    ) -> Self:
        """Checks the arrays; without `load` only the sum of costs counts.

        Raises:
            InputError: Shapes don't fit together, or values are negative or NaN.
        """
        cost_, use_, limit_ = (np.asarray(values, np.float64) for values in (cost, use, limit))
        load_ = np.zeros((*cost_.shape, 1)) if load is None else np.asarray(load, np.float64)
        names = tuple(resource_names) or tuple(f"resource {r}" for r in range(limit_.size))
        shapes = (cost_.shape, use_.shape, limit_.shape, load_.shape)
        if (
            cost_.ndim != 2
            or cost_.size == 0
            or use_.shape != (*cost_.shape, *limit_.shape)
            or load_.shape[:-1] != cost_.shape
            or len(names) != limit_.size
        ):
            raise InputError(
                "`cost` must be (items, choices), `use` (items, choices, resources), `limit` (resources,), `load` "
                f"(items, choices, lanes), but got {', '.join(map(str, shapes))} and {len(names)} resource names"
            )
        base = np.broadcast_to(np.asarray(base_load, np.float64), load_.shape[-1:])
        arrays = {"cost": cost_, "use": use_, "limit": limit_, "load": load_, "base_load": base}
        wrong = [f"`{n}` must be at least 0, but got {np.min(v)}" for n, v in arrays.items() if not np.all(v >= 0)]
        if wrong:
            raise InputError(wrong)
        return cls(cost_, use_, limit_, load_, base, float(bottleneck_weight), float(sum_weight), names)

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.cost)

    @property
    def num_choices(self) -> int:
        """How many choices an item has at most."""
        return int(self.cost.shape[1])

    def objective(self, choice: IntArray) -> float:
        """What a solution, (num_items,) int, costs."""
        item = np.arange(self.num_items)
        busiest = (self.base_load + self.load[item, choice].sum(axis=0)).max()
        return float(self.bottleneck_weight * busiest + self.sum_weight * self.cost[item, choice].sum())

    def violations(self, choice: IntArray) -> tuple[str, ...]:
        """Every constraint that a solution breaks, in words; empty if it is feasible."""
        item = np.arange(self.num_items)
        missing = np.flatnonzero(~np.isfinite(self.cost[item, choice]))
        use = self.use[item, choice].sum(axis=0)
        over = np.flatnonzero(use > self.limit * (1 + FEASIBILITY_TOLERANCE))
        return (
            *(f"item {i} doesn't offer choice {choice[i]}" for i in missing),
            *(f"{self.limit_in_words(int(r))}, but {use[r]:.12g} is used" for r in over),
        )

    def limit_in_words(self, resource: int) -> str:
        """A limit by its name and value."""
        return f"{self.resource_names[resource]} is limited to {self.limit[resource]:.12g}"

    def bound(self) -> float:
        """No solution has a lower objective: every item at its best in each term, whatever the limits."""
        offered = np.isfinite(self.cost)
        load = np.where(offered[..., None], self.load, np.inf).min(axis=1).sum(axis=0)
        return float(
            self.bottleneck_weight * (self.base_load + load).max() + self.sum_weight * self.cost.min(axis=1).sum()
        )

    def conflicts(self) -> tuple[str, ...]:
        """Limits that can't hold even if every item used as little of one resource as it can."""
        offered = np.isfinite(self.cost)[..., None]
        needed = np.where(offered, self.use, np.inf).min(axis=1).sum(axis=0)
        over = np.flatnonzero(needed > self.limit * (1 + FEASIBILITY_TOLERANCE))
        return tuple(f"{self.limit_in_words(int(r))}, but at least {needed[r]:.12g} is needed" for r in over)
