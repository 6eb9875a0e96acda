"""Greedy choice under limits: begin with the cheapest choices, then pay where a unit of relief costs least."""

import numpy as np
from numpy.typing import NDArray

from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LEAST_RELIEF = 1e-12  # of a limit: less is rounding, and steps could go round in circles


def cheapest_fit(cost: FloatArray, use: FloatArray, limit: FloatArray) -> IntArray | None:
    """A cheap choice for each item so that all limits hold, or None if greedy steps don't get there.

    Each step takes the change of one item that costs least per unit of relative overload that it removes. Steps back
    to cheaper choices follow while there is room.

    Args:
        cost: (num_items, num_choices); inf where an item doesn't offer a choice.
        use: (num_items, num_choices, num_resources).
        limit: (num_resources,); inf where there is none.

    Returns:
        (num_items,) int.
    """
    item = np.arange(len(cost))
    choice = np.lexsort((use.sum(axis=2), cost), axis=1)[:, 0]
    while (over := float(_overload(use[item, choice].sum(axis=0), limit))) > 0:
        relief = over - _overload(use_after_change(use, choice), limit)
        extra = cost - cost[item, choice][:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            price = np.where((relief > LEAST_RELIEF) & np.isfinite(extra), extra / relief, np.inf)
        best = np.unravel_index(price.argmin(), price.shape)
        if np.isinf(price[best]):
            return None
        choice[best[0]] = best[1]
    return _step_back(cost, use, limit, choice)


def _step_back(cost: FloatArray, use: FloatArray, limit: FloatArray, choice: IntArray) -> IntArray:
    """Takes the change that saves most cost within the limits, until there is none."""
    item = np.arange(len(cost))
    for _ in range(cost.size):
        fits = _overload(use_after_change(use, choice), limit) == 0
        saving = np.where(fits, cost[item, choice][:, None] - cost, 0.0)
        best = np.unravel_index(saving.argmax(), saving.shape)
        if saving[best] <= 0:
            break
        choice[best[0]] = best[1]
    return choice


def use_after_change(use: FloatArray, choice: IntArray) -> FloatArray:
    """(num_items, num_choices, num_resources): total use if one item changed to one choice."""
    now = use[np.arange(len(use)), choice]
    return np.asarray(now.sum(axis=0) - now[:, None, :] + use)


def _overload(use: FloatArray, limit: FloatArray) -> FloatArray:
    """Σ over resources of what exceeds the limit, relative to it."""
    over = np.maximum(use - limit * (1 + FEASIBILITY_TOLERANCE), 0.0)
    return np.asarray((over / np.where(limit > 0, limit, 1.0)).sum(axis=-1))
