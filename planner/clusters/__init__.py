"""Reads a cluster: catalog name, accelerator name, or YAML file, into a Cluster."""

from meshwright.planner.clusters.catalog import (
    AcceleratorEntry,
    ClusterEntry,
    accelerator,
    list_accelerators,
    list_clusters,
)
from meshwright.planner.clusters.read import read_cluster
from meshwright.planner.clusters.typical import typical_cluster

__all__ = [
    "AcceleratorEntry",
    "ClusterEntry",
    "accelerator",
    "list_accelerators",
    "list_clusters",
    "read_cluster",
    "typical_cluster",
]
