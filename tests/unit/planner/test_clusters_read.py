"""Clusters from names and objects, at the size asked for."""

import subprocess
import sys

import pytest

from meshwright.cost_models.cluster import Cluster
from meshwright.errors import ClusterError
from meshwright.planner.clusters import (
    accelerator,
    list_accelerators,
    list_clusters,
    read_cluster,
    typical_cluster,
)
from meshwright.planner.clusters.catalog import nearest_accelerator


def the(name: str, num_devices: int | None = None, num_nodes: int | None = None) -> Cluster:
    (cluster,) = read_cluster(name, num_devices, num_nodes)
    return cluster


def test_a_node_type_is_one_node_unless_a_size_is_asked_for() -> None:
    assert (the("dgx-h100").num_devices, the("dgx-h100").num_nodes) == (8, 1)
    assert the("dgx-h100", num_devices=1024).num_nodes == 128
    assert the("dgx-h100", num_nodes=4).num_devices == 32
    assert the("dgx-h100", num_devices=32, num_nodes=4).num_devices == 32


def test_a_machine_has_its_own_size() -> None:
    assert the("frontier").num_devices == 9856 * 8
    assert the("frontier", num_devices=1024).num_nodes == 128


def test_part_of_a_node_is_a_node_of_fewer_devices() -> None:
    cluster = the("dgx-h100", num_devices=2)
    assert (cluster.num_devices, cluster.devices_per_node, cluster.num_nodes) == (2, 2, 1)


@pytest.mark.parametrize("name", ["DGX_H100", "dgx h100", "hgx-h100", "Dgx-H100"])
def test_names_are_tolerant(name: str) -> None:
    assert the(name) == the("dgx-h100")


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("h100", "h100-80gb"),
        ("a100", "a100-80gb"),
        ("rtx4090", "rtx-4090"),
        ("RTX_4090", "rtx-4090"),
        ("a6000", "rtx-a6000"),
        ("NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("tpu_v5e", "tpu-v5e"),
    ],
)
def test_accelerators_have_aliases(name: str, canonical: str) -> None:
    assert accelerator(name).name == canonical


def test_an_accelerators_name_is_a_cluster_of_single_device_nodes() -> None:
    cluster = the("rtx-4090", num_devices=4)
    assert (cluster.name, cluster.devices_per_node, cluster.num_nodes) == ("rtx-4090", 1, 4)
    assert [level.name for level in cluster.levels] == ["ethernet"]


def test_a_cluster_passes_through_and_is_resized() -> None:
    cluster = the("dgx-a100")
    assert read_cluster(cluster) == (cluster,)
    assert read_cluster(cluster, num_devices=64)[0].num_nodes == 8


def test_an_unknown_name_is_answered_with_the_nearest_and_a_way_on() -> None:
    with pytest.raises(ClusterError, match=r"'dgx-h10'.*dgx-h100.*`meshwright catalog clusters`"):
        read_cluster("dgx-h10")
    with pytest.raises(ClusterError, match=r"no accelerator is called 'h10'.*h100-80gb"):
        accelerator("h10")


def test_gpus_that_do_not_make_whole_nodes_are_answered_with_those_that_do() -> None:
    with pytest.raises(ClusterError, match=r"12 GPUs don't make whole nodes.*ask for 8 or 16"):
        read_cluster("dgx-h100", num_devices=12)


@pytest.mark.parametrize("size", [{"num_devices": 0}, {"num_devices": -8}, {"num_nodes": 0}, {"num_nodes": -1}])
def test_a_cluster_has_at_least_one_device(size: dict[str, int]) -> None:
    with pytest.raises(ClusterError, match="at least 1"):
        read_cluster("dgx-h100", **size)


def test_devices_and_nodes_must_not_contradict_each_other() -> None:
    with pytest.raises(ClusterError, match=r"4 nodes of dgx-h100 .* have 32 GPUs, but 64 were asked for"):
        read_cluster("dgx-h100", num_devices=64, num_nodes=4)


def test_a_cluster_can_not_outgrow_its_last_link_level() -> None:
    rack = the("gb200-nvl72")
    alone = Cluster("rack", rack.accelerator, 72, 4, rack.levels[:1])
    with pytest.raises(ClusterError, match="its last link level, 'nvlink', spans 72"):
        read_cluster(alone, num_devices=144)


