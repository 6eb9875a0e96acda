"""`schema`: the JSON Schema of the answers."""

from json import dumps as as_json

from meshwright.cli.options import Json
from meshwright.cli.output import STDOUT, JsonTarget


def schema(json: Json = None) -> None:
    """Print the JSON Schema of what `plan --json` writes."""
    from meshwright.planner.results import json_schema

    JsonTarget.checked(json or STDOUT).write(as_json(json_schema(), indent=2))
