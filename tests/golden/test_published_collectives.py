"""Collectives against published nccl-tests figures; of them, only InfiniBand's fraction is a parameter."""

import pytest

from meshwright.cost_models.cluster import Accelerator, Cluster, LinkLevel
from meshwright.cost_models.collectives import all_gather_time_s, all_reduce_time_s
from meshwright.planner.calibrations import read_calibration
from meshwright.planner.clusters import typical_cluster


def hgx(kind, nodes):
    """HGX nodes: H100 with an NDR port a device, A100 with 4 HDR ports a node."""
    hopper = kind == "nvidia-hopper"
    device = Accelerator("device", {"bf16": 1e15}, 80e9, 3e12, kind=kind)
    nvlink = LinkLevel("nvlink", 8, 450e9 if hopper else 300e9, 0.6e-6, in_network_reduction=hopper)
    network = LinkLevel("infiniband", 8 * nodes, 50e9 if hopper else 12.5e9, 2.7e-6)
    return Cluster("hgx", device, 8 * nodes, 8, (nvlink, network))


def all_reduce(cluster, num_bytes):
    """Time in seconds and bus bandwidth in GB/s, as nccl-tests define it, over the whole cluster."""
    n = cluster.num_devices
    time_s = all_reduce_time_s(cluster, read_calibration("kernels").collective_rates(cluster), num_bytes, n, 1)
    return float(time_s), 2 * (n - 1) / n * num_bytes / float(time_s) / 1e9


def test_one_h100_node_all_reduces_in_the_switch():
    """About 480 GB/s (NVIDIA/nccl-tests issue 212, a maintainer), 476 (issue 290)."""
    assert all_reduce(hgx("nvidia-hopper", 1), 8e9)[1] == pytest.approx(478, rel=0.1)


def test_one_h100_node_gathers_at_ring_speed():
    """NCCL gets 370 GB/s of NVLink's 450 (NVIDIA/nccl-tests issue 212, a maintainer)."""
    cluster = hgx("nvidia-hopper", 1)
    time_s = all_gather_time_s(cluster, read_calibration("kernels").collective_rates(cluster), 8e9, 8, 1)
    assert 7 / 8 * 8e9 / time_s / 1e9 == pytest.approx(370, rel=0.1)


def test_two_h100_nodes_beat_their_ports():
    """About 470 GB/s over 8 ports of 50 (NVIDIA/nccl issue 2409, citing nccl-tests issue 309)."""
    assert all_reduce(hgx("nvidia-hopper", 2), 8e9)[1] == pytest.approx(470, rel=0.1)


def test_three_a100_nodes_fill_their_ports():
    """96 GB/s of 100 at 128 MB (NVIDIA/nccl-tests issue 119)."""
    assert all_reduce(hgx("nvidia-ampere", 3), 128e6)[1] == pytest.approx(96, rel=0.15)


@pytest.mark.parametrize(
    ("kind", "nodes", "microseconds"),
    [
        ("nvidia-hopper", 16, 62),  # NVIDIA/nccl issue 1469
        ("nvidia-ampere", 32, 63),  # NVIDIA/nccl issue 652
    ],
)
def test_smallest_all_reduce_over_many_nodes(kind, nodes, microseconds):
    """The latency of trees over 128 and 256 devices."""
    assert all_reduce(hgx(kind, nodes), 64)[0] * 1e6 == pytest.approx(microseconds, rel=0.2)


@pytest.mark.parametrize(
    ("accelerator", "bus_gb_per_s", "within"),
    [
        ("a100-80gb", {2: 166, 4: 186, 8: 203}, 0.1),
        ("v100-32gb", {2: 22.4, 4: 84, 8: 129}, 0.3),  # no switch: two devices have one link between them
    ],
)
def test_groups_within_a_node(accelerator, bus_gb_per_s, within):
    """All-reduce of 64 MiB over part of a node (vTrain's repository, trace/: nccl-tests on nodes of 8)."""
    cluster = typical_cluster(accelerator, 8, 8)
    rates = read_calibration("kernels").collective_rates(cluster)
    for size, published in bus_gb_per_s.items():
        time_s = float(all_reduce_time_s(cluster, rates, 2**26, size, 1))
        assert 2 * (size - 1) / size * 2**26 / time_s / 1e9 == pytest.approx(published, rel=within)
