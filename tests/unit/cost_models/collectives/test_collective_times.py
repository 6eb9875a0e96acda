"""Collectives: the closed forms that the model must reduce to."""

from dataclasses import replace

import numpy as np
import pytest

from meshwright.cost_models.cluster import Accelerator, Cluster, LinkLevel
from meshwright.cost_models.collectives import (
    CollectiveRates,
    all_gather_time_s,
    all_reduce_time_s,
    all_to_all_time_s,
    reduce_scatter_time_s,
    send_recv_time_s,
)

DEVICE = Accelerator("device", {"bf16": 1e15}, 80e9, 2e12)
NVLINK, NETWORK = LinkLevel("nvlink", 8, 400e9, 1e-6), LinkLevel("network", 64, 50e9, 3e-6)
NODES = Cluster("nodes", DEVICE, 64, 8, (NVLINK, NETWORK))
IDEAL = CollectiveRates(
    bandwidth_fraction=1.0,
    in_network_fraction=1.0,
    local_copy=0.0,
    launch_s=0.0,
    bulk_launch_s=0.0,
    hop_s=0.0,
)
HUGE = 1e12


def test_strided_group_has_one_port_a_node():
    """Eight groups side by side leave each member its own port: (n-1)/n of the bytes over 50 GB/s."""
    time_s = all_gather_time_s(NODES, IDEAL, HUGE, 8, 8)
    assert time_s == pytest.approx(HUGE * 7 / 8 / 50e9, rel=1e-3)


def test_members_in_a_node_add_up_their_ports():
    """A ring over whole nodes leaves each by eight ports of 50 GB/s, as fast as NVLink here."""
    time_s = all_gather_time_s(NODES, IDEAL, HUGE, 64, 1)
    assert time_s == pytest.approx(HUGE * 63 / 64 / 400e9, rel=1e-3)


def test_all_reduce_over_two_nodes_sends_the_bytes_once():
    """Two nodes are root and leaf by turns: a tree sends B over the network, a ring nearly 2 B."""
    slow = replace(NODES, num_devices=16, levels=(NVLINK, replace(NETWORK, bandwidth_bytes_per_s=10e9)))
    assert all_reduce_time_s(slow, IDEAL, HUGE, 16, 1) == pytest.approx(HUGE / 80e9, rel=1e-3)


def test_switches_halve_an_all_reduce():
    """(1 + 1/n) of the bytes instead of 2(n-1)/n."""
    sharp = replace(NODES, levels=(replace(NVLINK, in_network_reduction=True), NETWORK))
    assert all_reduce_time_s(sharp, IDEAL, HUGE, 8, 1) == pytest.approx(HUGE * 9 / 8 / 400e9, rel=1e-3)
    assert all_gather_time_s(sharp, IDEAL, HUGE, 8, 1) == all_gather_time_s(NODES, IDEAL, HUGE, 8, 1)


def test_few_devices_of_a_mesh_get_the_links_between_them():
    """Of eight devices that share seven links each, two have one between them, four have three, and eight have all."""
    mesh = replace(NVLINK, bandwidth_bytes_per_s=7e9, partial_bandwidths=((2, 1e9), (4, 3e9)))
    node = replace(NODES, num_devices=8, levels=(mesh,))
    times = all_gather_time_s(node, IDEAL, HUGE, np.array([2, 4, 8]), 1)
    assert times == pytest.approx([HUGE / 2 / 1e9, HUGE * 3 / 4 / 3e9, HUGE * 7 / 8 / 7e9], rel=1e-3)
    assert send_recv_time_s(node, IDEAL, HUGE, 4) == pytest.approx(HUGE / 1e9, rel=1e-3)


def test_all_to_all_shares_both_levels():
    """7/64 of the bytes stay in the node, 56/64 leave by the device's own port, at the same time."""
    time_s = all_to_all_time_s(NODES, IDEAL, HUGE, 64, 1)
    assert time_s == pytest.approx(max(HUGE * 7 / 64 / 400e9, HUGE * 56 / 64 / 50e9), rel=1e-3)


def test_small_messages_cost_hops():
    """A ring of eight has seven hops one after another; a tree over eight nodes has six, each dearer."""
    assert all_gather_time_s(NODES, IDEAL, 1.0, 8, 1) == pytest.approx(7e-6, rel=1e-3)
    assert all_reduce_time_s(NODES, IDEAL, 1.0, 8, 8) == pytest.approx(6 * 3e-6 * 5.0 / 2.7, rel=1e-3)


def test_neighbours_use_the_slowest_link_between_them():
    """Within a node NVLink; eight apart, or four apart in a group that spans two nodes, the network."""
    assert send_recv_time_s(NODES, IDEAL, HUGE, 1) == pytest.approx(HUGE / 400e9, rel=1e-3)
    assert send_recv_time_s(NODES, IDEAL, HUGE, 8) == pytest.approx(HUGE / 50e9, rel=1e-3)
    assert send_recv_time_s(NODES, IDEAL, HUGE, 4) == pytest.approx(HUGE / 400e9, rel=1e-3)
    assert send_recv_time_s(NODES, IDEAL, HUGE, 4, 4) == pytest.approx(HUGE / 50e9, rel=1e-3)


def test_fractions_apply_by_level_name():
    """A level without a fraction of its own has the general one."""
    rates = replace(IDEAL, bandwidth_fraction=0.5, bandwidth_fractions={"network": 0.25})
    assert all_gather_time_s(NODES, rates, HUGE, 8, 1) == pytest.approx(HUGE * 7 / 8 / 200e9, rel=1e-3)
    assert all_gather_time_s(NODES, rates, HUGE, 8, 8) == pytest.approx(HUGE * 7 / 8 / 12.5e9, rel=1e-3)


def test_a_network_measured_elsewhere_has_its_fraction_until_a_calibration_says_more():
    """Omni-Path: NCCL reaches 84.7 of a node's 400 Gb/s; a calibration's own figure wins."""
    rates = replace(IDEAL, bandwidth_fraction=0.8)
    assert rates.fraction_of("omni-path") == 0.21
    assert rates.fraction_of("infiniband") == 0.8
    assert replace(rates, bandwidth_fractions={"omni-path": 0.9}).fraction_of("omni-path") == 0.9


@pytest.mark.parametrize("collective", [all_gather_time_s, all_reduce_time_s, all_to_all_time_s, reduce_scatter_time_s])
def test_every_row_equals_its_own_call(collective):
    """A column of groups prices each as if it were alone, and one rank for nothing."""
    size, stride = np.array([1, 2, 8, 16, 64, 8]), np.array([1, 1, 1, 1, 1, 8])
    num_bytes = np.array([1e3, 1e6, 1e9, 1e7, 1e8, 0.0])
    table = collective(NODES, CollectiveRates(), num_bytes, size, stride)
    rows = zip(num_bytes, size, stride, strict=True)
    assert table.tolist() == [float(collective(NODES, CollectiveRates(), *row)) for row in rows]
    assert table[0] == 0.0
    assert (table[1:] > 0).all()
