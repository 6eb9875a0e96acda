"""Enumeration is exact: it keeps what sorting the whole space would, however the space arrives, and counts the rest."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from meshwright.solvers import Ranking, search

Rows = NDArray[np.float64]  # a row is (bound, price)

rows = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.booleans(), st.booleans()), min_size=1, max_size=40)


def to_space(drawn: list[tuple[int, int, bool, bool]]) -> Rows:
    """Prices at or above their bounds; some infeasible by price, some already by bound."""
    bound, extra, by_price, by_bound = (np.array(column, float) for column in zip(*drawn, strict=True))
    price = np.where(by_price + by_bound > 0, np.inf, bound + extra)
    return np.stack((np.where(by_bound > 0, np.inf, bound), price), axis=1)


def run(space: Rows, chunk: int, keep: int, slack: float, batch: int) -> Ranking[Rows]:
    chunks = [space[i : i + chunk] for i in range(0, len(space), chunk)]
    return search(chunks, lambda t: t[:, 0], lambda t: t[:, 1], stack, keep, slack, batch)


def stack(tables: Sequence[Rows]) -> Rows:
    return np.concatenate(tables)


@given(rows, st.integers(1, 50), st.integers(1, 8), st.sampled_from([0.0, 0.3]), st.integers(1, 50))
def test_keeps_what_sorting_everything_would(
    drawn: list[tuple[int, int, bool, bool]], chunk: int, keep: int, slack: float, batch: int
) -> None:
    space = to_space(drawn)
    found = run(space, chunk, keep, slack, batch)
    ranked = sorted((price, number) for number, price in enumerate(space[:, 1]) if np.isfinite(price))
    cutoff = ranked[keep - 1][0] * (1 + slack) if len(ranked) >= keep else np.inf
    expected = [(price, number) for price, number in ranked if price <= cutoff]
    assert list(zip(found.objective.tolist(), found.number.tolist(), strict=True)) == expected
    if found.rows is not None:
        assert np.array_equal(found.rows, space[found.number])


@given(rows, st.integers(1, 50), st.integers(1, 8), st.integers(1, 50))
def test_every_row_is_accounted_for_once(
    drawn: list[tuple[int, int, bool, bool]], chunk: int, keep: int, batch: int
) -> None:
    space = to_space(drawn)
    found = run(space, chunk, keep, 0.0, batch)
    assert found.num_seen == len(space) == found.num_pruned + found.num_infeasible + found.num_priced


@given(rows, st.integers(1, 50), st.integers(1, 8))
def test_no_feasible_row_is_below_the_least_bound(
    drawn: list[tuple[int, int, bool, bool]], chunk: int, keep: int
) -> None:
    space = to_space(drawn)
    assert run(space, chunk, keep, 0.0, 8).least_bound <= space[:, 1].min()


def test_a_good_bound_saves_pricing() -> None:
    """With bounds equal to prices, only the first batch is priced."""
    prices = np.random.default_rng(0).permutation(10_000).astype(float)
    found = run(np.stack((prices, prices), axis=1), 10_000, 5, 0.0, 100)
    assert found.objective.tolist() == [0, 1, 2, 3, 4]
    assert found.num_priced == 100


def test_an_infeasible_space_gives_an_empty_ranking() -> None:
    found = run(np.array([[np.inf, np.inf], [1.0, np.inf]]), 1, 3, 0.0, 10)
    assert (found.rows, len(found.objective), found.num_infeasible) == (None, 0, 2)
