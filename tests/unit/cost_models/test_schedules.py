"""What schedules are made of: orders, placements, the proof that they can run, and their names."""

from dataclasses import replace

import numpy as np
import pytest

from meshwright.cost_models.schedules import (
    SCHEDULES,
    OpKind,
    Orders,
    PipelineShape,
    StageMap,
    check_legality,
    custom_schedule,
    loop_stages,
    schedule_named,
    v_stages,
)
from meshwright.cost_models.schedules.one_f_one_b import Interleaved
from meshwright.errors import AxisError

F, BW, B, W = OpKind.FORWARD, OpKind.BACKWARD, OpKind.BACKWARD_INPUT, OpKind.BACKWARD_WEIGHT


def sequence(orders: Orders, device: int) -> list[tuple[int, int, int]]:
    """(kind, micro-batch, stage) of a device's ops."""
    ops = slice(orders.device_start[device], orders.device_start[device + 1])
    return list(zip(orders.kind[ops], orders.micro_batch[ops], orders.stage[ops], strict=True))


def swapped(orders: Orders, first: int, second: int) -> Orders:
    """The orders with two ops exchanged."""
    order = np.arange(len(orders))
    order[[first, second]] = order[[second, first]]
    columns = ("kind", "micro_batch", "stage")
    return replace(orders, **{name: getattr(orders, name)[order] for name in columns})


def test_1f1b_is_a_warm_up_then_pairs() -> None:
    """Device i of p runs p-i-1 forward passes, then forward and backward in turn."""
    orders = schedule_named("1f1b").orders(PipelineShape(3, 4))
    assert sequence(orders, 0) == [
        (F, 0, 0), (F, 1, 0), (F, 2, 0), (BW, 0, 0), (F, 3, 0), (BW, 1, 0), (BW, 2, 0), (BW, 3, 0),
    ]  # fmt: skip
    assert [kind for kind, _, _ in sequence(orders, 2)] == [F, BW] * 4


def test_interleaving_takes_groups_of_micro_batches_through_a_chunk() -> None:
    """Two devices, two chunks: micro-batches 0 and 1 through chunk 0, then through chunk 1, then the next two."""
    orders = schedule_named("interleaved").orders(PipelineShape(2, 4, 2))
    forward = [(batch, stage) for kind, batch, stage in sequence(orders, 0) if kind == F]
    backward = [(batch, stage) for kind, batch, stage in sequence(orders, 0) if kind == BW]
    assert forward == [(0, 0), (1, 0), (0, 2), (1, 2), (2, 0), (3, 0), (2, 2), (3, 2)]
    assert backward == [(0, 2), (1, 2), (0, 0), (1, 0), (2, 2), (3, 2), (2, 0), (3, 0)]


def test_interleaving_enlarges_groups_until_the_last_one_is_long_enough() -> None:
    """20 micro-batches over 8 devices make two groups of 10; groups of 8 would leave 4."""
    shape = PipelineShape(8, 20, 2)
    default, chosen = Interleaved().orders(shape), Interleaved(group_size=10).orders(shape)
    assert (default.micro_batch == chosen.micro_batch).all()
    with pytest.raises(AxisError, match=r"m=20, group_size=8, p=8"):
        Interleaved(group_size=8).orders(shape)
    with pytest.raises(AxisError, match="group_size >= p"):
        Interleaved(group_size=5).orders(shape)


def test_more_micro_batches_a_group_need_more_memory() -> None:
    """A longer warm-up is the price of longer groups."""
    shape = PipelineShape(4, 16, 2)
    assert Interleaved(group_size=8).peak_activations(shape) == Interleaved().peak_activations(shape) + 2


def test_v_shapes_turn_round_on_the_last_device() -> None:
    """Stage 0 and the last stage live on device 0; a device's second chunk comes on the way back."""
    stages = v_stages(3)
    assert stages.device.tolist() == [0, 1, 2, 2, 1, 0]
    assert stages.chunk.tolist() == [0, 0, 0, 1, 1, 1]
    assert loop_stages(2, 2).device.tolist() == [0, 1, 0, 1]


def test_dualpipe_runs_two_copies_in_opposite_directions() -> None:
    """Half of the micro-batches enter at either end, and passes of opposite directions run together."""
    orders = schedule_named("dualpipe").orders(PipelineShape(4, 8))
    assert orders.stages.device.tolist() == [0, 1, 2, 3, 3, 2, 1, 0]
    assert sequence(orders, 0)[0] == (F, 0, 0)
    assert sequence(orders, 3)[0] == (F, 4, 4)
    (pairs,) = np.nonzero(orders.overlaps_next)
    assert pairs.size
    assert (orders.kind[pairs] == F).all()
    assert (orders.kind[pairs + 1] == BW).all()
    assert ((orders.stage[pairs] < 4) != (orders.stage[pairs + 1] < 4)).all()


@pytest.mark.parametrize(
    ("name", "p", "m", "message"),
    [
        ("dualpipe", 3, 12, "p % 2 == 0"),
        ("dualpipe", 4, 7, "m % 2 == 0"),
        ("dualpipev", 4, 7, "m >= 2p"),
        ("1f1b", 0, 4, "num_devices"),
        ("zb-v", 4, 0, "num_micro_batches"),
    ],
)
def test_impossible_sizes_say_which_condition_fails(name: str, p: int, m: int, message: str) -> None:
    """With the values."""
    with pytest.raises(AxisError, match=message):
        schedule_named(name).orders(PipelineShape(p, m))


