"""The catalog of models: one config.json each, found by name or alias."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from meshwright.cost_models.architecture import Architecture
from meshwright.cost_models.parameters import active_parameters, total_parameters
from meshwright.planner.models.huggingface import architecture_from

ABOUT = "_meshwright"
"""The key of a catalog file that holds what a config.json doesn't: name, aliases, sources, published size."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A model of the catalog.

    Attributes:
        name: Its name in the catalog.
        family: The `model_type` of its config.json.
        num_layers: Layers without multi-token-prediction layers.
        total_parameters: All parameters without multi-token-prediction modules.
        active_parameters: Parameters that one token meets.
        published_parameters: The total that its makers publish; None if it couldn't be verified.
        parameters_source: Title of the public document that `published_parameters` comes from.
        source: Title of the public document that its sizes come from.
        aliases: Other names that find it.
    """

    name: str
    family: str
    num_layers: int
    total_parameters: int
    active_parameters: int
    published_parameters: int | None
    parameters_source: str | None
    source: str
    aliases: tuple[str, ...]


def list_models() -> tuple[ModelSummary, ...]:
    """All models of the catalog, by name."""
    return tuple(_summary(name) for name in sorted(_names().values()))


@cache
def catalog_model(name: str) -> Architecture:
    """The architecture of `datasets/models/<name>.json`."""
    return architecture_from(_read(name), name, name)


def find_model(name: str) -> str | None:
    """The catalog's name for a name or alias, however it is written; None if there is none."""
    if re.fullmatch(r"[a-z0-9.-]{1,99}", name) and _file(name).is_file():
        return name
    key = _key(name)
    return _names().get(key) or _aliases().get(key)


def near_models(name: str) -> list[str]:
    """The catalog's names nearest to an unknown one, nearest first."""
    from difflib import get_close_matches  # noqa: PLC0415 - only errors need it

    known = _aliases() | _names()
    return list(dict.fromkeys(known[key] for key in get_close_matches(_key(name), known, n=3, cutoff=0.6)))


def _key(name: str) -> str:
    """One key for `Llama3_70B` and `llama-3-70b`; dashes between digits stay: gemma-22b isn't gemma-2-2b."""
    dashed = re.sub(r"[-_\s]+", "-", name.strip().lower())
    return re.sub(r"(?<!\d)-|-(?!\d)", "", dashed)


@cache
def _names() -> dict[str, str]:
    stems = (file.name.removesuffix(".json") for file in _folder().iterdir())
    return {_key(stem): stem for stem in stems}


@cache
def _aliases() -> dict[str, str]:
    """Keys of all aliases; one with an owner, such as `openai/gpt-oss-20b`, is found without it too."""
    pairs = [(alias, name) for name in _names().values() for alias in _read(name)[ABOUT]["aliases"]]
    return {_key(form): name for alias, name in pairs for form in (alias.rpartition("/")[2], alias)}


def _summary(name: str) -> ModelSummary:
    architecture, keys = catalog_model(name), _read(name)
    about: Mapping[str, Any] = keys[ABOUT]
    return ModelSummary(
        name=name,
        family=keys["model_type"],
        num_layers=architecture.num_layers,
        total_parameters=total_parameters(architecture),
        active_parameters=active_parameters(architecture),
        published_parameters=about.get("published_parameters"),
        parameters_source=about.get("parameters_source"),
        source=about["source"],
        aliases=tuple(about["aliases"]),
    )


@cache
def _read(name: str) -> Mapping[str, Any]:
    keys: Mapping[str, Any] = json.loads(_file(name).read_text(encoding="utf-8"))
    return keys


def _file(name: str) -> Traversable:
    return _folder().joinpath(f"{name}.json")


def _folder() -> Traversable:
    return files("meshwright.datasets").joinpath("models")
