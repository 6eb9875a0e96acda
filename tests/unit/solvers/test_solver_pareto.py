"""Pareto fronts equal their definition, for any number of columns, ties, duplicates and infinities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshwright.solvers import non_dominated, pareto

few_values = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.inf])
tables = st.tuples(st.integers(0, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=few_values)
)


def by_definition(points: np.ndarray) -> list[bool]:
    return [not any((q <= p).all() and (q < p).any() for q in points) for p in points]


@given(tables)
def test_equals_the_definition(points: np.ndarray) -> None:
    assert non_dominated(points).tolist() == by_definition(points)


@given(tables)
def test_keeps_the_first_of_equal_rows_on_request(points: np.ndarray) -> None:
    expected, seen = [], set()
    for row, is_best in zip(points.tolist(), by_definition(points), strict=True):
        expected.append(is_best and tuple(row) not in seen)
        seen.add(tuple(row))
    assert non_dominated(points, keep_equal=False).tolist() == expected


def test_blocks_smaller_than_the_front_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).random((300, 4))
    expected = non_dominated(points)
    monkeypatch.setattr(pareto, "BLOCK_ROWS", 7)
    assert np.array_equal(non_dominated(points), expected)


@given(arrays(np.int64, st.tuples(st.integers(0, 15), st.just(4)), elements=st.integers(0, 3)))
def test_fronts_by_key_are_the_fronts_of_each_key(table: np.ndarray) -> None:
    key, points = table[:, 0], table[:, 1:]
    expected = np.zeros(len(table), bool)
    for k in np.unique(key):
        expected[key == k] = non_dominated(points[key == k], keep_equal=False)
    assert np.array_equal(pareto.fronts_by_key(key, points), expected)
