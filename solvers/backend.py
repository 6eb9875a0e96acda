"""Back ends: what each can do, whether it can run here, and the choice among several for one problem."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Generic, TypeVar

from meshwright.errors import SolverError
from meshwright.solvers.outcome import Outcome

P = TypeVar("P")
S = TypeVar("S")


@dataclass(frozen=True)
class Budget:
    """How hard to try.

    Attributes:
        time_limit_s: Wall-clock limit; the best solution found by then is returned with its gap.
        relative_gap: Stop as soon as the gap is proven to be at most this.
        seed: Of every random choice. The same seed gives the same answer, unless the time limit cuts a run short.
    """

    time_limit_s: float = 10.0
    relative_gap: float = 0.0
    seed: int = 0


@dataclass
class Clock:
    """Time since a solver began, and what its budget leaves."""

    budget: Budget
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Wall-clock time since the start."""
        return time.perf_counter() - self.began

    @property
    def left_s(self) -> float:
        """Time left, at least 0."""
        return max(0.0, self.budget.time_limit_s - self.seconds)

    def share(self, part: float) -> "Clock":
        """A clock that starts now and runs for a part of the time that is left."""
        return Clock(replace(self.budget, time_limit_s=self.left_s * part))


class TooHardError(Exception):
    """An exact method ran out of time or memory. Back ends turn it into an outcome; it never leaves this package."""


@dataclass(frozen=True)
class Capabilities:
    """What a back end promises.

    Attributes:
        exact: With enough time it proves optimality, or infeasibility, of every problem it `supports`.
        packages: Import names of the packages that it needs beyond NumPy.
    """

    exact: bool
    packages: tuple[str, ...] = ()


class Backend(ABC, Generic[P, S]):
    """One way of solving problems of type `P`; solutions have type `S`.

    Back ends hold no state, so one instance may be used by many threads at once. They import what they need only
    when asked to solve.

    Attributes:
        name: What users call it.
        capabilities: What it promises.
    """

    name: str
    capabilities: Capabilities

    def is_available(self) -> bool:
        """Whether it can run here. Never raises."""
        return all(can_import(package) for package in self.capabilities.packages)

    def supports(self, problem: P) -> bool:  # noqa: ARG002
        """Whether it can solve a problem of this structure."""
        return True

    def suits(self, problem: P) -> bool:
        """Whether, among those that support it, this is a good choice for a problem of this size."""
        return self.supports(problem)

    @abstractmethod
    def solve(self, problem: P, budget: Budget) -> Outcome[S]:
        """The best solution within the budget. Running out of time is an outcome, never an exception."""


def can_import(package: str) -> bool:
    """Whether a package can be imported; a broken installation counts as none."""
    try:
        import_module(package)
    except Exception:  # whatever a broken package raises, it can't be used
        return False
    return True


def choose(backends: Sequence[Backend[P, S]], problem: P, name: str | None = None) -> Backend[P, S]:
    """The back end called `name`, or without a name the first that is available and suits the problem.

    Args:
        backends: In order of preference; those that rely on no package come last as the fallback.
        problem: What is to be solved.
        name: A back end's name, or None.

    Raises:
        SolverError: The name is unknown, its package is missing, or no back end fits.
    """
    wanted = [b for b in backends if name in {None, b.name}]
    if not wanted:
        raise SolverError(f"no back end is called {name!r}; there are {', '.join(b.name for b in backends)}")
    fitting = [b for b in wanted if (b.suits(problem) if name is None else b.supports(problem))]
    if not fitting:
        raise SolverError(f"{', '.join(b.name for b in wanted)} can't solve a problem of this structure")
    for backend in fitting:
        if backend.is_available():
            return backend
    packages = sorted({package for b in fitting for package in b.capabilities.packages})
    raise SolverError(f"{', '.join(b.name for b in fitting)} needs {', '.join(packages)}, which can't be imported")
