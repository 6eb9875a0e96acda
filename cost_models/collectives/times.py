"""Seconds of each collective: the lowest line over algorithms and protocols."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn, IntColumn
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

LL128_HOP, LL128_FRACTION = 2.5, 120 / 128
"""Latency of a hop in NCCL's LL128 protocol over that in LL (1.9/0.6 on NVLink, 2.5/1.0 on PCIe, 4.0/2.7
over the
network: `src/graph/tuning.cc`), and its payload (120 of every 128 bytes)."""

SIMPLE_HOP = 5.5
"""The same for NCCL's Simple protocol (3.4/0.6, 5.7/1.0, 14.0/2.7), which reaches full bandwidth."""


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
    """The lowest of the algorithms' lines, each under each protocol."""
    payload: FloatColumn = np.asarray(num_bytes, dtype=np.float64)
    alone = shapes.size <= 1
    time_s = np.full(np.broadcast_shapes(payload.shape, shapes.index.shape), np.inf)
    for algorithm in algorithms:
        for hop, fraction in _protocols(rates, algorithm):
            latency_s = rates.launch_s + algorithm.hops * rates.hop_s + algorithm.link_latency_s * hop
            intercept: FloatColumn = np.where(alone, 0.0, latency_s)
            slope: FloatColumn = np.where(alone, 0.0, algorithm.s_per_byte / fraction)
            np.minimum(time_s, _line(payload, slope, intercept, shapes.index), out=time_s)
    return time_s


def _line(payload: FloatColumn, slope: FloatColumn, intercept: FloatColumn, index: IntColumn) -> FloatColumn:
    line: FloatColumn = payload * slope[index]
    return line + intercept[index]


def _protocols(rates: CollectiveRates, algorithm: Algorithm) -> Sequence[tuple[float, float]]:
    """Hop latency (of the link's) and share of the bandwidth of each protocol that can run the algorithm."""
    simple = (SIMPLE_HOP, 1.0)
    if not algorithm.any_protocol:
        return (simple,)
    return ((1.0, rates.low_latency_fraction), (LL128_HOP, LL128_FRACTION), simple)
