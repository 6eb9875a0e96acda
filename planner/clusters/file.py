"""Reads a user's cluster file, and says everything that is wrong with it at once."""

from pathlib import Path
from typing import Any

import yaml

from meshwright.cost_models.cluster import Cluster
from meshwright.errors import ClusterError, FileError
from meshwright.planner.clusters.build import clusters_from
from meshwright.planner.clusters.catalog import accelerator
from meshwright.planner.clusters.schema import problems_in

MAX_BYTES = 2**20


def read_cluster_file(path: Path) -> tuple[Cluster, ...]:
    """The clusters of a YAML file, one for each pool.

    Raises:
        FileError: It is missing, too large, or can't be read.
        ClusterError: It isn't YAML, or doesn't describe a sound cluster; holds every problem found.
    """
    file = parse_cluster_file(path)
    problems = problems_in(file)
    if problems:
        raise ClusterError([f"{path}: {problem}" for problem in problems])
    return clusters_from({"name": path.stem, **file}, accelerator)


def parse_cluster_file(path: Path) -> Any:
    """What a YAML file says, unchecked.

    Raises:
        FileError: It is missing, too large, or can't be read.
        ClusterError: It isn't YAML.
    """
    text = _text(path)
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ClusterError(f"{path}{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ClusterError(f"{path}: not valid YAML: {error}") from None


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            limit = MAX_BYTES // 2**20
            raise FileError(f"{path} has {size / 2**20:.1f} MiB; a cluster file has at most {limit} MiB")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FileError(f"{path} isn't a text file in UTF-8") from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which PyYAML takes the last.

    It is the loader in Python, as libyaml's overflows the C stack where a file nests too deeply.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r} is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)
