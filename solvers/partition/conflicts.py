"""Why no partition exists: the limits that can't hold together, by name, index and value."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from meshwright.solvers.backend import Clock
from meshwright.solvers.conflicts import irreducible
from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE
from meshwright.solvers.partition.bounds import capacity_bound
from meshwright.solvers.partition.problem import ChainPartition, FloatArray


def quick_conflicts(problem: ChainPartition, clock: Clock) -> tuple[str, ...]:
    """Conflicts that show without any search; empty if there are none of that kind."""
    found = _sizes(problem) or _fixed_use(problem) or _total_use(problem)
    if found or capacity_bound(problem) < math.inf:
        return found
    return irreducible_conflicts(problem, lambda p: capacity_bound(p) == math.inf, clock)


def irreducible_conflicts(
    problem: ChainPartition, is_infeasible: Callable[[ChainPartition], bool], clock: Clock
) -> tuple[str, ...]:
    """A set of limits of an infeasible problem that can't hold together, none of which could be left out."""
    limit = irreducible(problem.limit, lambda limit: is_infeasible(replace(problem, limit=limit)), clock)
    return tuple(problem.limit_in_words(d, r) for d, r in np.argwhere(np.isfinite(limit))) or _size_limits(problem)


def without_costs(problem: ChainPartition) -> ChainPartition:
    """The same constraints where every partition costs nothing, which is quicker to decide."""
    cost = np.where(np.isfinite(problem.cost), 0.0, np.inf)
    return replace(problem, cost=cost, group_cost=np.zeros(problem.num_groups))


def _sizes(problem: ChainPartition) -> tuple[str, ...]:
    least, most = problem.min_items.sum(), np.minimum(problem.max_items, problem.num_items).sum()
    if least <= problem.num_items <= most and (problem.min_items <= problem.max_items).all():
        return ()
    return _size_limits(problem)


def _size_limits(problem: ChainPartition) -> tuple[str, ...]:
    sizes = f"sizes {problem.min_items.tolist()} … {problem.max_items.tolist()}"
    return (f"{problem.num_items} items don't fit into {problem.num_groups} groups of {sizes}",)


def _fixed_use(problem: ChainPartition) -> tuple[str, ...]:
    used = np.zeros_like(problem.limit)
    np.add.at(used, problem.device, problem.group_use)
    over = np.argwhere(used > problem.limit)
    return tuple(
        f"{problem.limit_in_words(d, r)}, but its groups need {used[d, r]:.12g} whatever they hold" for d, r in over
    )


def _total_use(problem: ChainPartition) -> tuple[str, ...]:
    needed, offered = least_total_use(problem), problem.limit.sum(axis=0)
    return tuple(
        f"{problem.limit_in_words(d, int(r))}: all devices offer {offered[r]:.12g}, but {needed[r]:.12g} is needed"
        for r in np.flatnonzero(needed > offered * (1 + FEASIBILITY_TOLERANCE))
        for d in range(problem.num_devices)
    )


def least_total_use(problem: ChainPartition) -> FloatArray:
    """(num_resources,): what all items and groups use at least, each item at its best in the best group."""
    offered = np.isfinite(problem.cost)[..., None]
    use = np.where(offered, problem.use + problem.copies.min() * problem.use_per_copy, np.inf)
    return np.asarray(use.min(axis=1).sum(axis=0) + problem.group_use.sum(axis=0))
