"""How groups lie on link levels."""

import numpy as np
import pytest

from meshwright.cost_models.cluster import Accelerator, Cluster, LinkLevel
from meshwright.cost_models.collectives.groups import GroupShapes, level_shares

DEVICE = Accelerator("device", {"bf16": 1e15}, 80e9, 2e12)
RACKS = Cluster(
    "racks",
    DEVICE,
    256,
    8,
    (
        LinkLevel("nvlink", 8, 4e11, 1e-6),
        LinkLevel("leaf", 64, 5e10, 3e-6),
        LinkLevel("spine", 256, 2.5e10, 5e-6),
    ),
)


@pytest.mark.parametrize(
    ("size", "stride", "members"),
    [
        (8, 1, (8, 8, 8)),  # one node
        (16, 1, (8, 16, 16)),  # two nodes
        (16, 8, (1, 8, 16)),  # one device a node, two racks
        (4, 2, (4, 4, 4)),  # every other device of a node
        (8, 2, (4, 8, 8)),  # every other device of two nodes
        (256, 1, (8, 64, 256)),  # all
        (6, 1, (2, 2, 6)),  # ranks 6 to 11 lie on two nodes, some later group on two racks
        (1, 1, (1, 1, 1)),  # alone
    ],
)
def test_members_in_a_domain_of_each_level(size, stride, members):
    """The fewest members that any group of that shape has in a domain it touches."""
    shares = level_shares(RACKS, np.array([size]), np.array([stride]))
    assert tuple(int(share.within[0]) for share in shares) == members


def test_distinct_shapes_give_back_every_row():
    """Size and stride of a row's shape are the row's."""
    rng = np.random.default_rng(0)
    size, stride = rng.choice([1, 2, 8, 24], 1000), rng.choice([1, 4, 16], 1000)
    shapes = GroupShapes.of(size, stride)
    assert len(shapes.size) == 12
    assert (shapes.size[shapes.index] == size).all()
    assert (shapes.stride[shapes.index] == stride).all()


def test_few_rows_of_many_values_stay_rows():
    """No table larger than the rows themselves; shapes broadcast."""
    shapes = GroupShapes.of(np.array([2, 4, 8]), np.array([1, 2, 4]))
    assert len(shapes.size) == 3
    assert GroupShapes.of(np.array([[2], [4]]), np.array([1, 8])).index.shape == (2, 2)
