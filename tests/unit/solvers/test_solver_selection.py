"""Selections: knapsacks with known answers, and what lanes and tiers do."""

import numpy as np
import pytest

from meshwright.errors import InputError
from meshwright.solvers import Budget, Selection, Status, solve_selection
from meshwright.solvers.upgrade import cheapest_fit


@pytest.mark.parametrize("backend", ["cp-sat", "greedy"])
def test_moves_what_costs_least_per_unit_of_room(backend: str) -> None:
    """3 units too much: of items of equal size, the one that is cheapest to move goes."""
    problem = Selection.create(
        cost=[[0.0, 5.0], [0.0, 2.0], [0.0, 7.0]],
        use=[[[3.0, 0.0], [0.0, 3.0]]] * 3,
        limit=[6.0, np.inf],
        resource_names=("fast tier", "slow tier"),
    )
    outcome = solve_selection(problem, backend=backend)
    assert outcome.solution is not None
    assert outcome.solution.tolist() == [0, 1, 0]


def test_greedy_can_be_caught_by_a_knapsack_that_constraint_programming_solves() -> None:
    """Value per unit favours the small item, but only the large one frees enough."""
    problem = Selection.create(
        cost=[[0.0, 1.0], [0.0, 6.0]], use=[[[2.0], [0.0]], [[8.0], [0.0]]], limit=[5.0], load=None
    )
    assert solve_selection(problem, backend="cp-sat").objective == 6
    assert solve_selection(problem, backend="greedy").objective >= 6


def test_a_load_below_the_busiest_lane_is_free() -> None:
    """Transfers that fit beside 10 units of other work cost nothing; more would."""
    problem = Selection.create(
        cost=np.zeros((6, 2)),
        use=[[[1.0], [0.0]]] * 6,
        limit=[3.0],
        load=[[[0.0, 0.0], [0.0, 3.0]]] * 6,
        base_load=[10.0, 0.0],
    )
    outcome = solve_selection(problem, backend="cp-sat")
    assert outcome.status is Status.OPTIMAL
    assert outcome.objective == 10
    assert outcome.solution is not None
    assert outcome.solution.sum() == 3


def test_many_alike_items_cost_no_more_time_than_few() -> None:
    """A thousand items of two types are two counts a choice."""
    cost = np.repeat([[0.0, 1.0, 2.5], [0.0, 2.0, 3.0]], 500, axis=0)
    use = np.repeat([[[4.0], [2.0], [0.0]], [[6.0], [3.0], [1.0]]], 500, axis=0)
    outcome = solve_selection(Selection.create(cost, use, [2000.0]), Budget(5.0), "cp-sat")
    assert outcome.status is Status.OPTIMAL


def test_infeasible_names_the_tier() -> None:
    problem = Selection.create([[1.0]], [[[2.0, 1.0]]], [1.0, 1.0], resource_names=("HBM", "host"))
    assert solve_selection(problem).conflicts == ("HBM is limited to 1, but at least 2 is needed",)


def test_two_tiers_that_are_too_small_together_are_both_named() -> None:
    """Each item fits either tier, but all of them don't fit both."""
    problem = Selection.create(
        [[1.0, 1.0]] * 3, [[[2.0, 0.0], [0.0, 2.0]]] * 3, [3.0, 3.0], resource_names=("HBM", "host")
    )
    outcome = solve_selection(problem, backend="cp-sat")
    assert outcome.status is Status.INFEASIBLE
    assert outcome.conflicts == ("HBM is limited to 3", "host is limited to 3")


def test_steps_back_when_a_later_change_made_room() -> None:
    """The first change turns out to be needless once the second is made, and is undone."""
    choice = cheapest_fit(
        np.array([[0.0, 1.0], [0.0, 6.0]]), np.array([[[2.0], [0.0]], [[8.0], [0.0]]]), np.array([5.0])
    )
    assert choice is not None
    assert choice.tolist() == [0, 1]


def test_shapes_that_do_not_fit_are_shown() -> None:
    with pytest.raises(InputError, match=r"but got \(1, 1\), \(1, 1\), \(1,\), \(1, 1, 1\)"):
        Selection.create([[1.0]], [[1.0]], [1.0])
