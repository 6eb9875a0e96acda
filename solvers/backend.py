"""Back ends: what each can do, whether it can run here, and the choice among several for one problem."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Generic, TypeVar

from meshwright.errors import SolverError
from meshwright.solvers.outcome import Outcome, Status

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
        """Whether to try it on this problem when the user names no back end."""
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


def solve_with(backends: Sequence[Backend[P, S]], problem: P, budget: Budget, name: str | None = None) -> Outcome[S]:
    """Solves with the back end called `name`; without a name, with those that suit in turn until one settles it.

    Args:
        backends: In order of preference; one of them needs no package and suits every problem.
        problem: What is to be solved.
        budget: For all of them together: each but the last gets half of the time that is left.
        name: A back end's name, or None.

    Raises:
        SolverError: The name is unknown, its package is missing, or it can't solve such a problem.
    """
    if name is not None:
        return _named(backends, problem, name).solve(problem, budget)
    clock = Clock(budget)
    suitable = [b for b in backends if b.suits(problem) and b.is_available()]
    best: Outcome[S] = Outcome.unknown(-math.inf, 0.0, "")
    for backend in suitable:
        share = 1.0 if backend is suitable[-1] else 0.5
        best = best.merge(backend.solve(problem, clock.share(share).budget), clock.seconds)
        if best.gap <= budget.relative_gap or best.status is Status.INFEASIBLE or clock.left_s == 0:
            break
    return best


def _named(backends: Sequence[Backend[P, S]], problem: P, name: str) -> Backend[P, S]:
    """The back end of that name, if it can solve the problem here."""
    backend = {b.name: b for b in backends}.get(name)
    if backend is None:
        raise SolverError(f"no back end is called {name!r}; there are {', '.join(b.name for b in backends)}")
    if not backend.supports(problem):
        raise SolverError(f"{name} can't solve a problem of this structure")
    if not backend.is_available():
        raise SolverError(f"{name} needs {', '.join(backend.capabilities.packages)}, which can't be imported")
    return backend
