"""Fits the rates of collectives by level and by make of accelerator."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import kernel_tables
import numpy as np
import pandas as pd
from robust_fit import Parameters, fit

from meshwright.cost_models import collectives
from meshwright.cost_models.calibration import Residual
from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Accelerator, Cluster, LinkLevel
from meshwright.cost_models.collectives import CollectiveRates


@dataclass(frozen=True, slots=True)
class Fabric:
    """One-node systems whose collectives are fitted together: link bandwidth by the tables' name."""

    level: str
    latency_s: float
    bandwidth_gbytes_per_s: Mapping[str, float]
    in_network: bool = False


NVLINK_S, PCIE_S, NETWORK_S = 0.6e-6, 1.0e-6, 2.7e-6
"""Latency of a hop in NCCL's LL protocol over NVLink, PCIe and the network (`src/graph/tuning.cc`)."""

FABRICS = {
    "nvidia-ampere": Fabric("nvlink", NVLINK_S, {"a100_sxm": 300}),
    "nvidia-hopper": Fabric("nvlink", NVLINK_S, {"h100_sxm": 450, "h200_sxm": 450}, in_network=True),
    "nvidia-blackwell": Fabric(
        "nvlink", NVLINK_S, {"b200_sxm": 900, "b300_sxm": 900, "gb200": 900, "gb300": 900}, in_network=True
    ),
}
PCIE_FABRICS = {"nvidia-blackwell": ("rtx_pro_6000_server", 63.0)}
"""The L40S system of the tables falls to 1.5 GB/s over 8 devices: its paths don't form one level."""
V100_PCIE_GBYTES_PER_S, V100_ETHERNET_GBYTES_PER_S = 15.75, 1.25
INFINIBAND_FRACTION = 47 / 50
"""NCCL's maintainers: "for NDR @ 400Gbps you should see 46-48GB/s per NIC" (NVIDIA/nccl-tests issue 290)."""


def node(level: LinkLevel, *outer: LinkLevel) -> Cluster:
    """A cluster with these links; its devices' rates don't matter to collectives."""
    device = Accelerator("any", {"bf16": 1.0}, 1.0, 1.0)
    return Cluster("node", device, 64, level.extent, (level, *outer))


def collective_times(clusters: Mapping[str, Cluster], rates: CollectiveRates, rows: pd.DataFrame) -> FloatColumn:
    """Predictions of rows of several systems and operations."""
    time_s = np.empty(len(rows))
    for (system, operation), part in rows.groupby(["system", "operation"]):
        of = rows.index.get_indexer(part.index)
        size = part["size"].to_numpy()
        payload = part.num_bytes.to_numpy()
        cluster = clusters[system]
        if operation == "send_recv":
            time_s[of] = collectives.send_recv_time_s(cluster, rates, payload, 1, size)
        else:
            run = getattr(collectives, f"{operation}_time_s")
            time_s[of] = run(cluster, rates, payload, size, 1)
    return time_s


def fit_nvlink(tables: Path, key: str, fabric: Fabric) -> tuple[CollectiveRates, list[Residual]]:
    """Fits one node's NVLink collectives of 8 KiB and more."""
    systems = fabric.bandwidth_gbytes_per_s
    parts = [kernel_tables.nccl_rows(tables, system).assign(system=system) for system in systems]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[rows.num_bytes >= 2**13].reset_index(drop=True)
    clusters = {
        system: node(LinkLevel(fabric.level, 8, gbytes * 1e9, fabric.latency_s, fabric.in_network))
        for system, gbytes in systems.items()
    }

    def predict(p: Parameters, rows: pd.DataFrame) -> FloatColumn:
        return collective_times(clusters, CollectiveRates(**p), rows)

    start = {
        "bandwidth_fraction": (0.2, 0.8, 1.0),
        "low_latency_fraction": (0.05, 0.45, 0.9),
        "local_copy": (0.001, 0.3, 2.0),
        "launch_s": (1e-6, 6e-6, 20e-6),
        "bulk_launch_s": (1e-7, 10e-6, 60e-6),
        "hop_s": (0.01e-6, 0.4e-6, 5e-6),
    }
    if fabric.in_network:
        start["in_network_fraction"] = (0.45, 0.6, 1.0)
    rows["megabytes"] = np.round(np.log2(rows.num_bytes))
    rows["weight"] = (rows.num_bytes / 2**20) ** 0.25
    found = fit("collectives nvlink", key, rows, ["size", "megabytes"], predict, start)
    return CollectiveRates(**found.parameters), [found.residual]


