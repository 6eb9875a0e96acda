"""The usual node of an accelerator: prices runs that only name the device, and clusters of single devices."""

from dataclasses import replace

from meshwright.cost_models.cluster import Cluster, LinkLevel
from meshwright.errors import ClusterError
from meshwright.planner.clusters.catalog import accelerator_entry, catalog_cluster


def typical_cluster(
    accelerator_name: str, devices_per_node: int, num_devices: int, node_name: str | None = None
) -> Cluster:
    """The cluster that someone with so many of these devices in a node most likely has.

    Which node is usual is data: `typical_nodes` of the accelerator's file, which may be another accelerator's node
    that its like stands in. Where none has exactly that many devices, the next larger one lends its links; a run on
    fewer devices than a node has uses part of one.

    Args:
        accelerator_name: A name or alias of the catalog.
        devices_per_node: Devices that a run used in each node.
        num_devices: Devices in all.
        node_name: A cluster of the catalog, where another node than the usual one is known.

    Raises:
        ClusterError: The accelerator is unknown, no usual node has so many devices, or they don't make whole
            nodes.
    """
    entry = accelerator_entry(accelerator_name)
    if devices_per_node < 1:
        raise ClusterError(f"a node needs at least 1 device, but got {devices_per_node}")
    fitting = [size for size in sorted(entry.typical_nodes) if size >= devices_per_node]
    node = catalog_cluster(node_name or entry.typical_nodes[fitting[0] if fitting else max(entry.typical_nodes)])
    node = node if node_name else replace(node, accelerator=entry.accelerator)
    return _repacked(node, devices_per_node).resized(num_devices)


def single_device_nodes(accelerator_name: str) -> Cluster:
    """Nodes of one device each, joined by the network of the accelerator's usual node."""
    entry = accelerator_entry(accelerator_name)
    cluster = typical_cluster(accelerator_name, 1, 1)
    return replace(cluster, name=entry.accelerator.name)


def _repacked(cluster: Cluster, per_node: int) -> Cluster:
    """The same devices and network with another number of devices in a node; per-device rates stay."""
    before = cluster.devices_per_node
    if per_node == before:
        return cluster
    inside = [level for level in cluster.levels if level.extent <= before]
    if per_node > before and inside:
        raise ClusterError(
            f"no usual node of {cluster.accelerator.name} has {per_node} devices; the largest has {before};"
            " describe yours in a cluster file"
        )
    levels = tuple(_shrunk(level, per_node) if level in inside else level for level in cluster.levels)
    return replace(
        cluster,
        devices_per_node=per_node,
        num_devices=per_node,
        levels=tuple(level for level in levels if level.extent > 1),
        node_power_w=cluster.node_power_w * per_node / before,
        host_memory_bandwidth_bytes_per_s=cluster.host_memory_bandwidth_bytes_per_s * per_node / before,
        numa_link_bytes_per_s=cluster.numa_link_bytes_per_s * per_node / before,
        cpu_adam_bytes_per_s=cluster.cpu_adam_bytes_per_s * per_node / before,
    )


def _shrunk(level: LinkLevel, per_node: int) -> LinkLevel:
    return replace(level, extent=min(level.extent, per_node))
