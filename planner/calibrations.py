"""Reads and writes calibrations: those that ship, and a user's own."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from math import inf
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.collectives import CollectiveRates
from meshwright.cost_models.kernels import KernelRates
from meshwright.cost_models.training_rates import TrainingRates
from meshwright.cost_models.uncertainty import PeakMemoryError, StepTimeError
from meshwright.errors import FileError

MAX_BYTES = 16 * 2**20
SHIPPED = "training"
SPEC_SHEET = "spec-sheet"
PARTS: Mapping[str, type[Any]] = {
    "training": TrainingRates, "step_time_error": StepTimeError, "memory_error": PeakMemoryError,
    "fine_tuning_memory_error": PeakMemoryError,
}  # fmt: skip


@cache
def shipped_calibration() -> Calibration:
    """Rates fitted on published measurements of kernels, collectives and training steps, with their residuals."""
    return read_calibration(SHIPPED)


def list_calibrations() -> tuple[str, ...]:
    """Names that `read_calibration` knows: `spec-sheet`, and those that ship."""
    names = [entry.name for entry in _folder().iterdir()]
    return (SPEC_SHEET, *sorted(name.removesuffix(".json") for name in names if name.endswith(".json")))


def read_calibration(name_or_path: str | PathLike[str]) -> Calibration:
    """A calibration by name (`spec-sheet`, `kernels`, `training`), or from a JSON file.

    Raises:
        FileError: There is no such name or file, or it holds no sound calibration; says all that is wrong.
    """
    name = fspath(name_or_path)
    if name == SPEC_SHEET:
        return Calibration.spec_sheet()
    if name in list_calibrations():
        return _parse(name, (_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return _parse(name, _text(Path(name)))


def write_calibration(calibration: Calibration, path: str | PathLike[str]) -> None:
    """Writes a calibration as JSON that `read_calibration` reads back; a reader never sees half of it.

    Raises:
        FileError: The file can't be written; what it held before is untouched.
    """
    file = Path(path).resolve()
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(asdict(calibration), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise FileError(f"{path} can't be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _folder() -> Traversable:
    return files("meshwright.datasets") / "calibrations"


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileError(f"{path} has {size} bytes; a calibration has at most {MAX_BYTES}")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        known = ", ".join(list_calibrations())
        raise FileError(f"{path}: no such calibration; known names are {known}, or give a file") from None
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FileError(f"{path} isn't a text file in UTF-8") from None


def _parse(origin: str, text: str) -> Calibration:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - takes 0.1 s to import

    try:
        document = json.loads(text)
        calibration = TypeAdapter(Calibration).validate_python(document)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()]
    except (ValueError, RecursionError) as error:
        problems = [f"not valid JSON: {error}"]
    else:
        problems = [*_unknown_names(document), *_out_of_range(calibration)]
        if not problems:
            return calibration
    raise FileError([f"{origin}: {problem}" for problem in problems])


def _unknown_names(document: Mapping[str, Any]) -> Iterator[str]:
    """Names that no field has: a misspelt rate would otherwise keep its default unnoticed."""
    yield from _unknown("", document, Calibration)
    for table, rates in (("kernels", KernelRates), ("collectives", CollectiveRates)):
        for device, given in document.get(table, {}).items():
            yield from _unknown(f"{table}.{device}.", given, rates)
    for part, kind in PARTS.items():
        yield from _unknown(f"{part}.", document.get(part, {}), kind)


def _unknown(place: str, given: Mapping[str, Any], kind: type[Any]) -> Iterator[str]:
    known = [field.name for field in fields(kind)]
    for name in given:
        if name not in known:
            yield f"{place}{name} is unknown; known are {', '.join(known)}"


def _out_of_range(calibration: Calibration) -> Iterator[str]:
    """What no rate can be: a share of the data sheet that isn't above 0, or anything else below 0."""
    for table in ("kernels", "collectives"):
        for device, rates in getattr(calibration, table).items():
            yield from _wrong_numbers(f"{table}.{device}", rates)
    for part in PARTS:
        yield from _wrong_numbers(part, getattr(calibration, part))


def _wrong_numbers(place: str, rates: Any) -> Iterator[str]:
    for field in fields(rates):
        value = getattr(rates, field.name)
        if isinstance(value, tuple) or field.name == "measured":  # names of kinds; grids of logarithms
            continue
        for number in value.values() if isinstance(value, Mapping) else (value,):
            is_share = field.name.endswith(("fraction", "fractions", "ratio", "median", "spread"))
            if not (0 < number < inf or (number == 0 and not is_share)):
                bound = "above 0" if is_share else "at least 0"
                yield f"{place}.{field.name} must be finite and {bound}, but got {number}"
