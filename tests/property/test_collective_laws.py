"""Laws of collective times over any hierarchy of links."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.cost_models.cluster import Accelerator, Cluster, LinkLevel
from meshwright.cost_models.collectives import (
    CollectiveRates,
    all_gather_time_s,
    all_reduce_time_s,
    all_to_all_time_s,
    reduce_scatter_time_s,
    send_recv_time_s,
)

DEVICE = Accelerator("device", {"bf16": 1e15}, 80e9, 3e12)
COLLECTIVES = [all_gather_time_s, all_reduce_time_s, all_to_all_time_s, reduce_scatter_time_s]
ROUNDING = 1 + 1e-9
HUGE = 1e15
law = settings(max_examples=50, deadline=None)
POWERS = st.sampled_from([1, 2, 4, 8, 16, 32])


@st.composite
def clusters(draw):
    """One to three levels of links, each slower than the one below."""
    extents = np.cumprod(draw(st.lists(st.integers(2, 9), min_size=1, max_size=3)))
    bandwidth = draw(st.floats(1e11, 1e12))
    levels = []
    for depth, extent in enumerate(extents):
        in_network = draw(st.booleans())
        levels.append(LinkLevel(f"level{depth}", int(extent), bandwidth, draw(st.floats(0, 1e-5)), in_network))
        bandwidth /= draw(st.floats(1.0, 10.0))
    return Cluster("cluster", DEVICE, int(extents[-1]), int(extents[0]), tuple(levels))


@st.composite
def groups(draw):
    """A cluster, and a group size and stride that fit it."""
    cluster = draw(clusters())
    size = draw(st.integers(1, cluster.num_devices))
    stride = draw(st.integers(1, cluster.num_devices // size))
    return cluster, size, stride


@st.composite
def rates(draw):
    """Rates that a fit could give."""
    shares = st.floats(0.1, 1.0)
    return CollectiveRates(
        bandwidth_fraction=draw(shares),
        in_network_fraction=draw(shares),
        low_latency_fraction=draw(shares),
        local_copy=draw(st.floats(0, 1)),
        launch_s=draw(st.floats(0, 2e-5)),
        bulk_launch_s=draw(st.floats(0, 2e-5)),
        hop_s=draw(st.floats(0, 2e-6)),
    )


def rescaled(cluster, *, bandwidth=1.0, latency=1.0):
    levels = [
        replace(
            level,
            bandwidth_bytes_per_s=level.bandwidth_bytes_per_s * bandwidth,
            latency_s=level.latency_s * latency,
        )
        for level in cluster.levels
    ]
    return replace(cluster, levels=tuple(levels))


@pytest.mark.parametrize("collective", COLLECTIVES)
@law
@given(groups(), rates(), st.floats(0, 1e12), st.floats(1.0, 8.0))
def test_better_links_never_slow_a_collective(collective, group, r, num_bytes, factor):
    """Monotone in bandwidth, in latency and in the bytes."""
    cluster, size, stride = group
    time_s = collective(cluster, r, num_bytes, size, stride)
    assert collective(rescaled(cluster, bandwidth=factor), r, num_bytes, size, stride) <= time_s * ROUNDING
    assert collective(rescaled(cluster, latency=1 / factor), r, num_bytes, size, stride) <= time_s * ROUNDING
    assert collective(cluster, r, num_bytes * factor, size, stride) * ROUNDING >= time_s


@law
@given(groups(), rates(), st.floats(0, 1e12), st.floats(1.0, 8.0))
def test_better_links_never_slow_a_message(group, r, num_bytes, factor):
    """The same for a message to the neighbour."""
    cluster, size, stride = group
    time_s = send_recv_time_s(cluster, r, num_bytes, stride, size)
    assert send_recv_time_s(rescaled(cluster, bandwidth=factor), r, num_bytes, stride, size) <= time_s * ROUNDING
    assert send_recv_time_s(cluster, r, num_bytes * factor, stride, size) * ROUNDING >= time_s


@pytest.mark.parametrize("collective", COLLECTIVES)
@law
@given(clusters(), rates(), st.floats(0, 1e12), POWERS)
def test_one_rank_sends_nothing(collective, cluster, r, num_bytes, stride):
    """A group of one takes no time at all."""
    assert collective(cluster, r, num_bytes, 1, stride) == 0.0


@law
@given(groups(), rates(), st.floats(0, 1e12))
def test_all_reduce_is_no_slower_than_its_halves(group, r, num_bytes):
    """Reduce-scatter and then all-gather is one of the ways to all-reduce."""
    cluster, size, stride = group
    halves = reduce_scatter_time_s(cluster, r, num_bytes, size, stride)
    halves = halves + all_gather_time_s(cluster, r, num_bytes, size, stride)
    assert all_reduce_time_s(cluster, r, num_bytes, size, stride) <= halves * ROUNDING


@law
@given(st.floats(1e9, 1e12), st.integers(2, 512), st.floats(0, 1e-5), st.floats(0.1, 1.0))
def test_flat_cluster_gives_the_textbook_forms(bandwidth, size, latency, fraction):
    """Large messages: (n-1)/n·B/bw; twice that to all-reduce, which is a reduce-scatter and an all-gather."""
    level = LinkLevel("flat", 512, bandwidth, latency)
    cluster = Cluster("flat", DEVICE, 512, 512, (level,))
    r = CollectiveRates(bandwidth_fraction=fraction, local_copy=0.0)
    unit = (size - 1) / size * HUGE / (bandwidth * fraction)
    assert all_reduce_time_s(cluster, r, HUGE, size, 1) == pytest.approx(2 * unit, rel=1e-4)
    for collective in (all_gather_time_s, reduce_scatter_time_s, all_to_all_time_s):
        assert collective(cluster, r, HUGE, size, 1) == pytest.approx(unit, rel=1e-4)


@law
@given(groups(), rates(), st.floats(1.0, 1e12))
def test_a_switch_that_adds_up_never_slows(group, r, num_bytes):
    """In-network reduction is one more way, never the only one."""
    cluster, size, stride = group
    plain = replace(cluster, levels=tuple(replace(x, in_network_reduction=False) for x in cluster.levels))
    with_switches = all_reduce_time_s(cluster, r, num_bytes, size, stride)
    assert with_switches <= all_reduce_time_s(plain, r, num_bytes, size, stride) * ROUNDING
