"""How long collectives take over the nested link levels of a cluster.

A group is `size` ranks, `stride` apart in the device numbering; all groups of that shape run at once on the whole
cluster. A level's bandwidth belongs to each device, so the members of one group in a domain add up theirs, and
groups side by side don't take each other's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn, IntColumn
from meshwright.cost_models.cluster import Cluster, LinkLevel


@dataclass(frozen=True, slots=True)
class CollectiveRates:
    """What collectives reach of the links' data sheet.

    Attributes:
        bandwidth_fraction: Share of a link's bandwidth that large messages reach, for levels not in `bandwidth_fractions`.
        bandwidth_fractions: The same by level name.
        launch_s: Time of a collective with nothing to move.
        hop_s: Software time of a hop, on top of the link's latency.
        in_network_fraction: Share of the bandwidth that reductions in the switch reach.
    """

    bandwidth_fraction: float = 0.8
    bandwidth_fractions: Mapping[str, float] = field(default_factory=dict)
    launch_s: float = 8e-6
    hop_s: float = 1e-6
    in_network_fraction: float = 0.7

    def bandwidth(self, level: LinkLevel) -> float:
        """Bytes/s that a device reaches over a level."""
        fraction = self.bandwidth_fractions.get(level.name, self.bandwidth_fraction)
        return level.bandwidth_bytes_per_s * fraction


@dataclass(frozen=True, slots=True)
class _LevelShare:
    """How a group lies on one level: its members in one domain of the level below, and in one of this level."""

    level: LinkLevel
    below: FloatColumn
    within: FloatColumn


def _levels(cluster: Cluster, size: IntColumn, stride: IntColumn) -> Iterator[_LevelShare]:
    below: FloatColumn = np.ones(np.broadcast_shapes(size.shape, stride.shape))
    for level in cluster.levels:
        last = level is cluster.levels[-1]
        within = size * np.ones_like(below) if last else _members(level.extent, size, stride)
        yield _LevelShare(level, below, np.maximum(within, below))
        below = np.maximum(within, below)


def _members(extent: int, size: IntColumn, stride: IntColumn) -> FloatColumn:
    """Members of a group in one domain of `extent` devices; the fewest, where domains cut groups unevenly."""
    span = size * stride
    members = np.clip(extent // stride, 1, size)
    uneven = (span % extent != 0) & (extent % span != 0)
    if uneven.any():
        members = np.where(uneven, np.clip(np.gcd(span, extent) // stride, 1, size), members)
    return members.astype(np.float64)


def _ints(*sizes: ArrayLike) -> list[IntColumn]:
    return [np.asarray(size, dtype=np.int64) for size in sizes]


def _ring_pass_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: FloatColumn, size: IntColumn, stride: IntColumn
) -> FloatColumn:
    """One trip round the ring (all-gather or reduce-scatter), without the launch.

    Every member forwards (n-1)/n of the bytes; where a domain holds several members, as many rings leave it
    through different members, so their links add up. The slowest level sets the pace; hops add up.
    """
    pace_s = np.zeros(np.broadcast_shapes(num_bytes.shape, size.shape, stride.shape))
    latency_s: FloatColumn = np.zeros(np.broadcast_shapes(size.shape, stride.shape))
    for share in _levels(cluster, size, stride):
        crosses = share.within > share.below
        bandwidth = rates.bandwidth(share.level) * share.below
        pace_s = np.maximum(pace_s, np.where(crosses, num_bytes * (size - 1) / size / bandwidth, 0.0))
        hops = size / share.below - size / share.within
        latency_s = latency_s + hops * (share.level.latency_s + rates.hop_s)
    return pace_s + latency_s


def all_gather_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, size: ArrayLike, stride: ArrayLike
) -> FloatColumn:
    """Time to gather `num_bytes` (the full result of each rank), in seconds."""
    size, stride = _ints(size, stride)
    num_bytes = np.asarray(num_bytes, dtype=np.float64)
    return np.where(size > 1, _ring_pass_s(cluster, rates, num_bytes, size, stride) + rates.launch_s, 0.0)


def reduce_scatter_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, size: ArrayLike, stride: ArrayLike
) -> FloatColumn:
    """Time to add up and scatter `num_bytes` (the full input of each rank), in seconds."""
    return all_gather_time_s(cluster, rates, num_bytes, size, stride)


def all_reduce_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, size: ArrayLike, stride: ArrayLike
) -> FloatColumn:
    """Time to add up `num_bytes` (the payload of each rank) over the group, in seconds."""
    size, stride = _ints(size, stride)
    num_bytes = np.asarray(num_bytes, dtype=np.float64)
    return np.where(
        size > 1, 2.0 * _ring_pass_s(cluster, rates, num_bytes, size, stride) + rates.launch_s, 0.0
    )


def all_to_all_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, size: ArrayLike, stride: ArrayLike
) -> FloatColumn:
    """Time for each rank to send `num_bytes`/size to every member, its own share staying, in seconds."""
    size, stride = _ints(size, stride)
    num_bytes = np.asarray(num_bytes, dtype=np.float64)
    pace_s = np.zeros(np.broadcast_shapes(num_bytes.shape, size.shape, stride.shape))
    latency_s: FloatColumn = np.zeros(np.broadcast_shapes(size.shape, stride.shape))
    for depth, share in enumerate(_levels(cluster, size, stride)):
        reached = share.within if depth == 0 else size  # outer links also carry what goes further out
        crosses = share.within > share.below
        sent = num_bytes * (reached - share.below) / size
        pace_s = np.maximum(pace_s, np.where(crosses, sent / rates.bandwidth(share.level), 0.0))
        hop_s = share.level.latency_s + rates.hop_s
        latency_s = latency_s + np.where(crosses, np.log2(share.within / share.below) * hop_s, 0.0)
    return np.where(size > 1, pace_s + latency_s + rates.launch_s, 0.0)


def send_recv_time_s(
    cluster: Cluster, rates: CollectiveRates, num_bytes: ArrayLike, stride: ArrayLike, size: ArrayLike = 2
) -> FloatColumn:
    """Time to send `num_bytes` to the neighbour `stride` away in a group of `size`, over the slowest level between any two."""
    size, stride = _ints(size, stride)
    num_bytes = np.asarray(num_bytes, dtype=np.float64)
    time_s = np.zeros(np.broadcast_shapes(num_bytes.shape, size.shape, stride.shape))
    for share in _levels(cluster, size, stride):
        level_s = (
            num_bytes / rates.bandwidth(share.level) + share.level.latency_s + rates.hop_s + rates.launch_s
        )
        time_s = np.maximum(time_s, np.where(share.within > share.below, level_s, 0.0))
    return time_s
