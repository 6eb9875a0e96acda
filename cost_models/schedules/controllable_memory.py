"""V-Half and V-Min: a repeated building block whose lifespan sets the memory.

Pipeline Parallelism with Controllable Memory (arXiv:2405.15362).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from meshwright.cost_models.schedules.orders import OpKind, Orders, StageMap, v_stages
from meshwright.cost_models.schedules.protocol import BoolArray, FloatArray, IntArray, PipelineShape
from meshwright.cost_models.schedules.slot_table import PERIOD, SlotTable

BuildingBlock = Callable[[int, int], tuple[int, int, int, int]]
"""Slots of a micro-batch's passes F down, F up, B up and B down on a device, from (device, num_devices)."""


@dataclass(frozen=True)
class ControllableMemory:
    """Repeats a V-shaped building block of unit passes and squeezes it, whatever F, B and W are.

    Attributes:
        name: What plans call it.
        block: Slots of the building block.
        unit_bubble: The bubble in passes of one chunk for F = B = W, from p.
        stall_s: Time that every micro-batch adds beyond F + B + W, because passes wait for longer ones.
        peak: Micro-batches that a device holds, from p.
    """

    name: str
    block: BuildingBlock
    unit_bubble: Callable[[IntArray], IntArray]
    stall_s: Callable[[PipelineShape], FloatArray]
    peak: Callable[[IntArray], IntArray]
    parameter_copies: int = 1
    splits_backward: bool = True

    def stages(self, shape: PipelineShape) -> StageMap:
        """Down the devices and up again."""
        return v_stages(shape.sizes[0])

    def orders(self, shape: PipelineShape) -> Orders:
        """The building block m times, warm-up and drain pulled forward as far as its memory allows."""
        p, m, _ = shape.sizes
        # From p+1 micro-batches on, until the drain begins, all devices repeat the same passes.
        base = min(m, 2 * p + 4)
        return repeat_steady_state(_orders(self.block, p, base), p + 1, m - base)

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """The bubble of unit passes, in mean passes, and the stalls of m micro-batches."""
        unit_bubble = self.unit_bubble(shape.p)
        stalls_s = np.where(unit_bubble > 0, shape.m * self.stall_s(shape), 0.0)
        return unit_bubble * shape.work_s / 6 + stalls_s

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Where F = B = W and there are more micro-batches than devices."""
        return shape.has_equal_times & (shape.m > shape.p)

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """About half or a third of p (arXiv:2405.15362), and never more than all."""
        peak = self.peak(shape.p)
        return np.minimum(shape.m, peak) + 0.0 * np.asarray(device)


def v_half_block(device: int, num_devices: int) -> tuple[int, int, int, int]:
    """Half of 1F1B's memory (arXiv:2405.15362): two slots from device to device down, one up."""
    shift = 3 if num_devices % 2 == 0 else 0
    down, up = 2 * device, 3 * num_devices - device - 2
    return down, up, 3 * num_devices + shift + 2 * device - 1, 6 * num_devices + shift - device - 2


def v_min_block(device: int, num_devices: int) -> tuple[int, int, int, int]:
    """The least memory of a V (arXiv:2405.15362): one slot from device to device."""
    shift = 2 if num_devices % 3 == 0 else 0
    down, up = device, 2 * num_devices - device - 1
    return down, up, 2 * num_devices + shift + device, 4 * num_devices + shift - device - 1


def _v_half_bubble(p: IntArray) -> IntArray:
    """Counted in the generated orders; the paper rounds it to p/(2m) of the ideal time."""
    return np.where(p % 2 == 0, np.maximum(3 * p - 7, p - 1), 3 * p - 4) * (p > 1)


def _v_min_bubble(p: IntArray) -> IntArray:
    """Counted in the generated orders; the paper rounds it to 2p/(3m) of the ideal time."""
    return np.where(p % 3 == 0, 4 * p - 7, 4 * p - 5) * (p > 1)


def _v_half_stall_s(shape: PipelineShape) -> FloatArray:
    """None where W + 2B >= 2F and W + 2F >= 2B (arXiv:2405.15362)."""
    difference_s = np.abs(shape.forward_s - np.asarray(shape.backward_input_s))
    return np.maximum(difference_s - np.asarray(shape.backward_weight_s) / 2, 0.0)


def _v_min_stall_s(shape: PipelineShape) -> FloatArray:
    """The devices run F and B of both chunks in lock-step, six to a micro-batch with the gaps for W."""
    longest_s = np.maximum(shape.forward_s, shape.backward_input_s)
    return np.maximum(3 * longest_s - shape.work_s, 0.0)


V_HALF = ControllableMemory("v-half", v_half_block, _v_half_bubble, _v_half_stall_s, lambda p: (p + 2) // 2)
V_MIN = ControllableMemory("v-min", v_min_block, _v_min_bubble, _v_min_stall_s, lambda p: (p + 4) // 3)


@lru_cache(maxsize=256)
def _orders(block: BuildingBlock, p: int, m: int) -> Orders:
    table = SlotTable([block(device, p) for device in range(p)], m)
    table.pull_forward()
    table.squeeze()
    table.pull_drain_forward()
    table.squeeze()
    return table.orders()


def repeat_steady_state(orders: Orders, micro_batch: int, num_more: int) -> Orders:
    """Lengthens a V-shaped order with split backward passes by repeating its steady state.

    Args:
        orders: A step whose devices all repeat the same six passes, from the first forward pass of `micro_batch` on
            for one micro-batch at least.
        micro_batch: Where to insert.
        num_more: Micro-batches to insert.
    """
    if num_more == 0:
        return orders
    kind, batch, stage = [], [], []
    for device in range(orders.num_devices):
        ops = slice(orders.device_start[device], orders.device_start[device + 1])
        starts = (orders.kind[ops] == OpKind.FORWARD) & (orders.stage[ops] == device)
        cut = int(orders.device_start[device] + np.nonzero(starts & (orders.micro_batch[ops] == micro_batch))[0][0])
        before, period, after = slice(ops.start, cut), slice(cut, cut + PERIOD), slice(cut, ops.stop)
        shift = np.repeat(np.arange(num_more), PERIOD)
        kind += [orders.kind[before], np.tile(orders.kind[period], num_more), orders.kind[after]]
        stage += [orders.stage[before], np.tile(orders.stage[period], num_more), orders.stage[after]]
        repeated = np.tile(orders.micro_batch[period], num_more) + shift
        batch += [orders.micro_batch[before], repeated, orders.micro_batch[after] + num_more]
    return Orders(
        orders.stages,
        orders.num_micro_batches + num_more,
        device_start=orders.device_start + PERIOD * num_more * np.arange(orders.num_devices + 1),
        kind=np.concatenate(kind),
        micro_batch=np.concatenate(batch),
        stage=np.concatenate(stage),
        overlaps_next=np.zeros(len(orders) + PERIOD * num_more * orders.num_devices, np.bool_),
    )
