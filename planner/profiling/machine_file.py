"""The measured machine as a cluster file: what was measured says so, and what wasn't comes from the catalog."""

from collections.abc import Sequence

import yaml

from meshwright.cost_models.cluster import UNBOUNDED, Cluster
from meshwright.planner.profiling.measurement import Measurement


def machine_file(cluster: Cluster | None, name: str, measurements: Sequence[Measurement], provenance: str) -> str:
    """YAML for `--cluster`; without a cluster of the catalog only a fragment, which says what is missing.

    Args:
        cluster: The machine as the catalog knows it; None where it doesn't.
        name: Of the accelerator.
        measurements: All of them.
        provenance: On what and when they were made.
    """
    pool: dict[str, object] = {"accelerator": name, "nodes": 1}
    if cluster is not None:
        pool |= {"devices_per_node": cluster.devices_per_node, "levels": [
            {"name": level.name, "extent": "all" if level.extent >= UNBOUNDED else level.extent,
             "bandwidth": _said(level.bandwidth_bytes_per_s),
             "partial": {members: _said(bandwidth) for members, bandwidth in level.partial_bandwidths},
             "latency": f"{level.latency_s * 1e6:g} us (catalog)", "in_network_reduction": level.in_network_reduction}
            for level in cluster.levels
        ]}  # fmt: skip
    read, write = (_fastest(measurements, way) for way in ("host to device", "device to host"))
    capacity = sum(tier.capacity_bytes for tier in cluster.tiers if tier.name == "host") if cluster else 0.0
    if read and write and capacity and cluster:
        pool["tiers"] = [{
            "name": "host", "capacity": f"{capacity * cluster.devices_per_node / 1e9:g} GB (catalog)",
            "read": f"{read / 1e9:.4g} GB/s (measured)", "write": f"{write / 1e9:.4g} GB/s (measured)",
        }]  # fmt: skip
    sources = {"measured": provenance, "catalog": "The usual node of this accelerator in Meshwright's catalog"}
    document = {"name": f"measured-{name}", "pools": [pool], "sources": sources}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    missing = "" if cluster else "# A fragment: add devices_per_node, levels and the accelerator's own description.\n"
    return missing + text


def _said(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e9:g} GB/s (catalog)"


def _fastest(measurements: Sequence[Measurement], way: str) -> float:
    """Bandwidth of the largest copy, from pinned memory where there was any."""
    copies = [one for one in measurements if one.subject == way]
    copies = [one for one in copies if one.precision == "pinned"] or copies
    return max(copies, key=lambda one: one.num_bytes).bytes_per_s if copies else 0.0
