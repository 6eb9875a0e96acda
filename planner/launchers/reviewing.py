"""A launch file judged: what it costs, what its launcher lets through, and what a better plan would change."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from pydantic import Field

from meshwright.cost_models.architecture import Architecture
from meshwright.cost_models.cluster import Cluster
from meshwright.errors import FileError, LaunchError, MeshwrightError
from meshwright.planner.answer import answer
from meshwright.planner.api import Question, evaluate
from meshwright.planner.intake import Source, read_problems
from meshwright.planner.launchers.launcher import Imported, LaunchFile
from meshwright.planner.launchers.nearest import changed_axes
from meshwright.planner.launchers.registry import launcher
from meshwright.planner.problem import Problem
from meshwright.planner.results import Evaluation, Plan

MAX_FILES, MAX_BYTES = 64, 4 * 2**20
"""Of a folder of launch files, and of one of them."""
LEAST_GAIN = 0.001
"""Share of the step below which another plan isn't called better."""


class LaunchReview(Evaluation):
    """A launch file's plan, priced, with what is wrong with the file and what would be better."""

    launcher: str
    problems: tuple[str, ...] = Field(description="what the launcher lets through and shouldn't")
    unknown: tuple[str, ...] = Field(description="fields that weren't understood")
    warnings: tuple[str, ...] = Field(description="what was read with a loss")
    better: Plan | None = Field(description="the best plan of the launcher's framework; null if this one is as good")
    changes: tuple[str, ...] = Field(description="axes that the better plan changes")


def read_launch(name: str, *paths: str | os.PathLike[str]) -> Imported:
    """What launch files say, in Meshwright's words.

    Args:
        name: Of the launcher, such as `megatron-lm`.
        *paths: Files; or a folder, of which the files that the launcher writes are read.

    Raises:
        LaunchError: The launcher is unknown, or the files aren't its.
        FileError: A file can't be read.
    """
    reader = launcher(name)
    return reader.parse([file for path in paths for file in _files(Path(path), reader.reads)])


def review_launch(
    name: str,
    imported: Imported,
    cluster: Source | Cluster,
    *,
    model: Source | Architecture | None = None,
    **question: Unpack[Question],
) -> LaunchReview:
    """Prices a launch file's plan and compares it with the best plan of its framework.

    Args:
        name: Of the launcher.
        imported: What its files say.
        cluster: As for `plan`; a file with one pool.
        model: The model, where the files don't describe it.
        **question: As for `plan`; what is given here counts more than what the files say.

    Raises:
        InputError: The files leave something open that isn't given here, or the plan can't be priced.
    """
    described = model if model is not None else imported.architecture or imported.model
    if described is None:
        raise LaunchError(f"the {name} files don't describe the model; give it, too: MODEL --plan FILES --from {name}")
    asked = _completed(question, imported, launcher(name).framework)
    try:
        judged = evaluate(described, cluster, plan=imported.axes, **asked)
    except MeshwrightError as error:
        raise LaunchError([*imported.problems, *getattr(error, "problems", (str(error),))]) from None
    better = _better(read_problems(described, cluster, None, **asked), judged.plan)
    return LaunchReview(
        **dict(judged),
        launcher=name,
        problems=imported.problems,
        unknown=imported.unknown,
        warnings=imported.warnings,
        better=better,
        changes=() if better is None else changed_axes(judged.plan, better),
    )


def _completed(question: Question, imported: Imported, framework: str) -> Question:
    """The question with what the files say where the user doesn't."""
    asked = question.copy()
    if asked.get("global_batch") is None:
        asked["global_batch"] = imported.global_batch
    if asked.get("seq_len") is None:
        asked["seq_len"] = imported.seq_len
    if asked.get("gpus") is None and asked.get("nodes") is None:
        asked["gpus"] = imported.num_devices
    if imported.precision is not None and asked.get("precision", "bf16") == "bf16":
        asked["precision"] = imported.precision
    if asked.get("framework", "generic") == "generic":
        asked["framework"] = framework
    return asked


def _better(problems: Sequence[Problem], plan: Plan) -> Plan | None:
    """The best plan for the same job, if it is faster or fits where this one doesn't."""
    found = answer(problems, 1)
    if not found.plans:
        return None
    best = found.best
    return best if not plan.fits or best.step_time_s < plan.step_time_s * (1.0 - LEAST_GAIN) else None


def _files(path: Path, reads: Sequence[str]) -> list[LaunchFile]:
    if not path.is_dir():
        return [LaunchFile(path.name, _text(path))]
    wanted = [path / name for name in reads if (path / name).is_file()]
    if not wanted:
        raise FileError(f"{path} has none of {', '.join(reads)}")
    return [LaunchFile(str(file.relative_to(path)), _text(file)) for file in wanted[:MAX_FILES]]


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise FileError(f"{path}: no such file")
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"{path} has more than {MAX_BYTES // 2**20} MiB: that is no launch file")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FileError(f"{path} isn't a text file in UTF-8") from None
