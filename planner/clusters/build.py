"""From a parsed file, already known to be sound, to the types that cost models take."""

from collections.abc import Callable, Mapping
from typing import Any

from meshwright.cost_models.cluster import UNBOUNDED, Accelerator, Cluster, LinkLevel, MemoryTier
from meshwright.planner.clusters.units import quantity

File = Mapping[str, Any]


def accelerator_from(file: File) -> Accelerator:
    """The accelerator that a file of the catalog, or a pool of a cluster file, describes."""
    return Accelerator(
        name=file["name"],
        peak_flops={precision: quantity(peak, "compute") for precision, peak in file["peak_flops"].items()},
        memory_bytes=quantity(file["memory"], "size"),
        memory_bandwidth_bytes_per_s=quantity(file["memory_bandwidth"], "bandwidth"),
        num_cores=int(_optional(file, "num_cores", "cores")),
        power_w=_optional(file, "power", "power"),
        price_usd_per_hour=_optional(file, "price", "price") or None,
        kind=file.get("kind", ""),
    )


def clusters_from(file: File, accelerator: Callable[[str], Accelerator]) -> tuple[Cluster, ...]:
    """One cluster for each pool of a cluster file.

    Args:
        file: The parsed file.
        accelerator: Looks up an accelerator that a pool names.
    """
    name, pools, sources = file["name"], file["pools"], file.get("sources", {})
    names = [name] if len(pools) == 1 else [f"{name}/{pool.get('name', i)}" for i, pool in enumerate(pools)]
    return tuple(_cluster(name, pool, sources, accelerator) for name, pool in zip(names, pools, strict=True))


def _cluster(name: str, pool: File, sources: File, find: Callable[[str], Accelerator]) -> Cluster:
    described = pool["accelerator"]
    accelerator = find(described) if isinstance(described, str) else accelerator_from(described)
    per_node = pool["devices_per_node"]
    node_power_w = _optional(pool, "node_power", "power")
    return Cluster(
        name=name,
        accelerator=accelerator,
        num_devices=pool["nodes"] * per_node,
        devices_per_node=per_node,
        levels=tuple(_level(level, per_node) for level in pool["levels"]),
        tiers=tuple(_tier(tier, per_node) for tier in pool.get("tiers", ())),
        node_power_w=max(node_power_w - per_node * accelerator.power_w, 0.0),
        host_memory_bandwidth_bytes_per_s=_optional(pool, "host_memory_bandwidth", "bandwidth"),
        numa_nodes=pool.get("numa_nodes", 1),
        numa_link_bytes_per_s=_optional(pool, "numa_link", "bandwidth"),
        cpu_adam_bytes_per_s=_optional(pool, "cpu_adam", "bandwidth"),
        sources=dict(sources),
    )


def _level(level: File, per_node: int) -> LinkLevel:
    """A link level; a shared one is divided by the devices of a node (or of its own, smaller domain)."""
    extent = UNBOUNDED if level["extent"] == "all" else level["extent"]
    sharing = min(extent, per_node) if level.get("shared") else 1
    return LinkLevel(
        name=level["name"],
        extent=extent,
        bandwidth_bytes_per_s=quantity(level["bandwidth"], "bandwidth") / sharing,
        latency_s=quantity(level["latency"], "time"),
        in_network_reduction=level.get("in_network_reduction", False),
        partial_bandwidths=_partial(level),
    )


def _partial(level: File) -> tuple[tuple[int, float], ...]:
    """Bandwidths of groups of few devices, from the smallest group on."""
    return tuple((size, quantity(text, "bandwidth")) for size, text in sorted(level.get("partial", {}).items()))


def _tier(tier: File, per_node: int) -> MemoryTier:
    """A memory tier: its capacity is a node's, and so are its rates if it is shared; `link` is a device's own."""
    sharing = per_node if tier.get("shared") else 1
    return MemoryTier(
        name=tier["name"],
        capacity_bytes=quantity(tier["capacity"], "size") / per_node,
        read_bytes_per_s=quantity(tier["read"], "bandwidth") / sharing,
        write_bytes_per_s=quantity(tier["write"], "bandwidth") / sharing,
        link_bytes_per_s=_optional(tier, "link", "bandwidth"),
        latency_s=_optional(tier, "latency", "time"),
        num_parts=tier.get("parts", 1),
        through_host=tier.get("through_host", False),
        endurance_bytes=_optional(tier, "endurance", "size") / per_node,
    )


def _optional(file: File, key: str, dimension: str) -> float:
    return quantity(file[key], dimension) if key in file else 0.0
