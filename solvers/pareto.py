"""Which points of a table no other point beats."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[Any]
Mask = NDArray[np.bool_]

BLOCK_ROWS = 512  # rows compared at once: 512 x 512 booleans stay in a core's cache


def non_dominated(points: Points, *, keep_equal: bool = True) -> Mask:
    """Which rows no other row dominates, where less is better in every column.

    A row dominates another if it is nowhere greater and somewhere less. Takes O(n log n) for one or two columns,
    else O(n · front) in the worst case, after sorting by rank so that strong rows come first.

    Args:
        points: (num_points, num_columns), integers or floats; inf allowed, NaN not.
        keep_equal: Whether all of several equal rows stay, or only the first.

    Returns:
        (num_points,) bool.
    """
    mask = np.zeros(len(points), np.bool_)
    if len(points) == 0:
        return mask
    order = np.lexsort(points.T[::-1])  # by the first column, then the second, …; equal rows in their own order
    ranked = points[order]
    is_new = np.concatenate(([True], (ranked[1:] != ranked[:-1]).any(axis=1)))
    best = _distinct_front(ranked[is_new])
    mask[order] = best[np.cumsum(is_new) - 1] if keep_equal else _scatter(is_new, best)
    return mask


def fronts_by_key(key: NDArray[np.int64], points: NDArray[np.int64]) -> Mask:
    """Which rows no other row with the same key dominates; of equal rows only the first.

    Args:
        key: (num_points,) int.
        points: (num_points, num_columns) int, at least two columns; ranges of less than 2^62 / number of keys.
    """
    if len(points) == 0:
        return np.zeros(0, np.bool_)
    rank = np.unique(key, return_inverse=True)[1]
    span = np.ptp(points, axis=0) + 1
    apart = points.copy()  # rows with different keys can't dominate each other if those with the later one
    apart[:, 0] += rank * span[0]  # are greater in one column
    apart[:, 1] -= rank * span[1]  # and less in another
    return non_dominated(apart, keep_equal=False)


def _scatter(where: Mask, values: Mask) -> Mask:
    out = np.zeros(len(where), np.bool_)
    out[where] = values
    return out


def _distinct_front(points: Points) -> Mask:
    """`non_dominated` of rows that all differ and are sorted by their columns in turn."""
    if points.shape[1] == 1:
        return np.asarray(np.arange(len(points)) == 0)
    if points.shape[1] == 2:
        least_before = np.minimum.accumulate(points[:-1, 1])
        return np.concatenate(([True], points[1:, 1] < least_before))
    return _front_by_blocks(points)


def _front_by_blocks(points: Points) -> Mask:
    """Goes through the rows by the sum of their ranks: whatever dominates a row comes before it."""
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in points.T], axis=1)
    order = np.argsort(ranks.sum(axis=1), kind="stable")
    front = order[:0]
    for first in range(0, len(order), BLOCK_ROWS):
        block = order[first : first + BLOCK_ROWS]
        for start in range(0, len(front), BLOCK_ROWS):
            block = block[~_dominated(ranks[block], ranks[front[start : start + BLOCK_ROWS]])]
        front = np.concatenate((front, block[~_dominated(ranks[block], ranks[block])]))
    mask = np.zeros(len(points), np.bool_)
    mask[front] = True
    return mask


def _dominated(rows: Points, by: Points) -> Mask:
    """Which rows are dominated by one of `by`; rows are distinct, but may be among `by` themselves."""
    no_greater = np.ones((len(rows), len(by)), np.bool_)
    for column in range(rows.shape[1]):
        no_greater &= by[:, column] <= rows[:, column, None]
    sums = by.sum(axis=1) < rows.sum(axis=1)[:, None]  # ranks are integers: equal sums mean the row itself
    return np.asarray((no_greater & sums).any(axis=1), np.bool_)
