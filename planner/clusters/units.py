"""Human units of files, turned into SI floats in this one place.

A quantity is a number, a unit and, where a file wishes, the key of its source: `989.4 TFLOP/s (white-paper)`.
Decimal prefixes are powers of 1000, `Ki`, `Mi`, `Gi` and `Ti` of 1024; `b` is a bit and `B` a byte.
"""

import re
from decimal import Decimal

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_BYTES = {f"{prefix}B": Decimal(factor) for prefix, factor in (_DECIMAL | _BINARY).items()}
_BITS_PER_S = {f"{prefix}{bits}": Decimal(factor) / 8 for prefix, factor in _DECIMAL.items() for bits in ("b/s", "bps")}
_ONE = Decimal(1)

UNITS: dict[str, dict[str, Decimal]] = {
    "size": _BYTES,
    "bandwidth": {f"{unit}/s": factor for unit, factor in _BYTES.items()} | _BITS_PER_S,
    "compute": {f"{prefix}FLOP/s": Decimal(factor) for prefix, factor in _DECIMAL.items()},
    "time": {"s": _ONE, "ms": _ONE / 10**3, "us": _ONE / 10**6, "µs": _ONE / 10**6, "ns": _ONE / 10**9},
    "power": {"W": _ONE, "kW": Decimal(1000)},
    "price": {"USD/h": _ONE},
    "cores": {"SM": _ONE, "CU": _ONE, "core": _ONE},
}
"""Factor to the SI unit, by dimension and unit; decimal, as 66.9 * 1e12 in floats is 66900000000000.01."""

_NUMBER = r"(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?)"
_QUANTITY = re.compile(rf"\s*{_NUMBER}\s*(?P<unit>[^\s\d()]*)\s*(?:\((?P<source>[^()]*)\))?\s*")


def quantity(text: object, dimension: str) -> float:
    """A quantity such as `450 GB/s` in SI units.

    Args:
        text: Number and unit, as a file gives it.
        dimension: A key of `UNITS`.

    Raises:
        ValueError: It isn't a positive number with a unit of that dimension; the message says which exist.
    """
    units = UNITS[dimension]
    match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    unit = match["unit"] if match else ""
    if match is None or unit not in units:
        found = f"has the unknown unit {unit!r}" if unit else "isn't a number with a unit"
        raise ValueError(f"{str(text)[:60]!r} {found}; units of {dimension} are {', '.join(units)}")
    value = float(Decimal(match["number"]) * units[unit])
    if not 0.0 < value < float("inf"):
        raise ValueError(f"{text!r} must be positive and finite")
    return value


def source_of(text: str) -> str | None:
    """The source that a quantity names in parentheses."""
    match = _QUANTITY.fullmatch(text)
    return match["source"] if match else None
