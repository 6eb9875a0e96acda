"""How a group of ranks lies on the nested link levels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.candidates import BoolColumn, FloatColumn, IntColumn
from meshwright.cost_models.cluster import Cluster, LinkLevel


@dataclass(frozen=True, slots=True)
class LevelShare:
    """How groups lie on one level; columns have one row a group shape.

    Attributes:
        level: The link level.
        below: Members of a group in one domain of the level below (1 below the first level).
        within: Members of a group in one domain of this level.
    """

    level: LinkLevel
    below: FloatColumn
    within: FloatColumn

    @property
    def crosses(self) -> BoolColumn:
        """Whether a group sends anything over this level."""
        return self.within > self.below

    @property
    def branching(self) -> FloatColumn:
        """Domains of the level below that a group touches in one domain of this level."""
        return self.within / self.below


def level_shares(cluster: Cluster, size: IntColumn, stride: IntColumn) -> Sequence[LevelShare]:
    """How groups of `size` ranks, `stride` apart, lie on each level, nearest first."""
    shares: list[LevelShare] = []
    below = np.ones(size.shape)
    for level in cluster.filled_levels[:-1]:
        within = np.maximum(_members(level.extent, size, stride), below)
        shares.append(LevelShare(level, below, within))
        below = within
    shares.append(LevelShare(cluster.filled_levels[-1], below, size.astype(np.float64)))
    return shares


def _members(extent: int, size: IntColumn, stride: IntColumn) -> FloatColumn:
    """Members of a group in one domain of `extent` devices; the fewest, where domains cut groups unevenly."""
    span = size * stride
    members = np.clip(extent // stride, 1, size)
    uneven = (span % extent != 0) & (extent % span != 0)
    if uneven.any():
        fewest = np.clip(np.gcd(span, extent) // stride, 1, size)
        members = np.where(uneven, fewest, members)
    return members.astype(np.float64)


@dataclass(frozen=True, slots=True)
class GroupShapes:
    """The distinct shapes among many groups: a search prices 10^5 rows, but few shapes.

    Attributes:
        size: Ranks of each distinct shape, (num_shapes,).
        stride: Distance of consecutive ranks, (num_shapes,).
        index: For every row, its shape.
    """

    size: IntColumn
    stride: IntColumn
    index: IntColumn

    @classmethod
    def of(cls, size: IntColumn, stride: IntColumn) -> "GroupShapes":
        """The shapes of rows of sizes and strides, which broadcast (without sorting: values are small)."""
        sizes, size_index = _distinct(size)
        strides, stride_index = _distinct(stride)
        rows = np.broadcast_shapes(size.shape, stride.shape)
        if len(sizes) * len(strides) > np.prod(rows, dtype=np.int64):
            size, stride = (np.broadcast_to(column, rows) for column in (size, stride))
            return cls(size.ravel(), stride.ravel(), np.arange(size.size).reshape(rows))
        index = size_index * len(strides) + stride_index
        return cls(np.repeat(sizes, len(strides)), np.tile(strides, len(sizes)), index)


def _distinct(values: IntColumn) -> tuple[IntColumn, IntColumn]:
    """Distinct values, ascending, and each row's index into them."""
    present = np.zeros(int(values.max(initial=0)) + 1, dtype=np.bool_)
    present[values] = True
    position = np.cumsum(present) - 1
    return np.flatnonzero(present).astype(np.int64), position[values].astype(np.int64)
