"""Reads a user's cluster file, and says everything that is wrong with it at once."""

from pathlib import Path
from typing import Any

import yaml

from meshwright.cost_models.cluster import Cluster
from meshwright.errors import ClusterError, FileError
from meshwright.planner.clusters.build import clusters_from
from meshwright.planner.clusters.catalog import accelerator
from meshwright.planner.clusters.schema import problems_in

MAX_BYTES = 64 * 2**20


def read_cluster_file(path: Path) -> tuple[Cluster, ...]:
    """The clusters of a YAML file, one for each pool.

    Raises:
        FileError: It is missing, too large, or can't be read.
        ClusterError: It isn't YAML, or doesn't describe a sound cluster; holds every problem found.
    """
    file = _parse(path)
    problems = problems_in(file)
    if problems:
        raise ClusterError([f"{path}: {problem}" for problem in problems])
    return clusters_from({"name": path.stem, **file}, accelerator)


def _parse(path: Path) -> Any:
    try:
        return yaml.safe_load(_text(path))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ClusterError(f"{path}, line {line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ClusterError(f"{path}: not valid YAML: {error}") from None


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileError(
                f"{path} has {size / 2**20:.0f} MiB; a cluster file has at most {MAX_BYTES // 2**20} MiB"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FileError(f"{path} isn't a text file in UTF-8") from None
