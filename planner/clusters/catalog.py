"""The catalog of accelerators and clusters: one YAML file each, found by name or alias."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from meshwright.cost_models.cluster import Accelerator, Cluster
from meshwright.errors import ClusterError
from meshwright.planner.clusters.build import accelerator_from, clusters_from

_ALIASES = "aliases"


@dataclass(frozen=True, slots=True)
class AcceleratorEntry:
    """An accelerator of the catalog.

    Attributes:
        title: Its maker's name for it.
        accelerator: What one device can do.
        typical_nodes: Usual cluster by devices in a node, such as `{8: "dgx-h100"}`.
        sources: Title of each public document that the values come from.
    """

    title: str
    accelerator: Accelerator
    typical_nodes: Mapping[int, str]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """A cluster of the catalog; its sources are in `cluster.sources`."""

    title: str
    cluster: Cluster


def accelerator(name: str) -> Accelerator:
    """The catalog's accelerator of that name or alias, such as `h100-80gb` or `H100`.

    Raises:
        ClusterError: There is none; the message names the nearest.
    """
    return accelerator_entry(name).accelerator


def accelerator_entry(name: str) -> AcceleratorEntry:
    """The accelerator with all that its file says.

    Raises:
        ClusterError: There is none of that name; the message names the nearest.
    """
    found = find_name("accelerators", name)
    if found is None:
        raise ClusterError(unknown_name(name, ("accelerators",), "accelerator"))
    return _accelerator_entry(found)


def list_accelerators() -> tuple[AcceleratorEntry, ...]:
    """All accelerators of the catalog, by name."""
    return tuple(_accelerator_entry(name) for name in _names("accelerators").values())


def list_clusters() -> tuple[ClusterEntry, ...]:
    """All clusters of the catalog, by name, each at the size of its file."""
    return tuple(
        ClusterEntry(_read("clusters", name)["title"], catalog_cluster(name)) for name in _names("clusters").values()
    )


@cache
def catalog_cluster(name: str) -> Cluster:
    """The cluster of `datasets/clusters/<name>.yaml`."""
    (cluster,) = clusters_from(_read("clusters", name), accelerator)
    return cluster


def find_name(folder: str, name: str) -> str | None:
    """The file that a name or alias means in a folder of the catalog, however it is written; None if none."""
    key = _key(name)
    return _names(folder).get(key) or _aliases(folder).get(key)


def nearest_accelerator(name: str) -> str | None:
    """The catalog's accelerator that a free-form name most likely means; None if none is near.

    Makers and counts say nothing more (`8x NVIDIA Tesla V100-SXM2-32G`); what else follows a known name is left
    out from the end: memory that the catalog's part hasn't (`h100-94gb`), the size of a pod (`v5p-128`), the letters of
    a variant (`rtx-3090-ti`, `910b4`).
    """
    counted = re.sub(r"\b\d+\s*x\s*(?=[a-z])|\s*x\s*\d+\b", "", name.lower())
    words = [word for word in re.findall(r"[a-z0-9]+", counted) if word not in _SAYS_NOTHING]
    words = [re.sub(r"^(\d+)gi?b?$", r"\1gb", word) for word in words]
    shorter = ["-".join(words[:count]) for count in range(len(words), 0, -1)]
    variants = [re.sub(r"(?<=\d)[a-z]{1,2}$|(?<=\d[a-z])\d$", "", text) for text in shorter]
    return next((found for text in (name, *shorter, *variants) if (found := find_name("accelerators", text))), None)


_SAYS_NOTHING = {"nvidia", "tesla", "amd", "instinct", "google", "huawei", "intel", "habana", "aws", "gpu", "npu"}


def unknown_name(name: str, folders: tuple[str, ...], noun: str) -> str:
    """What to say when no file has that name."""
    from difflib import get_close_matches  # noqa: PLC0415 - only errors need it

    known = {key: target for folder in folders for key, target in (_aliases(folder) | _names(folder)).items()}
    near = dict.fromkeys(known[key] for key in get_close_matches(_key(name), known, n=5, cutoff=0.5))
    hint = f"did you mean {' or '.join(near)}?" if near else "no name is near it."
    lists = " and ".join(f"`meshwright catalog {folder}`" for folder in folders)
    return f"no {noun} is called {name!r}: {hint} {lists} list{'s' if len(folders) == 1 else ''} them all"


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def _names(folder: str) -> dict[str, str]:
    return {_key(name): name for name in sorted(_stems(folder)) if name != _ALIASES}


def _stems(folder: str) -> Iterator[str]:
    for file in files("meshwright.datasets").joinpath(folder).iterdir():
        if file.name.endswith(".yaml"):
            yield file.name.removesuffix(".yaml")


@cache
def _aliases(folder: str) -> dict[str, str]:
    return {_key(alias): name for name, aliases in _read(folder, _ALIASES).items() for alias in aliases}


@cache
def _accelerator_entry(name: str) -> AcceleratorEntry:
    file = _read("accelerators", name)
    return AcceleratorEntry(file["title"], accelerator_from(file), file["typical_nodes"], file["sources"])


def _read(folder: str, name: str) -> Any:
    import yaml  # noqa: PLC0415 - 20 ms that importing meshwright needn't cost

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = files("meshwright.datasets").joinpath(folder, f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