def fit_level(
    subject: str, key: str, rows: pd.DataFrame, clusters: Mapping[str, Cluster], level: str
) -> tuple[float, Residual]:
    """Fits the fraction of one level's bandwidth on messages of 4 MiB and more, all else at its default."""
    rows = rows[rows.num_bytes >= 2**22].reset_index(drop=True)

    def predict(p: Parameters, rows: pd.DataFrame) -> FloatColumn:
        return collective_times(clusters, CollectiveRates(bandwidth_fractions={level: p["fraction"]}), rows)

    rows["megabytes"] = np.round(np.log2(rows.num_bytes))
    found = fit(subject, key, rows, ["size", "megabytes"], predict, {"fraction": (0.02, 0.4, 1.0)})
    return found.parameters["fraction"], found.residual


def fit_pcie(tables: Path) -> tuple[dict[str, float], list[Residual]]:
    """Fraction of PCIe by kind, on nodes without peer-to-peer links."""
    fractions, residuals = {}, []
    for key, (system, gbytes) in PCIE_FABRICS.items():
        rows = kernel_tables.nccl_rows(tables, system).assign(system=system)
        clusters = {system: node(LinkLevel("pcie", 8, gbytes * 1e9, PCIE_S))}
        fractions[key], found = fit_level(f"collectives pcie ({system})", key, rows, clusters, "pcie")
        residuals.append(found)
    rows = kernel_tables.v100_collective_rows(tables)
    rows = rows[rows["size"] == rows.per_node].assign(system="v100")
    clusters = {"v100": node(LinkLevel("pcie", 4, V100_PCIE_GBYTES_PER_S * 1e9, PCIE_S))}
    fractions["nvidia-volta"], found = fit_level("collectives pcie", "nvidia-volta", rows, clusters, "pcie")
    return fractions, [*residuals, found]


def fit_ethernet(tables: Path, pcie: float) -> tuple[float, list[Residual]]:
    """Fraction of 10-gigabit Ethernet that sockets reach between V100 nodes, whose devices share a port."""
    rows = kernel_tables.v100_collective_rows(tables)
    rows = rows[rows["size"] > rows.per_node]
    rows = rows.assign(system="v100x" + rows.per_node.astype(str))
    reached = LinkLevel("pcie", 4, V100_PCIE_GBYTES_PER_S * 1e9 * pcie / 0.8, PCIE_S)
    clusters = {
        f"v100x{per_node}": node(
            replace(reached, extent=per_node),
            LinkLevel("ethernet", 64, V100_ETHERNET_GBYTES_PER_S * 1e9 / per_node, 30e-6),
        )
        for per_node in (1, 2, 4)
    }
    fraction, found = fit_level("collectives ethernet", "nvidia-volta", rows, clusters, "ethernet")
    return fraction, [found]


def fit_collectives(tables: Path) -> tuple[dict[str, CollectiveRates], list[Residual]]:
    """Rates by kind, and their medians as the default."""
    rates, residuals = {}, []
    pcie, found = fit_pcie(tables)
    residuals += found
    ethernet, found = fit_ethernet(tables, pcie["nvidia-volta"])
    residuals += found
    for key, fabric in FABRICS.items():
        rates[key], found = fit_nvlink(tables, key, fabric)
        residuals += found
    default = CollectiveRates(**median_parameters([*rates.values()]))
    rates |= {key: default for key in ("default", *pcie) if key not in rates}
    typical_pcie = float(np.median(list(pcie.values())))
    return {
        key: replace(
            r,
            bandwidth_fractions={
                "infiniband": INFINIBAND_FRACTION,
                "ethernet": ethernet,
                "pcie": pcie.get(key, typical_pcie),
            },
        )
        for key, r in rates.items()
    }, residuals


def median_parameters(rates: Sequence[CollectiveRates]) -> Parameters:
    """Field by field, without the mappings."""
    rows = [asdict(r) for r in rates]
    return {name: float(np.median([row[name] for row in rows])) for name, x in rows[0].items() if isinstance(x, float)}
