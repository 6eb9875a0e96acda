"""A chain partition in integers, for exact back ends: costs rounded down, uses up, so that bounds and limits hold."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meshwright.solvers.integers import BITS, power_of_two_unit
from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE
from meshwright.solvers.partition.problem import ChainPartition, FloatArray, IntArray


@dataclass(frozen=True)
class IntegerPartition:
    """`ChainPartition` in integers; `cost_unit` converts costs back.

    A resource without any limit is left out; if none is left, one that is never used stands in.

    Attributes:
        cost: (num_items, num_choices); meaningless where not `offered`.
        offered: (num_items, num_choices) bool.
        use: (num_groups, num_items, num_choices, num_limited).
        device_cost: (num_devices,): of the device's groups, whatever they hold.
        device_use: (num_devices, num_limited): idem.
        limit: (num_devices, num_limited).
        cost_unit: One integer unit of cost in the problem's own unit.
    """

    cost: IntArray
    offered: NDArray[np.bool_]
    use: IntArray
    device_cost: IntArray
    device_use: IntArray
    limit: IntArray
    cost_unit: float

    @classmethod
    def of(cls, problem: ChainPartition, cost_bits: int = BITS) -> Self:
        """Rounds a problem: its integer optimum is at most its true optimum, and every integer solution is feasible."""
        offered = np.isfinite(problem.cost)
        cost = np.where(offered, problem.cost, 0.0)
        group_cost = np.bincount(problem.device, problem.group_cost, problem.num_devices)
        cost_unit = power_of_two_unit(cost.max(axis=1).sum() + group_cost.sum(), cost_bits)
        limit, unit = _limits(problem)
        limited = np.isfinite(unit)
        use = problem.use + problem.copies[:, None, None, None] * problem.use_per_copy
        group_use = np.zeros_like(problem.limit)
        np.add.at(group_use, problem.device, problem.group_use)
        return cls(
            cost=np.floor(cost / cost_unit).astype(np.int64),
            offered=offered,
            use=_pad(_round_up(use, unit)[..., limited]),
            device_cost=np.floor(group_cost / cost_unit).astype(np.int64),
            device_use=_pad(_round_up(group_use, unit)[:, limited]),
            limit=_pad(limit[:, limited]),
            cost_unit=cost_unit,
        )

    @property
    def cost_without_end(self) -> int:
        """More than any device can cost."""
        return int(self.cost.max(axis=1).sum() + self.device_cost.sum()) + 1


def _limits(problem: ChainPartition) -> tuple[IntArray, FloatArray]:
    """Integer limits and each resource's unit (inf if it has no limit)."""
    finite = np.where(np.isfinite(problem.limit), problem.limit, 0.0)
    most_needed = problem.use.max(axis=(0, 1)) + problem.copies.max() * problem.use_per_copy.max(axis=(0, 1))
    most_needed = most_needed * problem.num_items + problem.group_use.sum(axis=0)
    unlimited = np.isinf(problem.limit)
    limit = np.where(unlimited, most_needed, finite)
    unit = np.array([power_of_two_unit(column.max()) for column in limit.T])
    unit[unlimited.all(axis=0)] = np.inf
    return np.floor(limit * (1 + FEASIBILITY_TOLERANCE) / unit).astype(np.int64), unit


def _round_up(use: FloatArray, unit: FloatArray) -> IntArray:
    """In units, rounded up; what exceeds every limit becomes just that, so that sums don't overflow."""
    return np.minimum(np.ceil(use / unit), 2.0 ** (BITS + 1)).astype(np.int64)


def _pad(values: IntArray) -> IntArray:
    """With at least one resource, so that fronts have two columns."""
    return values if values.shape[-1] else np.zeros((*values.shape[:-1], 1), np.int64)
