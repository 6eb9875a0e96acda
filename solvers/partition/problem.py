"""Cutting a chain into groups: the problem, its mathematics, and an independent check of any solution."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meshwright.errors import InputError
from meshwright.solvers.backend import Clock
from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE, Outcome

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class ChainPartition:
    """Items in a chain are cut into consecutive groups that share devices; every item takes one of its choices.

    Variables: cuts 0 = b_0 ≤ b_1 ≤ … ≤ b_G = n, so that group g holds items b_g … b_{g+1} − 1, and a choice c_i
    for each item i. With d(g) the device of group g:

        cost of a device          T_d   = Σ_{g on d} ( group_cost_g + Σ_{i in g} cost_{i,c_i} )
        use of a device           U_d,r = Σ_{g on d} ( group_use_g,r + Σ_{i in g} ( use_{i,c_i,r}
                                                                        + copies_g · use_per_copy_{i,c_i,r} ) )
        minimise                  bottleneck_weight · max_d T_d + sum_weight · Σ_d T_d
        sizes                     min_items_g ≤ b_{g+1} − b_g ≤ max_items_g        for every group g
        limits                    U_d,r ≤ limit_d,r                                for every device d, resource r

    Attributes:
        cost: (num_items, num_choices), at least 0; inf where an item doesn't offer a choice.
        use: (num_items, num_choices, num_resources), at least 0: used once.
        use_per_copy: As `use`: used once for every copy that the item's group keeps.
        device: (num_groups,) int: which device hosts the group.
        copies: (num_groups,), at least 0: how often a group's `use_per_copy` counts.
        group_cost: (num_groups,), at least 0: cost of a group whatever it holds.
        group_use: (num_groups, num_resources), at least 0: use of a group whatever it holds.
        min_items: (num_groups,) int: least size of a group.
        max_items: (num_groups,) int: greatest size of a group.
        limit: (num_devices, num_resources); inf where there is none.
        bottleneck_weight: Weight of the costliest device.
        sum_weight: Weight of the sum over devices.
        resource_names: One a resource, for messages.
    """

    cost: FloatArray
    use: FloatArray
    use_per_copy: FloatArray
    device: IntArray
    copies: FloatArray
    group_cost: FloatArray
    group_use: FloatArray
    min_items: IntArray
    max_items: IntArray
    limit: FloatArray
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
        device: ArrayLike | None = None,
        use_per_copy: ArrayLike = 0.0,
        copies: ArrayLike = 1.0,
        group_cost: ArrayLike = 0.0,
        group_use: ArrayLike = 0.0,
        min_items: ArrayLike = 1,
        max_items: ArrayLike | None = None,
        bottleneck_weight: float = 1.0,
        sum_weight: float = 0.0,
        resource_names: Sequence[str] = (),
    ) -> Self:
        """Checks the arrays and broadcasts the optional ones; see the class for shapes and meaning.

        `device` defaults to one group a device, in order.

        Raises:
            InputError: Shapes don't fit together, or values are negative or NaN.
        """
        cost_ = np.asarray(cost, np.float64)
        use_ = np.asarray(use, np.float64)
        limit_ = np.asarray(limit, np.float64)
        if cost_.ndim != 2 or cost_.size == 0 or use_.ndim != 3 or limit_.ndim != 2 or use_.shape[:2] != cost_.shape:
            raise InputError(
                "`cost` must be (items, choices), `use` (items, choices, resources), `limit` (devices, resources), "
                f"but got {cost_.shape}, {use_.shape} and {limit_.shape}"
            )
        num_devices, num_resources = limit_.shape
        device_ = np.arange(num_devices) if device is None else np.asarray(device, np.int64)
        groups = len(device_)
        problem = cls(
            cost=cost_,
            use=use_,
            use_per_copy=np.broadcast_to(np.asarray(use_per_copy, np.float64), use_.shape),
            device=device_,
            copies=np.broadcast_to(np.asarray(copies, np.float64), groups),
            group_cost=np.broadcast_to(np.asarray(group_cost, np.float64), groups),
            group_use=np.broadcast_to(np.asarray(group_use, np.float64), (groups, num_resources)),
            min_items=np.broadcast_to(np.asarray(min_items, np.int64), groups),
            max_items=np.broadcast_to(np.asarray(len(cost_) if max_items is None else max_items, np.int64), groups),
            limit=limit_,
            bottleneck_weight=float(bottleneck_weight),
            sum_weight=float(sum_weight),
            resource_names=tuple(resource_names) or tuple(f"resource {r}" for r in range(num_resources)),
        )
        if problems := problem._problems():
            raise InputError(problems)
        return problem

    def _problems(self) -> list[str]:
        """What is wrong with the values, if anything."""
        problems = [
            f"`{name}` must be at least 0, but got {np.min(values)}"
            for name in ("cost", "use", "use_per_copy", "copies", "group_cost", "group_use", "limit", "min_items")
            if not (np.all((values := getattr(self, name)) >= 0))
        ]
        if self.use.shape[2] != self.num_resources or len(self.resource_names) != self.num_resources:
            problems.append(
                f"`use` has {self.use.shape[2]} resources, `limit` has {self.num_resources}, "
                f"and there are {len(self.resource_names)} names"
            )
        if not np.all(np.isin(self.device, np.arange(self.num_devices))):
            problems.append(f"`device` must lie in 0 … {self.num_devices - 1}, but got {self.device.tolist()}")
        if not np.isfinite(self.cost).any(axis=1).all():
            items = np.flatnonzero(~np.isfinite(self.cost).any(axis=1)).tolist()
            problems.append(f"items {items} offer no choice: their whole row of `cost` is inf")
        return problems

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.cost)

    @property
    def num_choices(self) -> int:
        """How many choices an item has at most."""
        return int(self.cost.shape[1])

    @property
    def num_groups(self) -> int:
        """How many groups there are."""
        return len(self.device)

    @property
    def num_devices(self) -> int:
        """How many devices there are."""
        return len(self.limit)

    @property
    def num_resources(self) -> int:
        """How many resources there are."""
        return int(self.limit.shape[1])

    def groups_of(self, device: int) -> IntArray:
        """The groups that a device hosts, in order."""
        return np.flatnonzero(self.device == device)

    def use_in(self, group: int) -> FloatArray:
        """(num_items, num_choices, num_resources): what each item would use in a group."""
        return np.asarray(self.use + self.copies[group] * self.use_per_copy)

    def evaluate(self, partition: "Partition") -> "Evaluation":
        """Costs, uses and the objective of a solution, straight from the definition."""
        group = partition.group_of_item()
        device = self.device[group]
        item = np.arange(self.num_items)
        once, per_copy = self.use[item, partition.choice], self.use_per_copy[item, partition.choice]
        device_cost = np.bincount(self.device, self.group_cost, self.num_devices).astype(np.float64)
        np.add.at(device_cost, device, self.cost[item, partition.choice])
        device_use = np.zeros_like(self.limit)
        np.add.at(device_use, self.device, self.group_use)
        np.add.at(device_use, device, once + self.copies[group][:, None] * per_copy)
        objective = self.bottleneck_weight * device_cost.max() + self.sum_weight * device_cost.sum()
        return Evaluation(device_cost, device_use, float(objective))

    def violations(self, partition: "Partition") -> tuple[str, ...]:
        """Every constraint that a solution breaks, in words; empty if it is feasible."""
        start, size = partition.start, partition.sizes()
        if len(start) != self.num_groups + 1 or start[0] != 0 or start[-1] != self.num_items or (size < 0).any():
            return (f"the groups must cover items 0 … {self.num_items - 1} in order, but start at {start.tolist()}",)
        broken = [
            f"group {g} holds {size[g]} items, not {self.min_items[g]} … {self.max_items[g]}"
            for g in np.flatnonzero((size < self.min_items) | (size > self.max_items))
        ]
        offered = np.isfinite(self.cost[np.arange(self.num_items), partition.choice])
        broken += [f"item {i} doesn't offer choice {partition.choice[i]}" for i in np.flatnonzero(~offered)]
        use = self.evaluate(partition).device_use
        over = np.argwhere(use > self.limit * (1 + FEASIBILITY_TOLERANCE))
        return (*broken, *(f"{self.limit_in_words(d, r)}, but {use[d, r]:.12g} is used" for d, r in over))

    def conclude(
        self, candidates: Sequence["Partition | None"], bound: float, clock: Clock, detail: str = ""
    ) -> "Outcome[Partition]":
        """The best of some feasible candidates as an outcome, whose bound is known; unknown if there is none."""
        known = [c for c in candidates if c is not None]
        if not known:
            return Outcome.unknown(bound, clock.seconds, detail or "no partition was found that fits")
        best = min(known, key=lambda c: self.evaluate(c).objective)
        return Outcome.found(best, self.evaluate(best).objective, bound, clock.seconds, detail)

    def limit_in_words(self, device: int, resource: int) -> str:
        """A limit by its name, index and value."""
        return f"{self.resource_names[resource]} of device {device} is limited to {self.limit[device, resource]:.12g}"


@dataclass(frozen=True)
class Partition:
    """A solution of `ChainPartition`.

    Attributes:
        start: (num_groups + 1,) int: group g holds items start[g] … start[g + 1] − 1.
        choice: (num_items,) int: the choice of each item.
    """

    start: IntArray
    choice: IntArray

    def sizes(self) -> IntArray:
        """(num_groups,): items in each group."""
        return np.diff(self.start)

    def group_of_item(self) -> IntArray:
        """(num_items,): the group that holds each item."""
        return np.repeat(np.arange(len(self.start) - 1), self.sizes())


@dataclass(frozen=True)
class Evaluation:
    """What a partition costs and uses.

    Attributes:
        device_cost: (num_devices,).
        device_use: (num_devices, num_resources).
        objective: What is minimised.
    """

    device_cost: FloatArray
    device_use: FloatArray
    objective: float
