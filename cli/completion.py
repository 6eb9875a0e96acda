"""Names that the shell completes, read from the catalog's folders without opening a file."""

from importlib.resources import files
from pathlib import PurePath


def names(folder: str) -> list[str]:
    """Names of all entries of one folder of the catalog."""
    entries = (PurePath(entry.name) for entry in (files("meshwright.datasets") / folder).iterdir())
    return sorted(path.stem for path in entries if path.suffix in (".json", ".yaml") and path.stem != "aliases")


def models(incomplete: str) -> list[str]:
    """Models that start with what is typed so far."""
    return _starting(incomplete, names("models"))


def clusters(incomplete: str) -> list[str]:
    """Clusters, and accelerators, which are clusters of single-device nodes."""
    return _starting(incomplete, sorted({*names("clusters"), *names("accelerators")}))


def frameworks(incomplete: str) -> list[str]:
    """Framework profiles."""
    return _starting(incomplete, names("frameworks"))


def calibrations(incomplete: str) -> list[str]:
    """Calibrations that ship."""
    return _starting(incomplete, [*names("calibrations"), "spec-sheet"])


def _starting(incomplete: str, known: list[str]) -> list[str]:
    return [name for name in known if name.startswith(incomplete)]
