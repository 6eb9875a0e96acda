"""Algorithms of collectives: seconds a byte, and the latency of their hops under each protocol.

Each algorithm under each protocol is a straight line in the bytes; a library takes whichever is lowest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.candidates import FloatColumn, IntColumn
from meshwright.cost_models.collectives.groups import LevelShare
from meshwright.cost_models.collectives.rates import CollectiveRates

SIMPLE_HOP = 5.5
"""Latency of a hop in NCCL's Simple protocol over that in LL, which `LinkLevel.latency_s` is: 3.4/0.6 on
NVLink, 5.7/1.0 on PCIe, 14.0/2.7 over the network (NCCL, `src/graph/tuning.cc`)."""

TREE_HOP = 5.0 / 2.7
"""The same for an LL tree over the network, over an LL ring; under Simple both are alike."""

IN_NETWORK_HOPS = 25.0 / 3.4
"""Latency of a reduction in the switch, in hops of a Simple ring over NVLink."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to run a collective; columns have one row a group shape.

    Attributes:
        s_per_byte: Seconds a byte at full bandwidth.
        hops: Hops one after another.
        low_latency_s: Latencies of those hops' links together, under the protocol of least latency (LL);
            infinite where that can't run the algorithm.
        bulk_latency_s: The same under the protocol of full bandwidth (Simple).
    """

    s_per_byte: FloatColumn
    hops: FloatColumn
    low_latency_s: FloatColumn
    bulk_latency_s: FloatColumn


def _slowest(shares: Sequence[LevelShare], paces: Sequence[FloatColumn]) -> FloatColumn:
    """The slowest level that a group crosses sets its pace."""
    crossed = [np.where(share.crosses, pace, 0.0) for share, pace in zip(shares, paces, strict=True)]
    slowest: FloatColumn = np.max(crossed, axis=0)
    return slowest


def _latency(shares: Sequence[LevelShare], hops: Sequence[FloatColumn]) -> FloatColumn:
    """Latency of the links of hops one after another."""
    links = [count * share.level.latency_s for share, count in zip(shares, hops, strict=True)]
    total: FloatColumn = np.sum(links, axis=0)
    return total


def ring(rates: CollectiveRates, shares: Sequence[LevelShare], size: IntColumn, rounds: int) -> Algorithm:
    """`rounds` trips round the ring: 1 for all-gather or reduce-scatter, 2 for all-reduce.

    Every member forwards (n-1)/n of the bytes a round (Patarasu and Yuan, "Bandwidth optimal all-reduce
    algorithms for clusters of workstations", 2009). Where a domain holds several members, as many rings leave
    it through different members, so that their links add up (NCCL's channels).
    """
    sent = (rounds * (size - 1) + rates.local_copy) / size
    paces = [sent / (share.below * rates.bandwidth_bytes_per_s(share.level, share.within)) for share in shares]
    hops = [rounds * (size / share.below - size / share.within) for share in shares]
    latency = _latency(shares, hops)
    return Algorithm(_slowest(shares, paces), np.sum(hops, axis=0), latency, latency * SIMPLE_HOP)


def _chain_share(share: LevelShare) -> FloatColumn:
    """Share of its bytes that a member of a chain sends up and down; its ends send one way, by turns."""
    return 2.0 * (share.branching - 1.0) / share.branching


def _tree_share(share: LevelShare) -> FloatColumn:
    """Share of its bytes that a domain sends up and down two trees, in each of which it has half of them.

    Inside one tree it sends up once and down twice, in the other it is a leaf and sends up once: 2 in all.
    Two domains are root and leaf by turns: 1.
    """
    return np.where(share.branching > 2.0, 2.0, _chain_share(share))


def tree(rates: CollectiveRates, shares: Sequence[LevelShare], size: IntColumn) -> Algorithm:
    """All-reduce up and down two complementary trees over domains, along a chain within the first.

    Two-tree all-reduce (Sanders, Speck and Träff, "Two-tree algorithms for full bandwidth broadcast,
    reduction and scan", 2009; in NCCL since 2.4), in log2(r) hops each way over r domains.
    """
    paces, hops, low_latency_hops = [], [], []
    for depth, share in enumerate(shares):
        sent = _chain_share(share) if depth == 0 else _tree_share(share)
        sent = sent + rates.local_copy / size
        paces.append(sent / (share.below * rates.bandwidth_bytes_per_s(share.level, share.within)))
        hops.append(2.0 * (share.branching - 1.0 if depth == 0 else np.log2(share.branching)))
        low_latency_hops.append(hops[-1] * (1.0 if depth == 0 else TREE_HOP))
    low_latency, bulk_latency = _latency(shares, low_latency_hops), _latency(shares, hops) * SIMPLE_HOP
    return Algorithm(_slowest(shares, paces), np.sum(hops, axis=0), low_latency, bulk_latency)


def in_network(rates: CollectiveRates, shares: Sequence[LevelShare]) -> Algorithm:
    """All-reduce by the switches where a level can, and by trees above and below.

    A member of r sends its bytes once and the switch's sum of its share once: (1 + 1/r) of the bytes (NVLink
    SHARP; Klenk et al., "An in-network architecture for accelerating shared-memory multiprocessor
    collectives", ISCA 2020).
    """
    paces, hops = [], []
    for share in shares:
        if share.level.in_network_reduction:
            bandwidth = share.level.bandwidth_bytes_per_s * rates.in_network_fraction
            paces.append((1.0 + 1.0 / share.branching) / (share.below * bandwidth))
            hops.append(np.where(share.crosses, IN_NETWORK_HOPS, 0.0))
        else:
            reached = rates.bandwidth_bytes_per_s(share.level, share.within)
            paces.append(_tree_share(share) / (share.below * reached))
            hops.append(2.0 * np.log2(share.branching))
    latency = _latency(shares, hops)
    return Algorithm(_slowest(shares, paces), np.sum(hops, axis=0), np.full_like(latency, np.inf), latency * SIMPLE_HOP)


def pairwise(rates: CollectiveRates, shares: Sequence[LevelShare], size: IntColumn) -> Algorithm:
    """All-to-all: a message to every other member, all levels at once.

    The first level carries what stays in its domain; outer levels also carry what goes further out, because
    it leaves through the same port. Every peer costs a hop's software time; the links' latencies overlap.
    """
    paces = []
    for depth, share in enumerate(shares):
        reached, own = (share.within, rates.local_copy) if depth == 0 else (size, 0.0)
        paces.append((reached - share.below + own) / size / rates.bandwidth_bytes_per_s(share.level, share.within))
    latency = _latency(shares, [np.log2(share.branching) for share in shares])
    peers: FloatColumn = size.astype(np.float64) - 1.0
    return Algorithm(_slowest(shares, paces), peers, latency, latency * SIMPLE_HOP)


def neighbours(rates: CollectiveRates, shares: Sequence[LevelShare]) -> Algorithm:
    """A message to the next member, over the slowest level between any two of the group."""
    shape = shares[0].below.shape
    paces = [1.0 / rates.bandwidth_bytes_per_s(share.level, np.full(shape, 2.0)) for share in shares]
    latency = _slowest(shares, [np.full(shape, share.level.latency_s) for share in shares])
    return Algorithm(_slowest(shares, paces), np.ones(shape), latency, latency * SIMPLE_HOP)
