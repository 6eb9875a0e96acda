"""Back ends: lazily imported, chosen by preference, availability and structure, refused in words."""

import subprocess
import sys

import pytest

from meshwright.errors import SolverError
from meshwright.solvers import Backend, Budget, Capabilities, Outcome
from meshwright.solvers.backend import can_import, solve_with


class Fake(Backend[int, str]):
    """Finds `objective` and proves `bound`; supports problems up to a size."""

    def __init__(
        self, name: str, objective: float, bound: float, packages: tuple[str, ...] = (), largest: int = 100
    ) -> None:
        self.name, self.objective, self.bound, self.largest = name, objective, bound, largest
        self.capabilities = Capabilities(exact=True, packages=packages)

    def supports(self, problem: int) -> bool:
        return problem <= self.largest

    def solve(self, problem: int, budget: Budget) -> Outcome[str]:
        return Outcome.found(self.name, self.objective, self.bound, 0.0)


BACKENDS = (
    Fake("small", 5.0, 5.0, largest=1),
    Fake("missing", 1.0, 1.0, packages=("no_such_package",)),
    Fake("weak bound", 8.0, 1.0),
    Fake("strong bound", 9.0, 7.0),
)


def test_the_first_back_end_that_settles_a_problem_is_the_last_one_asked() -> None:
    assert solve_with(BACKENDS, 1, Budget()).solution == "small"


def test_back_ends_in_turn_give_the_best_solution_and_the_best_bound() -> None:
    outcome = solve_with(BACKENDS, 2, Budget())
    assert (outcome.solution, outcome.objective, outcome.bound) == ("weak bound", 8.0, 7.0)


def test_a_named_back_end_is_the_only_one_asked() -> None:
    assert solve_with(BACKENDS, 1, Budget(), "strong bound").objective == 9.0


@pytest.mark.parametrize(
    ("problem", "name", "message"),
    [
        (1, "unheard", "no back end is called 'unheard'; there are small, missing, weak bound, strong bound"),
        (2, "small", "small can't solve a problem of this structure"),
        (1, "missing", "missing needs no_such_package, which can't be imported"),
    ],
)
def test_refusals_say_what_is_wrong_and_what_there_is(problem: int, name: str, message: str) -> None:
    with pytest.raises(SolverError, match=message):
        solve_with(BACKENDS, problem, Budget(), name)


def test_a_broken_package_counts_as_not_installed(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("raise RuntimeError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    assert not can_import("broken_package")


def test_importing_the_solvers_loads_no_solver_package() -> None:
    code = (
        "import sys, meshwright.solvers; "
        "print([m for m in ('ortools', 'pulp', 'highspy', 'scipy', 'pandas') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert shown.stdout.strip() == "[]"
