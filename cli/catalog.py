"""`catalog`: the models, clusters, accelerators and frameworks that Meshwright knows by name."""

from dataclasses import asdict
from json import dumps as as_json
from typing import TYPE_CHECKING, Annotated

import typer

from meshwright.cli import completion
from meshwright.cli.options import Json
from meshwright.cli.output import JsonTarget
from meshwright.errors import InputError

if TYPE_CHECKING:
    from meshwright.cost_models.framework import FrameworkProfile
    from meshwright.planner.clusters import AcceleratorEntry, ClusterEntry
    from meshwright.planner.models import ModelSummary

    Entry = ModelSummary | ClusterEntry | AcceleratorEntry | FrameworkProfile

KINDS = ("models", "clusters", "accelerators", "frameworks")


def _names(context: typer.Context, incomplete: str) -> list[str]:
    kind = context.params.get("kind")
    return [name for name in completion.names(kind) if name.startswith(incomplete)] if kind in KINDS else []


def _kinds(incomplete: str) -> list[str]:
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def catalog(
    kind: Annotated[
        str | None,
        typer.Argument(help=f"{', '.join(KINDS)}; all if left out.", autocompletion=_kinds, show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(help="One entry, with its sources.", autocompletion=_names, show_default=False),
    ] = None,
    json: Json = None,
) -> None:
    """List what is known by name, with sources."""
    from meshwright.cli.render.console import show
    from meshwright.cli.render.shelves import catalog as drawn

    target = JsonTarget.checked(json)
    if kind is not None and kind not in KINDS:
        raise InputError(f"the catalog has {', '.join(KINDS)}, but got {kind!r}")
    found = {each: _found(each, name) for each in ((kind,) if kind else KINDS)}
    target.write(as_json({each: [asdict(entry) for entry in entries] for each, entries in found.items()}, indent=2))
    if not target.is_stdout:
        show(drawn(found, in_detail=name is not None))


def _found(kind: str, name: str | None) -> "list[Entry]":
    entries = _entries(kind)
    if name is None:
        return list(entries.values())
    known = _canonical(kind, name)
    if known is None:
        from difflib import get_close_matches

        near = get_close_matches(name.lower(), entries, n=5, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"`meshwright catalog {kind}` lists them all"
        raise InputError(f"the catalog of {kind} has no {name!r}; {hint}")
    return [entries[known]]


def _entries(kind: str) -> "dict[str, Entry]":
    """All entries of one kind by name."""
    if kind == "models":
        from meshwright.planner.models import list_models

        return {model.name: model for model in list_models()}
    if kind == "frameworks":
        from meshwright.planner.frameworks import list_frameworks, read_framework

        return {name: read_framework(name) for name in list_frameworks()}
    from meshwright.planner.clusters import list_accelerators, list_clusters

    if kind == "clusters":
        return {entry.cluster.name: entry for entry in list_clusters()}
    return {entry.accelerator.name: entry for entry in list_accelerators()}


def _canonical(kind: str, name: str) -> str | None:
    """The catalog's own name for a name or alias; None if there is none."""
    if kind == "models":
        from meshwright.planner.models.catalog import find_model

        return find_model(name)
    if kind == "frameworks":
        return name if name in completion.names(kind) else None
    from meshwright.planner.clusters.catalog import find_name

    return find_name(kind, name)
