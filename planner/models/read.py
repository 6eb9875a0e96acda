"""A model from whatever names or describes it."""

import json
import os
from pathlib import Path
from stat import S_ISREG
from typing import Final

from meshwright.cost_models.architecture import Architecture
from meshwright.errors import FileError, ModelError
from meshwright.planner.models.catalog import catalog_model, find_model, near_models
from meshwright.planner.models.huggingface import architecture_from

LARGEST_FILE_BYTES: Final = 64 * 2**20
"""A description of a model takes kilobytes; something larger is weights given by mistake."""

LARGEST_YAML_BYTES: Final = 2**20
"""YAML is parsed in Python, a megabyte in a few seconds; a model file has some forty lines."""

YAML_SUFFIXES: Final = (".yaml", ".yml")


def read_model(source: str | os.PathLike[str] | Architecture) -> Architecture:
    """The architecture that a name, a file or an object describes.

    Args:
        source: A name of the catalog (`llama-3-70b`, `meta-llama/Meta-Llama-3-70B`), the path of a Hugging
            Face config.json or of a folder that holds one, the path of a YAML file in Meshwright's own
            format, or an `Architecture`. A path that exists wins over a name.

    Raises:
        ModelError: The name or the architecture is unknown, or the description incomplete or contradictory.
        FileError: The file is missing, too large or unreadable.
    """
    if isinstance(source, Architecture):
        return source
    text = os.fspath(source)
    if os.path.exists(text):  # noqa: PTH110 - Path.exists raises where a name is too long for a file
        return _read_path(Path(text))
    if isinstance(source, str) and (name := find_model(source)):
        return catalog_model(name)
    if not isinstance(source, str) or _looks_like_path(source):
        raise FileError(f"{text}: no such file or folder, and no model of the catalog is called that{_hint(text)}")
    raise ModelError(f"no model is called {text[:200]!r}{_hint(text)}; a config.json's path works too")


def _looks_like_path(source: str) -> bool:
    return os.sep in source or "/" in source or source.lower().endswith((".json", *YAML_SUFFIXES))


def _hint(name: str) -> str:
    near = near_models(name[:200])
    return (f": did you mean {' or '.join(near)}?" if near else ".") + " `meshwright catalog models` lists them all"


def _read_path(path: Path) -> Architecture:
    file = path / "config.json" if path.is_dir() else path
    if file.suffix.lower() in YAML_SUFFIXES:
        from meshwright.planner.models.file import architecture_from_yaml  # noqa: PLC0415 - pydantic takes 0.1 s

        return architecture_from_yaml(_read_text(file, LARGEST_YAML_BYTES), file.stem, str(file))
    keys = _parse_json(_read_text(file, LARGEST_FILE_BYTES), str(file))
    name = file.resolve().parent.name if file.name == "config.json" else file.stem
    return architecture_from(keys, name, str(file))


def _read_text(file: Path, most_bytes: int) -> str:
    try:
        status = file.stat()
        if not S_ISREG(status.st_mode):
            raise FileError(f"{file} is neither a regular file nor a folder that holds a config.json")
        if status.st_size > most_bytes:
            size, most = status.st_size / 2**20, most_bytes // 2**20
            raise FileError(f"{file} has {size:,.0f} MiB, but the description of a model has at most {most} MiB")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{file} isn't text in UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise FileError(f"{file} can't be read: {error.strerror or error}") from error


def _parse_json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(f"{where}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{where}: broken JSON: {error}") from error