def test_unknown_names_list_the_known_ones() -> None:
    """So that a typo is easy to mend."""
    with pytest.raises(AxisError, match=r"1f1b.*zb-v"):
        schedule_named("1f2b")


def test_names_are_keys() -> None:
    """A schedule is found under the name that it has."""
    assert all(schedule.name == name for name, schedule in SCHEDULES.items())


def test_parameters_are_held_twice_only_by_dualpipe() -> None:
    """The copies are the chains of stages."""
    for name, schedule in SCHEDULES.items():
        shape = PipelineShape(4, 8)
        assert schedule.parameter_copies == schedule.orders(shape).stages.num_chains == (2 if name == "dualpipe" else 1)


def test_schedules_that_split_backward_passes_say_so() -> None:
    """As their orders show; shards of the output layer don't count."""
    for schedule in SCHEDULES.values():
        orders = schedule.orders(PipelineShape(4, 8))
        split = (orders.kind == W) & ~orders.stages.is_shard[orders.stage]
        assert schedule.splits_backward == bool(split.any())


def test_zero_bubble_orders_depend_on_ratios_of_times_only() -> None:
    """Twice as slow everywhere is the same order."""
    for name in ("zb-h1", "zb-h2", "zb-v"):
        fast, slow = (schedule_named(name).orders(PipelineShape(4, 10, 1, s, 1.4 * s, 0.7 * s)) for s in (1e-3, 2e-3))
        assert (fast.kind == slow.kind).all()
        assert (fast.micro_batch == slow.micro_batch).all()


def test_custom_orders_are_kept_as_given() -> None:
    """A legal list a device is a schedule of that one size, with its memory counted."""
    device = [(F, 0, 0), (F, 1, 0), (B, 0, 0), (W, 0, 0), (BW, 1, 0)]
    custom = custom_schedule([device], [0], num_micro_batches=2)
    assert sequence(custom.orders(PipelineShape(1, 2)), 0) == device
    assert custom.peak_activations(PipelineShape(1, 2)) == 2
    assert custom.splits_backward
    with pytest.raises(AxisError, match="m == 2"):
        custom.orders(PipelineShape(1, 3))


TWO_DEVICES = [[(F, 0, 0), (BW, 0, 0)], [(F, 0, 1), (BW, 0, 1)]]


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ([[(F, 0, 0), (F, 0, 0), (BW, 0, 0)], TWO_DEVICES[1]], "listed twice"),
        ([[(F, 0, 0), (BW, 0, 0)], []], "doesn't pass every stage"),
        ([[(F, 0, 0)], TWO_DEVICES[1]], "backward once"),
        ([[(F, 0, 0), (B, 0, 0)], TWO_DEVICES[1]], "backward once"),
        ([[(BW, 0, 0), (F, 0, 0)], TWO_DEVICES[1]], r"before what they need: BW\(micro-batch 0, stage 0\)"),
        ([TWO_DEVICES[1], TWO_DEVICES[0]], "live elsewhere"),
        ([[(F, 0, 0), (BW, 1, 0)], TWO_DEVICES[1]], "0 <= micro-batch < 1"),
        ([[(F, 0, 2), (BW, 0, 0)], TWO_DEVICES[1]], "0 <= stage < 2"),
        ([[(7, 0, 0), (BW, 0, 0)], TWO_DEVICES[1]], "0 <= kind < 4"),
        (TWO_DEVICES[:1], "lists 1 devices"),
    ],
)
def test_illegal_lists_say_what_is_wrong(ops: list[list[tuple[OpKind, int, int]]], message: str) -> None:
    """Missing, repeated, misplaced and premature ops each have their message."""
    with pytest.raises(AxisError, match=message):
        custom_schedule(ops, [0, 1], num_micro_batches=1)


def test_deadlocks_are_found() -> None:
    """Device 0 wants micro-batch 1 back before it sends micro-batch 0 of the second chunk on, which comes first."""
    first = [(F, 0, 0), (F, 0, 2), (BW, 0, 2), (BW, 0, 0)]
    second = [(F, 0, 3), (F, 0, 1), (BW, 0, 3), (BW, 0, 1)]
    with pytest.raises(AxisError, match="wait for each other for ever"):
        custom_schedule([first, second], [0, 1, 0, 1], num_micro_batches=1)


def test_shards_of_the_output_layer_keep_the_order_of_micro_batches() -> None:
    """They meet in collectives, which all devices must run in the same order."""
    orders = schedule_named("vocab-2").orders(PipelineShape(2, 4))
    (shards,) = np.nonzero((orders.stage == 2) & (orders.kind == F))
    with pytest.raises(AxisError, match="in order, as collectives do"):
        check_legality(swapped(orders, shards[0], shards[1]))


def test_only_ops_of_one_device_overlap() -> None:
    """A pair can't reach over the end of a device's list, and pairs don't chain."""
    orders = schedule_named("dualpipev").orders(PipelineShape(2, 4))
    across = orders.overlaps_next.copy()
    across[orders.device_start[1] - 1] = True
    with pytest.raises(AxisError, match="overlap"):
        check_legality(replace(orders, overlaps_next=across))


def test_stage_maps_know_their_ends() -> None:
    """Chains begin and end inside; shards belong to none."""
    stages = StageMap(np.array([0, 1, 0, 1]), num_output_shards=2)
    assert stages.is_first.tolist() == [True, False, False, False]
    assert stages.is_last.tolist() == [False, True, False, False]
    assert stages.is_shard.tolist() == [False, False, True, True]
    assert StageMap(np.array([0, 1, 1, 0]), num_chains=2).is_last.tolist() == [False, True, False, True]
