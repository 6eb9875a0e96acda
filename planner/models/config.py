"""Typed access to the keys of a Hugging Face config.json that collects every problem instead of the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from reprlib import Repr
from typing import Final

from meshwright.errors import ModelError

LARGEST_SIZE: Final = 2**31 - 1
"""Widths and lengths beyond this are typing errors: frameworks hold tensor shapes in 32-bit integers."""

_ABBREVIATED = Repr()
_ABBREVIATED.maxlevel = 2


def short(value: object) -> str:
    """A value as messages show it: at most eighty characters, however large or deep it is."""
    text = _ABBREVIATED.repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


@dataclass(frozen=True)
class Config:
    """One level of a config.json.

    Reading never raises: what is missing or wrong is noted, 1 or False stands in, and `check` reports it all.
    The first of several names is the usual one, the others are what older families call it.

    Attributes:
        keys: The keys of this level.
        name: What the architecture will be called.
        where: The file or catalog name that messages start with.
        problems: All problems so far, shared by all levels.
        prefix: Path of this level inside the file, such as `attn_config.`.
    """

    keys: Mapping[str, object]
    name: str
    where: str
    problems: list[str] = field(default_factory=list)
    prefix: str = ""

    def size(self, *names: str, default: int | None = None, at_most: int = LARGEST_SIZE) -> int:
        """A whole number of at least 1; required where there is no default."""
        return self._whole(names, 1, at_most, default)

    def count(self, *names: str, default: int = 0, at_most: int = LARGEST_SIZE) -> int:
        """A whole number of at least 0."""
        return self._whole(names, 0, at_most, default)

    def optional_size(self, *names: str) -> int | None:
        """A whole number of at least 1, or None where it is missing or null."""
        return self.size(*names) if self.has(*names) else None

    def flag(self, *names: str, default: bool) -> bool:
        """True or false."""
        name, value = self._find(names)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problem(f"{name} must be true or false, but is {short(value)}")
            return False
        return value

    def words(self, name: str, allowed: Sequence[str], length: int) -> Sequence[str] | None:
        """A list of words, one a layer; None where it is missing or wrong."""
        value = self.keys.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or any(word not in allowed for word in value):
            self.problem(f"{name} must be a list of {', '.join(allowed)}, but is {short(value)}")
            return None
        if len(value) != length:
            self.problem(f"{name} must name one kind for each of the {length} layers, but names {len(value)}")
            return None
        return value

    def with_defaults(self, defaults: Mapping[str, object]) -> "Config":
        """The same level with the values that its family's configs leave out."""
        given = {name: value for name, value in self.keys.items() if value is not None}
        return replace(self, keys={**defaults, **given})

    def section(self, name: str) -> "Config":
        """A nested level; empty where it is missing."""
        value = self.keys.get(name)
        if not isinstance(value, Mapping | None):
            self.problem(f"{name} must be an object with keys, but is {short(value)}")
        keys = value if isinstance(value, Mapping) else {}
        return Config(keys, self.name, self.where, self.problems, f"{self.prefix}{name}.")

    def has(self, *names: str) -> bool:
        """Whether any of the names has a value that isn't null."""
        return self._find(names)[1] is not None

    def problem(self, message: str) -> None:
        """Notes a problem, once, for `check`."""
        text = f"{self.where}: {self.prefix}{message}"
        if text not in self.problems:
            self.problems.append(text)

    def require(self, *, that: bool, rule: str, **values: int) -> None:
        """Notes a problem unless the rule holds; the message shows the rule and the values."""
        if not that:
            shown = ", ".join(f"{name}={value}" for name, value in values.items())
            self.problem(f"`{rule}` must hold, but got ({shown})")

    def check(self) -> None:
        """Raises all problems noted so far.

        Raises:
            ModelError: There are any.
        """
        if self.problems:
            raise ModelError(self.problems)

    def _find(self, names: Sequence[str]) -> tuple[str, object]:
        found = ((name, self.keys[name]) for name in names if self.keys.get(name) is not None)
        return next(found, (names[0], None))

    def _whole(self, names: Sequence[str], at_least: int, at_most: int, default: int | None) -> int:
        name, value = self._find(names)
        if value is None and default is not None:
            return default
        if value is None:
            others = f" (also read: {', '.join(names[1:])})" if names[1:] else ""
            self.problem(f"{name} is missing{others}")
        elif not isinstance(value, int) or isinstance(value, bool):
            self.problem(f"{name} must be a whole number, but is {short(value)}")
        elif value < at_least:
            self.problem(f"{name} must be at least {at_least}, but is {short(value)}")
        elif value > at_most:
            self.problem(f"{name} must be at most {at_most}, but is {short(value)}")
        else:
            return value
        return 1
