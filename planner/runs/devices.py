"""The devices of a run: which they are, how many a node has, and what they compute a precision in."""

from collections.abc import Mapping
from dataclasses import replace

from meshwright.cost_models.cluster import Cluster, MemoryTier
from meshwright.cost_models.framework import FrameworkProfile
from meshwright.cost_models.host_optimizer import ADAM_EFFICIENCY
from meshwright.errors import ClusterError
from meshwright.planner.clusters import typical_cluster
from meshwright.planner.clusters.catalog import accelerator_entry, nearest_accelerator
from meshwright.planner.runs.run import Run


def run_cluster(run: Run, profile: FrameworkProfile, precision: str) -> Cluster:
    """The cluster that the framework's published runs were on, or else the accelerator's usual one.

    Args:
        run: The row.
        profile: Its framework.
        precision: What its devices must compute; if they lack it, they compute it as the next one that they have.

    Raises:
        ClusterError: The row names no accelerator, or one that the catalog doesn't know.
    """
    if not run.accelerator:
        raise ClusterError("accelerator unknown")
    name = nearest_accelerator(run.accelerator) or run.accelerator
    num_devices = run.n_gpus or 1
    node = profile.published.on.get(run.accelerator)
    sizes = accelerator_entry(name).typical_nodes
    per_node = run.gpus_per_node or (USUAL_NODE if USUAL_NODE in sizes else max(sizes))
    cluster = typical_cluster(name, _equal_nodes(per_node, num_devices, max(sizes)), num_devices, node)
    return _computing(_with_host(cluster), precision)


USUAL_NODE = 8
"""Devices of a node where a row doesn't say and the accelerator has such nodes."""


def _with_host(cluster: Cluster) -> Cluster:
    """The cluster, with the usual host memory and processors where it has none to offload to."""
    is_known = cluster.cpu_adam_bytes_per_s or cluster.host_memory_bandwidth_bytes_per_s
    adam = cluster.cpu_adam_bytes_per_s if is_known else USUAL_ADAM_BYTES_PER_S
    return replace(cluster, tiers=cluster.tiers or (USUAL_HOST,), cpu_adam_bytes_per_s=adam)


def _equal_nodes(per_node: int, num_devices: int, largest: int) -> int:
    """Devices a node such that all nodes are equally full: 12 devices of 8-device nodes are twice 6.

    Nodes larger than any that the catalog knows are taken for several of the largest.
    """
    most = min(per_node, num_devices, largest)
    return next(size for size in range(most, 0, -1) if num_devices % size == 0)


USUAL_HOST = MemoryTier("host", capacity_bytes=128e9, read_bytes_per_s=31.5e9, write_bytes_per_s=31.5e9)
"""Host memory of nodes whose maker doesn't say: PCI Express 4.0 x16 a device. The capacity is an assumption."""
USUAL_ADAM_BYTES_PER_S = ADAM_EFFICIENCY * 409.6e9
"""What a node's processors update states at: two of eight channels of DDR4-3200 each."""
SIXTEEN_BITS = ("bf16", "fp16")
NEXT_PRECISION: Mapping[str, tuple[str, ...]] = {
    "nvfp4": ("mxfp8", "fp8", "bf16", "fp16"),
    "mxfp8": ("fp8", "bf16", "fp16"),
    "fp8": ("bf16", "fp16"),
    "bf16": ("fp16", "fp32"),
    "fp16": ("bf16", "fp32"),
    "tf32": ("fp32", "bf16"),
    "fp32": ("tf32", "bf16", "fp16"),
}
"""What a device computes a precision in that its data sheet doesn't have, the first that it has."""


def _computing(cluster: Cluster, precision: str) -> Cluster:
    """The cluster, its devices computing what they lack as they do the next precision: attention's, too."""
    peaks = dict(cluster.accelerator.peak_flops)
    for wanted in {precision, *SIXTEEN_BITS} - peaks.keys():
        instead = next((other for other in NEXT_PRECISION[wanted] if other in cluster.accelerator.peak_flops), wanted)
        peaks[wanted] = cluster.accelerator.peak_flops_at(instead)
    return replace(cluster, accelerator=replace(cluster.accelerator, peak_flops=peaks))
