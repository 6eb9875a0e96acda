"""Meshwright's own model files: a few lines of YAML for architectures that no reader knows."""

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import ValidationError

from meshwright.cost_models.architecture import Architecture
from meshwright.errors import FileError, ModelError
from meshwright.planner.models.config import short
from meshwright.planner.models.file_schema import ModelFile


def architecture_from_yaml(text: str, name: str, where: str) -> Architecture:
    """The architecture that a model file describes; docs/reference/model-file.md lists its keys.

    Args:
        text: The file's content.
        name: What the architecture is called if the file doesn't say.
        where: The file's path, which messages start with.

    Raises:
        FileError: The text isn't YAML.
        ModelError: Keys are missing, unknown or contradictory: all of them are listed.
    """
    keys = _parse_yaml(text, where)
    if not isinstance(keys, dict):
        raise ModelError(f"{where}: it needs keys such as hidden, vocab and layers, but is {short(keys)}")
    try:
        return ModelFile.model_validate(keys).built(name)
    except ValidationError as error:
        raise ModelError([f"{where}: {problem}" for problem in _problems(error)]) from error


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)  # not the C loader: deeply nested input overflows its stack
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise FileError(f"{where}: broken YAML{at}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(f"{where}: broken YAML: {error}") from error


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"]).lstrip(".")
        if problem["type"] == "missing":
            yield f"{path} is missing"
        elif problem["type"] == "extra_forbidden":
            yield f"{path} isn't a key of a model file"
        elif problem["type"] == "value_error":
            yield f"{path}: {problem['msg'].removeprefix('Value error, ')}".removeprefix(": ")
        else:
            rule = "must hold keys" if problem["type"] == "model_type" else problem["msg"]
            yield f"{path}: {rule.replace('Input should', 'must')}, but is {short(problem['input'])}"
