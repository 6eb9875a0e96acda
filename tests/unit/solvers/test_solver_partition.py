"""Chain partition: closed forms, laws, and messages."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.errors import InputError, SolverError
from meshwright.solvers import Budget, ChainPartition, Partition, Status, solve_partition
from meshwright.solvers.backend import Clock
from meshwright.solvers.partition.bounds import capacity_bound
from meshwright.solvers.partition.windows import improve
from meshwright.solvers.testing import PartitionContract

UNLIMITED = [[np.inf]]


def plain(cost: list[float], num_devices: int, **options: object) -> ChainPartition:
    """Items with one choice each and no limits."""
    table = np.array(cost)[:, None]
    return ChainPartition.create(table, np.zeros((*table.shape, 1)), UNLIMITED * num_devices, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("num_items", "num_devices"), [(12, 4), (13, 4), (126, 16), (61, 8)])
def test_alike_items_are_spread_evenly(num_items: int, num_devices: int) -> None:
    """The bottleneck of n alike items on D devices is ceil(n / D)."""
    outcome = solve_partition(plain([1.0] * num_items, num_devices))
    assert outcome.status is Status.OPTIMAL
    assert outcome.objective == -(-num_items // num_devices)


def test_the_textbook_partition_of_one_to_nine() -> None:
    """1 … 9 in three parts: 1 to 5, 6 to 7, 8 to 9 cost 15, 13, 17 (Skiena, The Algorithm Design Manual, §8.5)."""
    outcome = solve_partition(plain([1, 2, 3, 4, 5, 6, 7, 8, 9], 3))
    assert outcome.objective == 17
    assert outcome.solution is not None
    assert outcome.solution.sizes().tolist() == [5, 2, 2]


def test_extras_at_the_ends_take_items_from_the_end_groups() -> None:
    """With 2 extra units at the first and 3 at the last of 4 devices, 19 items end up at 24 / 4 = 6 units each."""
    outcome = solve_partition(plain([1.0] * 19, 4, group_cost=[2, 0, 0, 3]))
    assert outcome.objective == 6
    assert outcome.solution is not None
    assert outcome.solution.sizes().tolist() == [4, 6, 6, 3]


def test_groups_with_more_copies_take_the_thrifty_choice() -> None:
    """With 4, 3, 2, 1 copies alive, only the devices that would overflow pay for the thriftier choice."""
    problem = ChainPartition.create(
        cost=[[1.0, 1.5]] * 8,
        use=np.zeros((8, 2, 1)),
        use_per_copy=[[[1.0], [0.25]]] * 8,
        copies=[4, 3, 2, 1],
        limit=[[5.0]] * 4,
        min_items=2,
        max_items=2,
        sum_weight=1.0,
    )
    outcome = solve_partition(problem)
    assert outcome.status is Status.OPTIMAL
    assert outcome.solution is not None
    # thrifty items a device: 4 copies need 8 -> 5 (one saves 3), 3 need 6 -> 5 (one saves 2.25), the others fit
    assert outcome.solution.choice.reshape(4, 2).sum(axis=1).tolist() == [1, 1, 0, 0]


def test_mirrored_groups_balance_a_heavy_end() -> None:
    """Devices that host groups from both ends (0 1 1 0) balance a chain that grows; a cyclic order (0 1 0 1) can't."""
    cost = [1.0, 2.0, 3.0, 4.0]
    mirrored, cyclic = (plain(cost, 2, device=device) for device in ([0, 1, 1, 0], [0, 1, 0, 1]))
    assert solve_partition(mirrored).objective == 5
    assert solve_partition(cyclic).objective == 6


def chunked(num_items: int, num_devices: int, num_chunks: int, **options: object) -> ChainPartition:
    """Alike items with four choices, interleaved groups, and limits that bind on the first devices."""
    group = np.arange(num_devices * num_chunks)
    per_device = num_items / num_devices
    return ChainPartition.create(
        cost=[[1.0, 1.04, 1.15, 1.33]] * num_items,
        use=[[[3.0]] * 4] * num_items,
        use_per_copy=[[[1.0], [0.7], [0.45], [0.1]]] * num_items,
        copies=np.round(2 * (num_devices - group % num_devices) / num_chunks + num_chunks - 1 - group // num_devices),
        limit=[[per_device * (3 + 0.2 * num_devices)]] * num_devices,
        device=group % num_devices,
        max_items=int(np.ceil(num_items / len(group))) + 1,
        bottleneck_weight=8.0,
        sum_weight=1.0,
        **options,  # type: ignore[arg-type]
    )


def test_the_problem_stated_as_goal_is_solved_to_optimality() -> None:
    """128 items over 16 × 4 groups with 4 choices an item."""
    problem = chunked(128, 16, 4)
    outcome = solve_partition(problem, Budget(time_limit_s=20.0))
    assert outcome.status is Status.OPTIMAL
    assert outcome.solution is not None
    assert problem.violations(outcome.solution) == ()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 1.5))
