"""Quick lower bounds on a chain partition: how much each device can hold at all below a bottleneck."""

import numpy as np

from meshwright.solvers.partition.problem import ChainPartition, FloatArray

NUM_PRICES = 256
PRICE_DECADES = 4.0  # prices from 10^-4 to 10^4 times what balances cost and use: each is valid, the best one counts


def capacity_bound(problem: ChainPartition) -> float:
    """No partition has a lower objective than this; inf if it shows that none fits.

    Let w_i be item i's least cost, and let a unit of a reference item cost and use, in each choice, the least of all
    items relative to w_i. Then item i costs and uses at least as much as w_i units of it. Below a bottleneck T and
    within limit_r a device holds, in groups g of at least m_g units and with any price θ ≥ 0 on the resource, at most

        α (T' + θ limit_r') + Σ_g m_g (1 − α min_c(cost_c + θ use_gc)),   α = 1 / min_{g,c} (cost_c + θ use_gc)

    units, by duality of its linear programme (T', limit_r': less what its groups need whatever they hold). The bound is
    the lowest T for which all devices together hold Σ_i w_i. It is tight up to whole items if items are proportional.
    """
    weight = np.where(np.isfinite(problem.cost), problem.cost, np.inf).min(axis=1)
    group_cost = np.bincount(problem.device, problem.group_cost, problem.num_devices).astype(np.float64)
    total = weight.sum() + group_cost.sum()
    least_bottleneck = max(total / problem.num_devices, group_cost.max())
    if (weight > 0).all():
        least_bottleneck = max(least_bottleneck, _least_bottleneck(problem, weight, group_cost))
    return float(problem.bottleneck_weight * least_bottleneck + problem.sum_weight * total)


def _least_bottleneck(problem: ChainPartition, weight: FloatArray, group_cost: FloatArray) -> float:
    """The lowest T for which the devices' capacities, concave piecewise linear in T, add up to all items."""
    lines = [_capacity_lines(problem, weight, group_cost, r) for r in range(problem.num_resources)]
    slope, constant = (np.concatenate(part, axis=1) for part in zip(*lines, strict=True))
    dearest = np.where(np.isfinite(problem.cost), problem.cost, 0.0).max(axis=1)
    low, high = 0.0, float(dearest.sum() + group_cost.sum())
    if _capacity(slope, constant, high) < weight.sum():
        return np.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _capacity(slope, constant, middle) < weight.sum() else (low, middle)
    return low


def _capacity_lines(
    problem: ChainPartition, weight: FloatArray, group_cost: FloatArray, resource: int
) -> tuple[FloatArray, FloatArray]:
    """Slope and constant (num_devices, num_prices) of each device's capacity in T, for one resource."""
    cost = (problem.cost / weight[:, None]).min(axis=0)
    once = (problem.use[..., resource] / weight[:, None]).min(axis=0)
    per_copy = (problem.use_per_copy[..., resource] / weight[:, None]).min(axis=0)
    use = once + problem.copies[:, None] * per_copy
    balance = cost[np.isfinite(cost)].mean() / max(use.mean(), np.finfo(np.float64).tiny)
    price = np.append(0.0, min(balance, 1e100) * np.logspace(-PRICE_DECADES, PRICE_DECADES, NUM_PRICES))
    unit = (cost + price[:, None, None] * use).min(axis=2).T  # (num_groups, num_prices): of one unit
    slope, forced = (np.zeros((problem.num_devices, len(price))) for _ in range(2))
    np.maximum.at(slope, problem.device, 1 / unit)
    np.add.at(forced, problem.device, problem.min_items[:, None] * weight.min() * (1 - slope[problem.device] * unit))
    used = np.bincount(problem.device, problem.group_use[:, resource], problem.num_devices)
    is_limited = np.isfinite(problem.limit[:, resource])
    room = np.where(is_limited, problem.limit[:, resource], 0.0) - used
    constant = slope * (price * room[:, None] - group_cost[:, None]) + forced
    constant[~is_limited, 1:] = np.inf
    return slope, constant


def _capacity(slope: FloatArray, constant: FloatArray, bottleneck: float) -> float:
    return float((slope * bottleneck + constant).min(axis=1).sum())
