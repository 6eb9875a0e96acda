"""Seconds of each collective: the lowest line over algorithms and protocols."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Cluster
from meshwright.cost_models.collectives.algorithms import (
    Algorithm,
    in_network,
    neighbours,
    pairwise,
    ring,
    tree,
)
from meshwright.cost_models.collectives.groups import GroupShapes, level_shares
from meshwright.cost_models.collectives.rates import CollectiveRates


def all_gather_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, size: ArrayLike, stride: ArrayLike
) -> FloatColumn:
    """Time to gather `num_bytes` (the full result of each rank); 0 in a group of one."""
    shapes = _shapes(size, stride)
    shares = level_shares(cluster, shapes.size, shapes.stride)
    return _time_s(rates, num_bytes, shapes, [ring(rates, shares, shapes.size, rounds=1)])


def reduce_scatter_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, size: ArrayLike, stride: ArrayLike
) -> FloatColumn:
    """Time to add up and scatter `num_bytes` (the full input of each rank); 0 in a group of one."""
    return all_gather_time_s(cluster, rates, num_bytes, size, stride)


def all_reduce_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, size: ArrayLike, stride: ArrayLike
) -> FloatColumn:
    """Time to add up `num_bytes` (the payload of each rank) over the group; 0 in a group of one."""
    shapes = _shapes(size, stride)
    shares = level_shares(cluster, shapes.size, shapes.stride)
    algorithms = [ring(rates, shares, shapes.size, rounds=2), tree(rates, shares, shapes.size)]
    if any(level.in_network_reduction for level in cluster.levels):
        algorithms.append(in_network(rates, shares))
    return _time_s(rates, num_bytes, shapes, algorithms)


def all_to_all_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, size: ArrayLike, stride: ArrayLike
) -> FloatColumn:
    """Time for each rank to send `num_bytes`/size to every member, its own share staying, in seconds."""
    shapes = _shapes(size, stride)
    shares = level_shares(cluster, shapes.size, shapes.stride)
    return _time_s(rates, num_bytes, shapes, [pairwise(rates, shares, shapes.size)])


def send_recv_time_s(
    cluster: Cluster,
    rates: CollectiveRates,
    num_bytes: ArrayLike,
    stride: ArrayLike,
    size: ArrayLike = 2,
) -> FloatColumn:
    """Time to send `num_bytes` to the neighbour `stride` away in a group of `size`, in seconds.

    The slowest pair counts: neighbours on either side of a domain's border.
    """
    shapes = _shapes(size, stride)
    shares = level_shares(cluster, shapes.size, shapes.stride)
    return _time_s(rates, num_bytes, shapes, [neighbours(rates, shares)])


def _shapes(size: ArrayLike, stride: ArrayLike) -> GroupShapes:
    return GroupShapes.of(np.asarray(size, dtype=np.int64), np.asarray(stride, dtype=np.int64))


def _time_s(
    rates: CollectiveRates, num_bytes: ArrayLike, shapes: GroupShapes, algorithms: Sequence[Algorithm]
) -> FloatColumn:
    """The lowest of the algorithms' lines, each under both protocols."""
    payload: FloatColumn = np.asarray(num_bytes, dtype=np.float64)
    time_s = np.full(np.broadcast_shapes(payload.shape, shapes.index.shape), np.inf)
    for a in algorithms:
        launch_s = rates.launch_s + a.hops * rates.hop_s
        low_latency = (a.s_per_byte / rates.low_latency_fraction, launch_s + a.low_latency_s)
        bulk = (a.s_per_byte, launch_s + a.bulk_latency_s + rates.bulk_launch_s)
        for slope, intercept in (low_latency, bulk):
            if np.isfinite(intercept).all():
                line = payload * _unless_alone(slope, shapes)[shapes.index]
                np.minimum(time_s, line + _unless_alone(intercept, shapes)[shapes.index], out=time_s)
    return time_s


def _unless_alone(column: FloatColumn, shapes: GroupShapes) -> FloatColumn:
    """Zero for groups of one."""
    kept: FloatColumn = np.where(shapes.size > 1, column, 0.0)
    return kept