def test_more_room_never_costs_more(seed: int, more: float) -> None:
    """Raising a limit can't make the optimum worse."""
    rng = np.random.default_rng(seed)
    problem = ChainPartition.create(
        np.sort(rng.uniform(1, 2, (12, 3)), axis=1),
        -np.sort(-rng.uniform(1, 2, (12, 3, 1)), axis=1),
        rng.uniform(5, 7, (3, 1)),
        sum_weight=0.5,
    )
    roomier = replace(problem, limit=problem.limit * more)
    assert solve_partition(roomier).objective <= solve_partition(problem).objective * (1 + 1e-6)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1e-9, 1e-3, 1e6]), st.sampled_from([1e-6, 1e9, 1e13]))
def test_units_do_not_matter(seed: int, cost_unit: float, use_unit: float) -> None:
    """Nanoseconds or days, bytes or gibibytes: the optimum scales with the unit of cost."""
    rng = np.random.default_rng(seed)
    cost, use = np.sort(rng.uniform(1, 2, (10, 2)), axis=1), -np.sort(-rng.uniform(1, 2, (10, 2, 1)), axis=1)
    limit = rng.uniform(5, 7, (3, 1))
    outcome = solve_partition(ChainPartition.create(cost, use, limit))
    scaled = solve_partition(ChainPartition.create(cost * cost_unit, use * use_unit, limit * use_unit))
    assert scaled.status is outcome.status
    assert scaled.objective == pytest.approx(outcome.objective * cost_unit)


@pytest.mark.parametrize("seed", range(5))
def test_the_capacity_bound_is_below_every_partition_found(seed: int) -> None:
    """Over different items with tight limits, where it is far from trivial."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.7, 1.3, (24, 1))
    problem = ChainPartition.create(
        size * (1, 1.2, 1.5), (size * (3, 2, 1))[..., None], [[11.0]] * 4, device=np.arange(8) % 4
    )
    outcome = solve_partition(problem, Budget(time_limit_s=0.5), "local-search")
    assert size.sum() / 4 < capacity_bound(problem) <= outcome.objective


def test_improving_never_makes_worse() -> None:
    """From a lopsided but feasible start, the windows lead to the optimum of an easy problem."""
    problem = plain([1.0] * 16, 4, device=[0, 1, 2, 3] * 2)
    start = Partition(np.array([0, 9, 10, 11, 12, 13, 14, 15, 16]), np.zeros(16, np.int64))
    better = improve(problem, start, 0.0, Clock(Budget()))
    assert problem.evaluate(better).objective == 4


@pytest.mark.parametrize("seed", [148, 595])
def test_local_search_finds_what_greedy_fills_miss(seed: int) -> None:
    """Tight problems in which no greedy fill fits, but exact windows repair one."""
    problem = PartitionContract().small(seed)
    assert solve_partition(problem, backend="greedy").status is Status.UNKNOWN
    outcome = solve_partition(problem, backend="local-search")
    assert outcome.solution is not None
    assert problem.violations(outcome.solution) == ()


def test_infeasible_names_the_limits_that_conflict() -> None:
    """Only device 1 is too small; its limit alone is named."""
    outcome = solve_partition(
        ChainPartition.create(np.ones((6, 1)), np.ones((6, 1, 1)), [[6.0], [0.5], [6.0]], resource_names=("memory",))
    )
    assert outcome.status is Status.INFEASIBLE
    assert outcome.conflicts == ("memory of device 1 is limited to 0.5",)


def test_too_few_items_for_the_groups_is_infeasible_in_words() -> None:
    outcome = solve_partition(plain([1.0, 1.0], 3))
    assert outcome.status is Status.INFEASIBLE
    assert outcome.conflicts == ("2 items don't fit into 3 groups of sizes [1, 1, 1] … [2, 2, 2]",)


def test_all_problems_of_the_input_are_reported_with_values() -> None:
    with pytest.raises(InputError) as error:
        ChainPartition.create([[-1.0], [np.inf]], [[[1.0]], [[1.0]]], [[1.0]], device=[1])
    assert error.value.problems == (
        "`cost` must be at least 0, but got -1.0",
        "`device` must lie in 0 … 0, but got [1]",
        "items [1] offer no choice: their whole row of `cost` is inf",
    )


def test_dynamic_programming_refuses_what_it_cannot_solve_exactly() -> None:
    with pytest.raises(SolverError, match="can't solve a problem of this structure"):
        solve_partition(plain([1.0, 2.0, 3.0, 4.0], 2, device=[0, 1, 0, 1]), backend="dynamic-programming")
