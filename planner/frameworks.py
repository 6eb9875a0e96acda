"""Reads framework profiles from the catalog."""

import difflib
from dataclasses import fields
from functools import lru_cache
from importlib.resources import files
from typing import Any

from meshwright.cost_models.framework import FrameworkProfile, StateBytes
from meshwright.errors import InputError

_FOLDER = files("meshwright.datasets") / "frameworks"


def list_frameworks() -> tuple[str, ...]:
    """Names of all framework profiles, sorted."""
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml")))


@lru_cache(maxsize=64)
def read_framework(name: str) -> FrameworkProfile:
    """The profile of a framework by its catalog name.

    Raises:
        InputError: There is no such profile; the message names the nearest ones.
    """
    known = list_frameworks()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or known
        raise InputError(f"unknown framework {name!r}; did you mean {', '.join(near)}?")
    title, values, sources = _merged(name)
    columns = {field.name for field in fields(FrameworkProfile)} - {"name", "title", "sources"}
    converted = {key: _converted(key, values[key]) for key in columns}
    return FrameworkProfile(name=name, title=title, sources=sources, **converted)


def _merged(name: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Values and sources of a profile over those of the profile that it extends."""
    import yaml  # noqa: PLC0415 - start-up time

    document = yaml.load((_FOLDER / f"{name}.yaml").read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if "extends" in document:
        _, values, sources = _merged(document["extends"])
    for key, entry in document["values"].items():
        values[key], sources[key] = entry["value"], entry["source"]
    return document["title"], values, sources


def _converted(key: str, value: Any) -> Any:
    if key in ("states", "fsdp_states"):
        return StateBytes(**value)
    return tuple(value) if isinstance(value, list) else value
