"""Outcomes: what counts as optimal, and what a gap is."""

import math

import pytest

from meshwright.solvers import Outcome, Status


@pytest.mark.parametrize(
    ("objective", "bound", "status", "gap"),
    [
        (100.0, 100.0, Status.OPTIMAL, 0.0),
        (100.0, 100.0 - 1e-5, Status.OPTIMAL, 0.0),
        (100.0, 110.0, Status.OPTIMAL, 0.0),
        (100.0, 90.0, Status.FEASIBLE, 0.1),
        (100.0, -math.inf, Status.FEASIBLE, math.inf),
        (0.0, 0.0, Status.OPTIMAL, 0.0),
        (0.0, -1.0, Status.FEASIBLE, math.inf),
    ],
)
def test_a_solution_is_optimal_once_its_bound_meets_it(
    objective: float, bound: float, status: Status, gap: float
) -> None:
    outcome = Outcome.found("solution", objective, bound, 0.1)
    assert outcome.status is status
    assert outcome.gap == pytest.approx(gap)


def test_a_bound_never_exceeds_the_objective() -> None:
    assert Outcome.found("solution", 1.0, 1.5, 0.1).bound == 1.0


def test_infeasible_and_unknown_carry_reasons_and_no_solution() -> None:
    infeasible = Outcome[str].infeasible(("memory is limited to 3",), 0.1)
    unknown = Outcome[str].unknown(2.0, 0.1, "out of time")
    assert (infeasible.solution, infeasible.conflicts) == (None, ("memory is limited to 3",))
    assert (unknown.solution, unknown.detail, unknown.bound) == (None, "out of time", 2.0)
    assert math.isinf(unknown.gap)
