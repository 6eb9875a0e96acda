"""Cheapest path through layers of arcs, with a price on the costliest arc as well as on the sum."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshwright.solvers.backend import Clock
from meshwright.solvers.partition.problem import IntArray

NO_PATH = np.iinfo(np.int64).max // 4


@dataclass(frozen=True)
class Layer:
    """Arcs from the positions before a device to those after it, sorted by `target`.

    Attributes:
        source: (num_arcs,): position before.
        target: (num_arcs,): position after.
        cost: (num_arcs,).
        column: (num_arcs,): row of the device's `Columns` that the arc stands for.
    """

    source: IntArray
    target: IntArray
    cost: IntArray
    column: IntArray

    @classmethod
    def of(cls, source: IntArray, target: IntArray, cost: IntArray, column: IntArray) -> "Layer":
        """Sorts the arcs."""
        order = np.argsort(target, kind="stable")
        return cls(source[order], target[order], cost[order], column[order])


@dataclass(frozen=True)
class Path:
    """A path from the first position to the last one.

    Attributes:
        columns: The column of each layer's arc.
        costliest: Cost of the costliest arc.
        total: Sum of the arcs' costs.
    """

    columns: tuple[int, ...]
    costliest: int
    total: int


def cheapest_path(layers: Sequence[Layer], num_positions: int, most: int) -> Path | None:
    """The path of least total cost from position 0 to the last, of arcs that cost at most `most` each."""
    distance = np.full(num_positions, NO_PATH)
    distance[0] = 0
    arrivals = []
    for layer in layers:
        arrival = np.where(layer.cost <= most, distance[layer.source] + layer.cost, NO_PATH)
        arrivals.append(arrival)
        first = np.flatnonzero(np.diff(layer.target, prepend=-1))
        distance = np.full(num_positions, NO_PATH)
        if len(first):
            distance[layer.target[first]] = np.minimum(np.minimum.reduceat(arrival, first), NO_PATH)
    total = int(distance[-1])
    return None if total >= NO_PATH else _trace(layers, arrivals, num_positions - 1, total)


def _trace(layers: Sequence[Layer], arrivals: Sequence[IntArray], position: int, total: int) -> Path:
    """Walks back from the last position."""
    columns, costliest = [], 0
    for layer, arrival in zip(reversed(layers), reversed(arrivals), strict=True):
        low, high = np.searchsorted(layer.target, [position, position + 1])
        arc = low + int(arrival[low:high].argmin())
        columns.append(int(layer.column[arc]))
        costliest = max(costliest, int(layer.cost[arc]))
        position = int(layer.source[arc])
    return Path(tuple(reversed(columns)), costliest, total)


@dataclass(frozen=True)
class Certificate:
    """The best path found, and what no path can beat."""

    path: Path | None
    objective: float
    bound: float


def best_path(
    layers: Sequence[Layer],
    num_positions: int,
    bottleneck_weight: float,
    sum_weight: float,
    floor: int,
    clock: Clock,
) -> Certificate:
    """Minimises bottleneck_weight · max(floor, costliest arc) + sum_weight · total.

    With arcs above a threshold t forbidden, the least total f(t) falls as t grows, so between two thresholds a < b
    nothing beats bottleneck_weight · next(a) + sum_weight · f(b). Intervals where that can't improve are skipped,
    the others are halved.

    Args:
        layers: One a device.
        num_positions: Positions 0 … num_positions − 1.
        bottleneck_weight: At least 0.
        sum_weight: At least 0.
        floor: What the costliest arc counts as at least.
        clock: Stops early when its time is up; the certificate's bound then holds all the same.
    """
    costs = np.unique(np.concatenate([layer.cost for layer in layers]))
    thresholds = np.unique(np.maximum(costs, floor))
    if bottleneck_weight == 0:
        thresholds = thresholds[-1:]
    search = _ThresholdSearch(layers, num_positions, bottleneck_weight, sum_weight, floor, thresholds, clock)
    return search.run()


@dataclass
class _ThresholdSearch:
    layers: Sequence[Layer]
    num_positions: int
    bottleneck_weight: float
    sum_weight: float
    floor: int
    thresholds: IntArray
    clock: Clock
    best: Path | None = None
    objective: float = np.inf

    def run(self) -> Certificate:
        if len(self.thresholds) == 0 or (last := self.path(len(self.thresholds) - 1)) is None:
            return Certificate(None, np.inf, np.inf)
        low = self.least_feasible()
        bound = min(self.objective, self.refine(low, len(self.thresholds) - 1, last.total))
        return Certificate(self.best, self.objective, bound)

    def path(self, index: int) -> Path | None:
        """The cheapest path below a threshold; remembers the best one by objective."""
        path = cheapest_path(self.layers, self.num_positions, int(self.thresholds[index]))
        if path is not None:
            objective = self.price(path.costliest, path.total)
            if objective < self.objective:
                self.best, self.objective = path, objective
        return path

    def price(self, costliest: int, total: int) -> float:
        return self.bottleneck_weight * max(self.floor, costliest) + self.sum_weight * total

    def least_feasible(self) -> int:
        """The lowest threshold that leaves a path."""
        low, high = 0, len(self.thresholds) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.path(middle) is not None else (middle + 1, high)
        return low

    def refine(self, low: int, high: int, total_at_high: int) -> float:
        """Looks for better paths with thresholds low ≤ t < high; returns a bound on what they can reach."""
        if low >= high:
            return np.inf
        bound = self.price(int(self.thresholds[low]), total_at_high)
        if bound >= self.objective or self.clock.left_s == 0:
            return bound
        middle = (low + high) // 2
        path = self.path(middle)
        total = total_at_high if path is None else path.total
        return min(self.refine(low, middle, total), self.refine(middle + 1, high, total_at_high))
