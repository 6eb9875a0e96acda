"""Choices along a chain: closed forms, laws, and equal optima of all exact back ends."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.errors import InputError
from meshwright.solvers import Budget, ChainChoice, Status, solve_chain_choice
from meshwright.solvers.transitions.lagrangian import relax


def random_chain(seed: int, num_items: int = 30, num_choices: int = 5, *, alike: bool = False) -> ChainChoice:
    """Dearer choices use less; half of the room that the cheapest ones would take beyond the thriftiest."""
    rng = np.random.default_rng(seed)
    cost = np.broadcast_to(rng.uniform(1, 2, (1 if alike else num_items, num_choices)), (num_items, num_choices))
    use = np.maximum(0.1, 3 - cost + rng.normal(0, 0.1, num_choices))
    transition = rng.uniform(0, 0.3, (num_choices, num_choices)) * (1 - np.eye(num_choices))
    least, most = use.min(axis=1).sum(), use[np.arange(num_items), cost.argmin(axis=1)].sum()
    return ChainChoice.create(cost, use, transition, (least + most) / 2)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alike", [False, True])
def test_the_integer_programme_and_dynamic_programming_agree(seed: int, *, alike: bool) -> None:
    """Two exact methods with nothing in common beyond the relaxation that they begin with."""
    problem = random_chain(seed, num_items=14, num_choices=4, alike=alike)
    by_dp, by_ilp = (solve_chain_choice(problem, Budget(30.0), name) for name in ("dynamic-programming", "ilp"))
    assert by_dp.status is by_ilp.status is Status.OPTIMAL
    assert by_dp.objective == pytest.approx(by_ilp.objective, rel=1e-6)


def test_free_transitions_leave_every_item_its_cheapest_choice() -> None:
    problem = replace(random_chain(0), transition=np.zeros((29, 5, 5)), limit=np.inf)
    assert solve_chain_choice(problem).objective == pytest.approx(problem.cost.min(axis=1).sum())


def test_impossible_transitions_give_one_choice_for_all() -> None:
    """With only equal neighbours allowed, the best uniform choice wins."""
    problem = random_chain(0)
    only_equal = np.where(np.eye(5, dtype=bool), 0.0, np.inf)
    problem = replace(problem, transition=np.broadcast_to(only_equal, (29, 5, 5)))
    uniform = problem.cost.sum(axis=0)[problem.use.sum(axis=0) <= problem.limit].min()
    assert solve_chain_choice(problem).objective == pytest.approx(uniform)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 1.3))
def test_more_room_never_costs_more(seed: int, more: float) -> None:
    problem = random_chain(seed, num_items=12, num_choices=3)
    roomier = replace(problem, limit=problem.limit * more)
    assert solve_chain_choice(roomier).objective <= solve_chain_choice(problem).objective * (1 + 1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_relaxation_encloses_the_optimum(seed: int) -> None:
    """Its bound lies below, its solution above."""
    problem = random_chain(seed, num_items=12, num_choices=3)
    relaxation, outcome = relax(problem), solve_chain_choice(problem)
    assert relaxation.choice is not None
    assert relaxation.bound <= outcome.objective * (1 + 1e-9)
    assert problem.objective(relaxation.choice) >= outcome.objective * (1 - 1e-9)


def test_one_item_takes_its_cheapest_choice_that_fits() -> None:
    problem = ChainChoice.create([[1.0, 2.0, 3.0]], [[9.0, 5.0, 1.0]], np.zeros((3, 3)), 6.0)
    outcome = solve_chain_choice(problem)
    assert outcome.solution is not None
    assert outcome.solution.tolist() == [1]


def test_infeasible_says_how_much_is_needed() -> None:
    problem = ChainChoice.create([[1.0, 2.0]] * 3, [[3.0, 2.0]] * 3, np.zeros((2, 2)), 5.0, "memory")
    assert solve_chain_choice(problem).conflicts == ("memory is limited to 5, but at least 6 is needed",)


def test_shapes_that_do_not_fit_are_shown() -> None:
    with pytest.raises(InputError, match=r"but got \(3, 2\), \(3, 2\) and \(3, 3\)"):
        ChainChoice.create(np.ones((3, 2)), np.ones((3, 2)), np.ones((3, 3)), 1.0)
