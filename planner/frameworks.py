"""Reads framework profiles from the catalog."""

import difflib
from dataclasses import fields, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from meshwright.cost_models.framework import FrameworkProfile, SendStall
from meshwright.cost_models.offload_offer import OffloadOffer
from meshwright.cost_models.parameter_bytes import StateBytes
from meshwright.cost_models.published_runs import PublishedRuns
from meshwright.errors import InputError

GENERIC = "generic"
EAGER = "pytorch-eager"
STAND_INS = (GENERIC, EAGER)
"""Profiles of no framework in particular: steps of real ones differ more from them than from profiles of their own."""
_FOLDER = files("meshwright.datasets") / "frameworks"


def list_frameworks() -> tuple[str, ...]:
    """Names of all framework profiles, sorted."""
    return tuple(
        sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))
    )


@lru_cache(maxsize=64)
def read_framework(name: str) -> FrameworkProfile:
    """The profile of a framework by its catalog name.

    Raises:
        InputError: There is no such profile; the message names the nearest ones.
    """
    known = list_frameworks()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
        raise InputError(f"unknown framework {name!r}; {hint}")
    title, values, sources = _merged(name)
    columns = {field.name for field in fields(FrameworkProfile)} - _NO_VALUES
    converted = {key: _converted(key, values[key]) for key in columns}
    stands_for = tuple(_document(name).get("stands_for", ()))
    profile = FrameworkProfile(
        name=name, title=title, sources=sources, stands_for=stands_for, published=_published(values), **converted
    )
    return _joined(profile) if stands_for else profile


_NO_VALUES = {"name", "title", "sources", "stands_for", "forced_schedules", "published"}


def _published(values: dict[str, Any]) -> PublishedRuns:
    """What the values say of published runs, under their names or with `published_` before them."""
    found = {key.removeprefix("published_"): _converted(key, value) for key, value in values.items()}
    return PublishedRuns(**{field.name: found[field.name] for field in fields(PublishedRuns)})


def _joined(profile: FrameworkProfile) -> FrameworkProfile:
    """A profile that stands for others, with every schedule, division of layers and way of offloading of theirs."""
    theirs = [read_framework(name) for name in profile.stands_for]
    schedules = dict.fromkeys(name for one in (profile, *theirs) for name in one.schedules)
    return replace(
        profile,
        schedules=tuple(schedules),
        explicit_splits=any(one.explicit_splits for one in (profile, *theirs)),
        offloads=tuple(dict.fromkeys(offer for one in (profile, *theirs) for offer in one.offloads)),
    )


@lru_cache(maxsize=1)
def _phrases() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """(phrase, models, profile) for every phrase under `matches`: those for some models first, then the longest."""
    documents = [(name, _document(name)) for name in list_frameworks()]
    found = [
        (phrase.lower(), tuple(document.get("models", ())), name)
        for name, document in documents
        for phrase in document.get("matches", ())
    ]
    return tuple(sorted(found, key=lambda one: (not one[1], -len(one[0]), one)))


@lru_cache(maxsize=1024)
def match_framework(description: str, model: str = "") -> str:
    """Catalog name of the framework that a free-form description means, such as `NeMo 25.07`.

    The profile with the longest phrase (its `matches`) contained in the description; `generic` where none is. Profiles
    of how certain `models` were trained apply to those alone, and come first.
    """
    wanted, trained = description.lower(), model.lower()
    return next(
        (
            name
            for phrase, models, name in _phrases()
            if phrase in wanted and (not models or any(one in trained for one in models))
        ),
        GENERIC,
    )


def _document(name: str) -> dict[str, Any]:
    import yaml  # noqa: PLC0415 - start-up time

    text = (_FOLDER / f"{name}.yaml").read_text()
    document: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return document


def _merged(name: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Values and sources of a profile over those of the profile that it extends."""
    document = _document(name)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    if "extends" in document:
        _, values, sources = _merged(document["extends"])
    for key, entry in document["values"].items():
        values[key], sources[key] = entry["value"], entry["source"]
    return document["title"], values, sources


def _converted(key: str, value: Any) -> Any:
    if key.endswith("states"):
        return value and StateBytes(**value)
    if key == "send_stall":
        return value and SendStall(**value)
    if key == "offloads":
        return tuple(OffloadOffer(**{name: _converted(name, said) for name, said in offer.items()}) for offer in value)
    return tuple(value) if isinstance(value, list) else value
