"""Back ends: lazily imported, chosen by preference, availability and structure, refused in words."""

import subprocess
import sys

import pytest

from meshwright.errors import SolverError
from meshwright.solvers import Backend, Budget, Capabilities, Outcome
from meshwright.solvers.backend import can_import, choose


class Fake(Backend[int, str]):
    """Returns its name; supports problems up to a size."""

    def __init__(self, name: str, packages: tuple[str, ...] = (), largest: int = 100) -> None:
        self.name = name
        self.capabilities = Capabilities(exact=True, packages=packages)
        self.largest = largest

    def supports(self, problem: int) -> bool:
        return problem <= self.largest

    def solve(self, problem: int, budget: Budget) -> Outcome[str]:
        return Outcome.found(self.name, 0.0, 0.0, 0.0)


BACKENDS = (Fake("small", largest=1), Fake("missing", packages=("no_such_package",)), Fake("large"))


@pytest.mark.parametrize(("problem", "name", "chosen"), [(1, None, "small"), (2, None, "large"), (1, "large", "large")])
def test_the_first_that_is_available_and_fits_is_chosen(problem: int, name: str | None, chosen: str) -> None:
    assert choose(BACKENDS, problem, name).name == chosen


@pytest.mark.parametrize(
    ("problem", "name", "message"),
    [
        (1, "unheard", "no back end is called 'unheard'; there are small, missing, large"),
        (2, "small", "small can't solve a problem of this structure"),
        (1, "missing", "missing needs no_such_package, which can't be imported"),
    ],
)
def test_refusals_say_what_is_wrong_and_what_there_is(problem: int, name: str, message: str) -> None:
    with pytest.raises(SolverError, match=message):
        choose(BACKENDS, problem, name)


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
