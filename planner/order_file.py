"""Files that say what every pipeline stage runs in which order: JSON or YAML lists, or torch's schedule CSV."""

import csv
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from meshwright.errors import AxisError

_LISTS: TypeAdapter[list[list[str]]] = TypeAdapter(list[list[str]])


def read_order(path: Path) -> list[list[str]]:
    """The ops of every device; a line of a CSV file is a device, as torch.distributed.pipelining writes them.

    Raises:
        AxisError: There is no such file, or it doesn't hold one list of ops a device.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".csv":
            return list(csv.reader(text.splitlines()))
        return _LISTS.validate_python(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise AxisError(f"{path}: can't be read: {error}") from None
    except (yaml.YAMLError, ValidationError):
        raise AxisError(f'{path}: must hold one list of ops a device, such as [["F0", "B0"], ["F0", "B0"]]') from None