def test_a_shared_link_is_divided_by_the_devices_of_a_node() -> None:
    """A p4d's 400 Gb/s are 6.25 GB/s for each of 8 GPUs; a TPU v5e host's 200 Gb/s serve its 8 chips."""
    assert the("p4d").levels[-1].bandwidth_bytes_per_s == 6.25e9
    assert the("tpu-v5e-pod").levels[-1].bandwidth_bytes_per_s == 3.125e9


def test_host_memory_is_a_devices_share_of_its_node() -> None:
    """DGX A100: 2 TB for 8 GPUs, and 2 GPUs behind one PCIe 4.0 x16 uplink of 31.5 GB/s."""
    host = the("dgx-a100").tiers[0]
    assert (host.name, host.capacity_bytes, host.read_bytes_per_s) == ("host", 250e9, 15.75e9)


def test_node_power_leaves_out_the_accelerators() -> None:
    """DGX H100: 10.2 kW, of which 8 x 700 W are the GPUs'."""
    assert the("dgx-h100").node_power_w == pytest.approx(4600.0)


@pytest.mark.parametrize(
    ("name", "per_node", "num_devices", "cluster"),
    [
        ("h100-80gb", 8, 1024, "dgx-h100"),
        ("a100-40gb", 8, 64, "dgx-a100-40gb"),
        ("v100-32gb", 4, 8, "jean-zay-v100"),
        ("v100-32gb", 8, 16, "dgx-1v"),
        ("gb200", 4, 256, "gb200-nvl72"),
        ("a10g", 4, 4, "g5.12xlarge"),
        ("tpu-v5e", 8, 512, "tpu-v5e-pod"),
        ("a800-80gb", 8, 5, "hgx-a800"),
    ],
)
def test_an_accelerator_has_a_typical_cluster(name: str, per_node: int, num_devices: int, cluster: str) -> None:
    typical = typical_cluster(name, per_node, num_devices)
    assert (typical.name, typical.num_devices) == (cluster, num_devices)


def test_a_smaller_node_keeps_the_links_of_the_usual_one() -> None:
    """2 nodes of 2 A100: NVLink within the pair, a 200 Gb/s adapter a GPU between them."""
    cluster = typical_cluster("a100-80gb", 2, 4)
    assert [(level.name, min(level.extent, 99)) for level in cluster.levels] == [
        ("nvlink", 2),
        ("infiniband", 99),
    ]
    assert cluster.levels[-1].bandwidth_bytes_per_s == 25e9
    assert cluster.node_power_w == pytest.approx(3300.0 / 4)


def test_nodes_within_a_rack_wide_link_may_have_any_size() -> None:
    assert typical_cluster("gb200", 8, 64).levels == the("gb200-nvl72").levels


def test_no_node_is_invented() -> None:
    with pytest.raises(ClusterError, match="no usual node of h100-80gb has 16 devices; the largest has 8"):
        typical_cluster("h100-80gb", 16, 32)
    with pytest.raises(ClusterError, match="at least 1 device"):
        typical_cluster("h100-80gb", 0, 8)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("8x NVIDIA Tesla V100-SXM2-32G", "v100-32gb"),
        ("AMD Instinct MI300X (192GB)", "mi300x"),
        ("h100-94gb", "h100-80gb"),
        ("TPU v5p-128", "tpu-v5p"),
        ("rtx4090d", "rtx-4090"),
        ("ascend-910b4", "ascend-910b"),
        ("a100-pcie", "a100-pcie-80gb"),
        ("a1000", None),
        ("metax-c500", None),
        ("", None),
    ],
)
def test_free_form_names_find_their_accelerator_or_none(written: str, meant: str | None) -> None:
    """Makers, counts, memory and variants are looked through; another chip's digits are not."""
    assert nearest_accelerator(written) == meant


def test_an_accelerator_may_borrow_the_node_of_its_like() -> None:
    borrowed = typical_cluster("a10", 8, 16)
    assert borrowed.accelerator.name == "a10"
    assert borrowed.levels == typical_cluster("a30", 8, 16).levels


def test_the_catalog_lists_itself_by_name() -> None:
    for names in (
        [a.accelerator.name for a in list_accelerators()],
        [c.cluster.name for c in list_clusters()],
    ):
        assert names == sorted(names)
        assert len(names) > 40


def test_a_catalog_name_needs_no_heavy_library() -> None:
    """Neither pydantic (0.1 s) nor NetworkX (0.2 s) is imported to read a name of the catalog."""
    code = (
        "import sys; from meshwright.planner.clusters import read_cluster; read_cluster('dgx-h100', 1024);"
        "sys.exit(any(name in sys.modules for name in ('pydantic', 'networkx', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
