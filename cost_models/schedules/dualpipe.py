"""DualPipe and DualPipeV: forward and backward passes of opposite directions run at the same time.

DeepSeek-V3 Technical Report (arXiv:2412.19437), §3.2.1 and Table 2; the V halves the devices of DualPipe.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.schedules.orders import OpKind, Orders, StageMap, orders_from_lists, v_stages
from meshwright.cost_models.schedules.protocol import BoolArray, FloatArray, IntArray, PipelineShape, require


@dataclass(frozen=True)
class DualPipe:
    """Two copies of the model run through the devices in opposite directions, half of the micro-batches each."""

    name: str = "dualpipe"
    parameter_copies: int = 2
    splits_backward: bool = True

    def stages(self, shape: PipelineShape) -> StageMap:
        """The first copy down the devices, the second copy up."""
        down = np.arange(shape.sizes[0])
        return StageMap(np.concatenate([down, down[::-1]]), num_chains=2)

    def orders(self, shape: PipelineShape) -> Orders:
        """Both halves of the devices run the same order; each calls the direction that starts at its end `near`.

        Raises:
            AxisError: Devices or micro-batches are odd, or there are fewer than two micro-batches a device.
        """
        p, m, _ = shape.sizes
        require(p % 2 == 0 and m % 2 == 0 and m >= 2 * p, "p % 2 == 0, m % 2 == 0, m >= 2p", p=p, m=m)
        devices = []
        for device in range(p):
            first_half = device < p // 2
            near = (device, 0) if first_half else (2 * p - 1 - device, m // 2)
            far = (2 * p - 1 - device, m // 2) if first_half else (device, 0)
            devices.append(_device_order(min(device, p - 1 - device), p // 2, m // 2, near, far))
        return _orders(self.stages(shape), m, devices)

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """(p/2-1)(F&B + BW - 3W) (arXiv:2412.19437, Table 2); a pair that hides nothing has F&B = F+B+W."""
        return (shape.p / 2 - 1) * _bubble_per_device_s(shape)

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Where F = B = W."""
        return shape.has_equal_times & (self.bubble_s(shape) >= 0)

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """p+1 (arXiv:2412.19437, Table 2)."""
        return shape.p + 1.0 + 0.0 * np.asarray(device)


@dataclass(frozen=True)
class DualPipeV:
    """One copy of the model in a V: its two halves run in opposite directions."""

    name: str = "dualpipev"
    parameter_copies: int = 1
    splits_backward: bool = True

    def stages(self, shape: PipelineShape) -> StageMap:
        """Down the devices and up again."""
        return v_stages(shape.sizes[0])

    def orders(self, shape: PipelineShape) -> Orders:
        """DualPipe's order of the first half of twice as many devices.

        Raises:
            AxisError: There are fewer than two micro-batches a device.
        """
        p, m, _ = shape.sizes
        require(m >= 2 * p, "m >= 2p", p=p, m=m)
        devices = [_device_order(device, p, m, (device, 0), (2 * p - 1 - device, 0)) for device in range(p)]
        return _orders(self.stages(shape), m, devices)

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """DualPipe's for 2p devices, whose passes are half as long."""
        return (shape.p - 1) * _bubble_per_device_s(shape) / 2

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Where F = B = W."""
        return shape.has_equal_times & (self.bubble_s(shape) >= 0)

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """2p+1 stages' worth, so p + 1/2."""
        return shape.p + 0.5 + 0.0 * np.asarray(device)


def _bubble_per_device_s(shape: PipelineShape) -> FloatArray:
    """F&B + BW - 3W, where F&B = F + BW and BW = B + W."""
    return np.maximum(shape.forward_s + 2.0 * shape.backward_input_s - shape.backward_weight_s, 0.0)


class _DeviceOrder:
    """The ops of one device, and which of them run together with the one after.

    Args:
        first_stage_and_batch: Stage and first micro-batch of both directions.
    """

    def __init__(self, first_stage_and_batch: tuple[tuple[int, int], tuple[int, int]]) -> None:
        self.ops: list[tuple[int, int, int]] = []
        self.overlaps_next: list[bool] = []
        self._stage = [stage for stage, _ in first_stage_and_batch]
        self._next_forward = [batch for _, batch in first_stage_and_batch]
        self._next_backward = list(self._next_forward)
        self._pending: deque[tuple[int, int]] = deque()

    def forward(self, direction: int, *, with_next: bool = False) -> None:
        self._add(OpKind.FORWARD, self._next_forward[direction], self._stage[direction], with_next)
        self._next_forward[direction] += 1

    def backward(self, direction: int, *, split: bool = False) -> None:
        batch, stage = self._next_backward[direction], self._stage[direction]
        self._add(OpKind.BACKWARD_INPUT if split else OpKind.BACKWARD, batch, stage)
        self._next_backward[direction] += 1
        if split:
            self._pending.append((batch, stage))

    def weight(self) -> None:
        self._add(OpKind.BACKWARD_WEIGHT, *self._pending.popleft())

    def pair(self, forward: int, backward: int) -> None:
        self.forward(forward, with_next=True)
        self.backward(backward)

    def _add(self, kind: OpKind, batch: int, stage: int, with_next: bool = False) -> None:
        self.ops.append((int(kind), batch, stage))
        self.overlaps_next.append(with_next)


def _device_order(rank: int, half: int, m: int, near: tuple[int, int], far: tuple[int, int]) -> _DeviceOrder:
    """The eight phases of a device.

    Args:
        rank: Distance from the near end.
        half: Devices from the near end to the middle.
        m: Micro-batches of either direction.
        near: Stage and first micro-batch of the direction that enters at the near end; direction 0.
        far: Likewise for the other direction; 1.
    """
    order = _DeviceOrder((near, far))
    to_middle = half - rank - 1
    for _ in range(2 * to_middle):
        order.forward(0)
    for _ in range(rank + 1):
        order.forward(0)
        order.forward(1)
    for _ in range(to_middle):
        order.backward(1, split=True)
        order.weight()
        order.forward(1)
    for turn in range(m - 2 * half + rank + 1):
        if turn == 0 and to_middle == 0:
            # In the middle the first backward pass is ready only after this forward pass.
            order.forward(0)
            order.backward(1)
        else:
            order.pair(0, 1)
        order.pair(1, 0)
    for _ in range(to_middle):
        order.backward(1)
        order.pair(1, 0)
    for nth in range(2 * (rank + 1)):
        # In the second half weight gradients are put off, to fill the waits of the last phases.
        order.backward(1 - nth % 2, split=nth > rank)
    for _ in range(to_middle):
        order.weight()
        order.backward(0, split=True)
    for _ in range(rank + 1):
        order.weight()
    return order


def _orders(stages: StageMap, num_micro_batches: int, devices: list[_DeviceOrder]) -> Orders:
    ops = [device.ops for device in devices]
    return orders_from_lists(stages, num_micro_batches, ops, [device.overlaps_next for device in devices])
