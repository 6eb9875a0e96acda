"""Study files: lists of models, clusters and workloads, and what all cells have in common."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveInt, ValidationError

from meshwright.errors import FileError, InputError
from meshwright.planner.api import StepQuestion
from meshwright.planner.sweeps.cell import Cell

MAX_BYTES = 2**20
MAX_CELLS = 100_000
STEP_KEYWORDS = tuple(StepQuestion.__annotations__)
KEYWORDS = (*STEP_KEYWORDS, "fix", "limit", "objective", "uneven")
"""Keywords of `plan` that a study may give; sizes stand beside the clusters."""


class StudyCluster(BaseModel):
    """A cluster at several sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str
    gpus: tuple[PositiveInt, ...] = ()
    nodes: tuple[PositiveInt, ...] = ()

    def sizes(self) -> list[dict[str, int]]:
        """Keywords of each size; one without any for the cluster's own."""
        return [{"gpus": n} for n in self.gpus] + [{"nodes": n} for n in self.nodes] or [{}]


class Study(BaseModel):
    """What a study file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Annotated[tuple[str, ...], Field(min_length=1)]
    clusters: Annotated[tuple[StudyCluster, ...], Field(min_length=1)]
    workloads: Annotated[tuple[dict[str, JsonValue], ...], Field(min_length=1)] = ({},)
    options: dict[str, JsonValue] = {}

    def cells(self) -> list[Cell]:
        """Every combination, by model, cluster, size and workload; each once."""
        found = [
            Cell(model=model, cluster=cluster.cluster, keywords={**self.options, **size, **workload})
            for model, cluster in product(self.models, self.clusters)
            for size, workload in product(cluster.sizes(), self.workloads)
        ]
        return list({cell.key: cell for cell in found}.values())

    def num_cells(self) -> int:
        """How many combinations there are."""
        return len(self.models) * len(self.workloads) * sum(len(one.sizes()) for one in self.clusters)


def read_study(path: Path) -> Study:
    """A study from a YAML file.

    Raises:
        FileError: It is missing, too large, or can't be read.
        InputError: It doesn't describe a study; holds every problem found.
    """
    document = _parsed(path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: a study has the keys models, clusters and workloads")
    listed = [{"cluster": one} if isinstance(one, str) else one for one in _listed(document.get("clusters", []))]
    try:
        study = Study.model_validate({**document, **({"clusters": listed} if listed else {})})
    except ValidationError as error:
        raise InputError(
            [f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        ) from None
    problems = [f"{path}: {problem}" for problem in _problems(study)]
    if problems:
        raise InputError(problems)
    return study


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _problems(study: Study) -> Iterator[str]:
    parts = {"options": study.options} | {f"workloads.{n}": one for n, one in enumerate(study.workloads)}
    for place, given in parts.items():
        for name in sorted(set(given) - set(KEYWORDS)):
            yield f"{place}.{name} is unknown; known are {', '.join(KEYWORDS)}"
    if study.num_cells() > MAX_CELLS:
        yield f"{study.num_cells():,} cells are too many; a study has at most {MAX_CELLS:,}"


def _parsed(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError(f"{path} is larger than {MAX_BYTES // 2**20} MiB; a study takes a few lines")
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror or error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(f"{path} isn't valid YAML: {error}") from None
