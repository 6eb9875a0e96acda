"""Every efficient way to fill one device: Pareto fronts of cost and use, grown item by item."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshwright.solvers.backend import Clock, TooHardError
from meshwright.solvers.pareto import fronts_by_key
from meshwright.solvers.partition.integers import IntegerPartition
from meshwright.solvers.partition.problem import ChainPartition, IntArray

MOST_ROWS = {1: 200_000}
MOST_ROWS_OTHERWISE = 50_000
"""Rows of a front, by number of resources, beyond which it is given up: exact fronts of items that are all different
may grow exponentially, and with several resources a front takes more than n log n to find."""


@dataclass(frozen=True)
class Moves:
    """What adding one more item to a device can mean, in each position.

    Attributes:
        item: (num_positions, num_moves): the item added, or one that is like it.
        choice: (num_moves,): the choice that it takes.
        next_position: (num_positions, num_moves): where that leads; -1 if the move isn't possible.
        allowed: (num_groups, num_moves) bool: whether the group may ever hold such an item.
    """

    item: IntArray
    choice: IntArray
    next_position: IntArray
    allowed: NDArray[np.bool_]


@dataclass(frozen=True)
class Columns:
    """Fillings of one device, one row each.

    Attributes:
        start: (num_rows,): position before the device's first item.
        end: (num_rows,): position after its last item.
        point: (num_rows, 1 + num_limited): cost, then uses.
        moves: (num_rows, most items a device): the moves taken, in order; -1 behind the last.
        sizes: (num_rows, groups of the device): items in each of its groups.
    """

    start: IntArray
    end: IntArray
    point: IntArray
    moves: NDArray[np.int16]
    sizes: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: IntArray | NDArray[np.bool_]) -> "Columns":
        return Columns(self.start[rows], self.end[rows], self.point[rows], self.moves[rows], self.sizes[rows])

    def front(self) -> "Columns":
        """Only the fillings that no other one from the same start to the same end beats."""
        return self[fronts_by_key(self.start * (self.end.max(initial=0) + 1) + self.end, self.point)]

    def cheapest(self) -> "Columns":
        """The cheapest filling from each start to each end."""
        order = np.lexsort((self.point[:, 0], self.end, self.start))
        start, end = self.start[order], self.end[order]
        is_first = np.concatenate(([True], (start[1:] != start[:-1]) | (end[1:] != end[:-1])))[: len(order)]
        return self[order[is_first]]


def fill_device(
    problem: ChainPartition,
    integers: IntegerPartition,
    moves: Moves,
    device: int,
    starts: IntArray,
    cost_cap: int,
    clock: Clock,
) -> Columns:
    """The cheapest way to fill a device's groups from each of `starts` to every end that it can reach.

    Grows the front of (cost, use of each resource) by one item at a time and keeps only what no other filling of
    the same items beats, which is exact (Nemhauser and Ullmann, Management Science 15(9), 1969).

    Args:
        problem: For sizes and groups.
        integers: The same problem in integers.
        moves: What an added item can be.
        device: Which one.
        starts: Positions before the device's first item.
        cost_cap: Fillings that cost more are of no interest.
        clock: Raises when its time is up.

    Raises:
        TooHardError: Out of time, or the front got too large.
    """
    most = np.concatenate(([cost_cap], integers.limit[device]))
    first = np.concatenate(([integers.device_cost[device]], integers.device_use[device]))
    rows = len(starts) if (first <= most).all() else 0
    columns = Columns(
        start=starts[:rows],
        end=starts[:rows],
        point=np.tile(first, (rows, 1)),
        moves=np.empty((rows, 0), np.int16),
        sizes=np.empty((rows, 0), np.int16),
    )
    for group in problem.groups_of(device):
        columns = _fill_group(columns, problem, integers, moves, int(group), most, clock)
    return columns.cheapest()


def _fill_group(
    columns: Columns,
    problem: ChainPartition,
    integers: IntegerPartition,
    moves: Moves,
    group: int,
    most: IntArray,
    clock: Clock,
) -> Columns:
    """Every efficient filling with this group's items added to `columns`."""
    layers = []
    most_rows = MOST_ROWS.get(integers.limit.shape[1], MOST_ROWS_OTHERWISE)
    for size in range(problem.max_items[group] + 1):
        if size > 0:
            columns = _add_item(columns, integers, moves, group, most)
        if size >= problem.min_items[group]:
            layers.append(_with_size(columns, size))
        if len(columns) == 0:
            break
        if clock.left_s == 0 or len(columns) + sum(map(len, layers)) > most_rows:
            raise TooHardError
    return _stack(layers or [_with_size(columns[np.zeros(0, np.int64)], 0)]).front()


def _add_item(columns: Columns, integers: IntegerPartition, moves: Moves, group: int, most: IntArray) -> Columns:
    """Every efficient filling with one more item."""
    item, choice = moves.item[columns.end], moves.choice
    step = np.concatenate((integers.cost[item, choice][..., None], integers.use[group, item, choice]), axis=-1)
    point = columns.point[:, None, :] + step
    end = moves.next_position[columns.end]
    possible = (end >= 0) & moves.allowed[group] & integers.offered[item, choice]
    row, move = np.nonzero(possible & (point <= most).all(axis=-1))
    grown = Columns(
        start=columns.start[row],
        end=end[row, move],
        point=point[row, move],
        moves=np.column_stack((columns.moves[row], move.astype(np.int16))),
        sizes=columns.sizes[row],
    )
    return grown.front()


def _with_size(columns: Columns, size: int) -> Columns:
    sizes = np.column_stack((columns.sizes, np.full(len(columns), size, np.int16)))
    return Columns(columns.start, columns.end, columns.point, columns.moves, sizes)


def _stack(layers: list[Columns]) -> Columns:
    """One under the other; move lists are padded with -1."""
    width = max(layer.moves.shape[1] for layer in layers)
    padded = [np.pad(c.moves, ((0, 0), (0, width - c.moves.shape[1])), constant_values=-1) for c in layers]
    return Columns(
        np.concatenate([c.start for c in layers]),
        np.concatenate([c.end for c in layers]),
        np.concatenate([c.point for c in layers]),
        np.concatenate(padded),
        np.concatenate([c.sizes for c in layers]),
    )
