"""A plan as the command line takes it: axes in words, or a JSON file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from meshwright.errors import AxisError, FileError

if TYPE_CHECKING:
    from meshwright.planner.results import Plan, PlanSet

MAX_BYTES = 256 * 2**20
"""Plan sets of thousands of plans stay far below this."""


def read_plan(given: str, rank: int = 1) -> str | Mapping[str, object]:
    """The axes in a text; or those in the file that it names.

    Raises:
        FileError: The file is missing, too large or can't be read.
        AxisError: The file holds no plan.
    """
    if "=" in given and not os.path.exists(given):  # noqa: PTH110 - Path.exists raises where a text is too long for a name
        return given
    if not _looks_like_file(given):
        raise AxisError(f'a plan is written as axes, such as "tp=8 pp=4", or is a JSON file, but got {given[:200]!r}')
    from meshwright.planner.evaluation import plan_from_json

    try:
        return plan_from_json(_text(Path(given)), rank)
    except RecursionError:
        raise FileError(f"{given}: broken JSON: nested too deeply") from None
    except AxisError as error:
        raise AxisError([f"{given}: {problem}" for problem in error.problems]) from None


def read_plan_set(path: Path, rank: int = 1) -> "tuple[PlanSet, Plan | None]":
    """A plan set's file, and its plan number `rank`; no plan where nothing fitted.

    Raises:
        FileError: The file is missing, too large or can't be read.
        AxisError: It holds no plan set, or no plan of that rank.
    """
    from pydantic import ValidationError

    from meshwright.planner.results import PlanSet

    try:
        answer = PlanSet.from_json(_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise AxisError(
            f"{path} is no plan set of this version ({where}: {first['msg']});"
            " `meshwright plan … --json FILE` writes one"
        ) from None
    if not answer.plans and rank == 1:
        return answer, None
    most = len(answer.plans)
    if not most:
        raise AxisError(f"{path} holds no plan, because none fitted; so there is none of rank {rank}")
    if not 1 <= rank <= most:
        raise AxisError(f"{path} holds {most} plans, so --rank must be 1 to {most}, not {rank}")
    return answer, answer.plans[rank - 1]


def _looks_like_file(given: str) -> bool:
    return os.path.exists(given) or given.endswith(".json") or os.sep in given  # noqa: PTH110 - as above


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise FileError(f"{path} is no regular file" if path.exists() else f"{path}: no such file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileError(f"{path} has {size / 2**20:,.0f} MiB; a plan file has at most {MAX_BYTES // 2**20} MiB")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FileError(f"{path} isn't a text file in UTF-8") from None
