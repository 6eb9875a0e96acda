"""Algorithms of collectives: seconds a byte and hops, before a protocol is chosen.

Each algorithm is a straight line in the bytes; a library takes whichever is lowest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.candidates import FloatColumn, IntColumn
from meshwright.cost_models.collectives.groups import LevelShare
from meshwright.cost_models.collectives.rates import CollectiveRates


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to run a collective; columns have one row a group shape.

    Attributes:
        s_per_byte: Seconds a byte at full bandwidth.
        hops: Hops one after another.
        link_latency_s: Latencies of those hops' links together.
        any_protocol: Whether low-latency protocols can run it (switches that add up can't).
    """

    s_per_byte: FloatColumn
    hops: FloatColumn
    link_latency_s: FloatColumn
    any_protocol: bool = True


def _algorithm(
    shares: Sequence[LevelShare],
    paces: Sequence[FloatColumn],
    hops: Sequence[FloatColumn],
    *,
    any_protocol: bool = True,
) -> Algorithm:
    """The slowest level that a group crosses sets the pace; hops add up."""
    pace = [np.where(share.crosses, s, 0.0) for share, s in zip(shares, paces, strict=True)]
    latency = [count * share.level.latency_s for share, count in zip(shares, hops, strict=True)]
    return Algorithm(np.max(pace, axis=0), np.sum(hops, axis=0), np.sum(latency, axis=0), any_protocol)


def ring(rates: CollectiveRates, shares: Sequence[LevelShare], size: IntColumn, rounds: int) -> Algorithm:
    """`rounds` trips round the ring: 1 for all-gather or reduce-scatter, 2 for all-reduce.

    Every member forwards (n-1)/n of the bytes a round (Patarasu and Yuan, "Bandwidth optimal all-reduce
    algorithms", 2009). Where a domain holds several members, as many rings leave it through different
    members, so that their links add up (NCCL's channels).
    """
    sent = (rounds * (size - 1) + rates.local_copy) / size
    paces = [sent / (share.below * rates.bandwidth_bytes_per_s(share.level)) for share in shares]
    hops = [rounds * (size / share.below - size / share.within) for share in shares]
    return _algorithm(shares, paces, hops)


def tree(rates: CollectiveRates, shares: Sequence[LevelShare], size: IntColumn) -> Algorithm:
    """All-reduce up and down two complementary trees over domains, along a chain within the first.

    Two-tree all-reduce (Sanders, Speck and Träff, 2009; NCCL 2.4 "Massively scale your deep learning
    training"): a level carries 2(r-1)/r of the bytes that the r domains below it hold, in log2(r) hops each
    way.
    """
    paces, hops = [], []
    for depth, share in enumerate(shares):
        sent = 2.0 * (share.branching - 1.0) / share.branching + rates.local_copy / size
        paces.append(sent / (share.below * rates.bandwidth_bytes_per_s(share.level)))
        hops.append(2.0 * (share.branching - 1.0 if depth == 0 else np.log2(share.branching)))
    return _algorithm(shares, paces, hops)


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
            hops.append(np.where(share.crosses, 2.0, 0.0))
        else:
            bandwidth = rates.bandwidth_bytes_per_s(share.level)
            paces.append(2.0 * (share.branching - 1.0) / share.branching / (share.below * bandwidth))
            hops.append(2.0 * np.log2(share.branching))
    return _algorithm(shares, paces, hops, any_protocol=False)


def pairwise(rates: CollectiveRates, shares: Sequence[LevelShare], size: IntColumn) -> Algorithm:
    """All-to-all: a message to every other member, all levels at once.

    The first level carries what stays in its domain; outer levels also carry what goes further out, because
    it leaves through the same port. Every peer costs a hop's software time, the links' latencies overlap.
    """
    paces, hops, latency = [], [], []
    for depth, share in enumerate(shares):
        reached = share.within if depth == 0 else size
        sent = (reached - share.below + (rates.local_copy if depth == 0 else 0.0)) / size
        paces.append(np.where(share.crosses, sent / rates.bandwidth_bytes_per_s(share.level), 0.0))
        hops.append(share.within - share.below)
        latency.append(np.log2(share.branching) * share.level.latency_s)
    return Algorithm(np.max(paces, axis=0), np.sum(hops, axis=0), np.sum(latency, axis=0))


def neighbours(rates: CollectiveRates, shares: Sequence[LevelShare]) -> Algorithm:
    """A message to the next member, over the outermost level between any two of the group."""
    paces = [np.full(share.below.shape, 1.0 / rates.bandwidth_bytes_per_s(share.level)) for share in shares]
    latency = [np.where(share.crosses, share.level.latency_s, 0.0) for share in shares]
    pace = [np.where(share.crosses, s, 0.0) for share, s in zip(shares, paces, strict=True)]
    return Algorithm(np.max(pace, axis=0), np.ones(shares[0].below.shape), np.max(latency, axis=0))
