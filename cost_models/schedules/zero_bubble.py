"""ZB-H1 and ZB-H2: 1F1B with split backward passes (Zero Bubble Pipeline Parallelism, arXiv:2401.10241)."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from meshwright.cost_models.schedules.gap_filling import Timelines, relative_times
from meshwright.cost_models.schedules.orders import Orders, StageMap, loop_stages
from meshwright.cost_models.schedules.protocol import BoolArray, FloatArray, IntArray, PipelineShape


@dataclass(frozen=True)
class ZeroBubble:
    """Weight gradients fill the waits of 1F1B, as far as memory allows (arXiv:2401.10241, §3.1).

    Attributes:
        name: What plans call it.
        pipelines_in_flight: Activations that a device may hold, in units of p micro-batches: 1 (ZB-H1) or 2 (ZB-H2).
    """

    name: str
    pipelines_in_flight: int
    parameter_copies: int = 1
    splits_backward: bool = True

    def stages(self, shape: PipelineShape) -> StageMap:
        """One stage a device."""
        return loop_stages(shape.sizes[0])

    def orders(self, shape: PipelineShape) -> Orders:
        """The best order of the heuristic's eight variants."""
        p, m, _ = shape.sizes
        return _best_orders(p, m, relative_times(shape), self.pipelines_in_flight * p)

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """(p-1)(F+B-kW) with room for k·p micro-batches (arXiv:2401.10241, §2), but never below what a sync costs.

        Before the last device's first pass and, with little room, after its last one, passes follow each other down
        or up the devices: (p-1)F or (p-1)·max(F, B). Fewer micro-batches have fewer weight gradients to fill with.
        """
        before = shape.p - 1
        forward_s = np.asarray(shape.forward_s)
        chain_s = forward_s if self.pipelines_in_flight > 1 else np.maximum(forward_s, shape.backward_input_s)
        fillers = np.minimum(self.pipelines_in_flight * before, shape.m - 1)
        unfilled_s = before * (shape.forward_s + shape.backward_input_s) - fillers * shape.backward_weight_s
        return np.asarray(np.maximum(before * chain_s, unfilled_s), np.float64)

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """ZB-H1: where W is the shortest pass. ZB-H2: where F = B = W and there are micro-batches to fill with."""
        if self.pipelines_in_flight == 1:
            shortest = np.minimum(shape.forward_s, shape.backward_input_s)
            return np.asarray((shape.backward_weight_s <= shortest) & (self.bubble_s(shape) >= 0))
        return np.asarray(shape.has_equal_times & (shape.m >= 2 * shape.p))

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """min(m, kp): the limit under which the order was made."""
        return np.minimum(shape.m, self.pipelines_in_flight * shape.p) + 0.0 * np.asarray(device)


@dataclass(frozen=True)
class _Variant:
    """Three yes-or-no choices of the heuristic; all eight combinations are tried.

    Attributes:
        wait_for_first_backward: Warm up only as far as the first backward pass isn't delayed.
        backward_first: Skip a forward pass that would delay what the next device can do.
        overfill: Fill a wait with a weight gradient that is longer than it, even where the wait would cost nothing.
    """

    wait_for_first_backward: bool
    backward_first: bool
    overfill: bool


@lru_cache(maxsize=256)
def _best_orders(p: int, m: int, pass_s: tuple[float, float, float], limit: int) -> Orders:
    """The order of the variant with the shortest span, then the shortest makespan, on up to 4p micro-batches."""
    runs = [_Heuristic(p, min(m, 4 * p), pass_s, limit, _Variant(*flags)) for flags in product((True, False), repeat=3)]
    best = min(runs, key=_Heuristic.duration_s)
    if m > 4 * p:
        best = _Heuristic(p, m, pass_s, limit, best.variant)
    return best.timelines.orders()


class _Heuristic:
    """Micro-batch after micro-batch: a forward pass down the devices, a backward pass up again."""

    def __init__(self, p: int, m: int, pass_s: tuple[float, float, float], limit: int, variant: _Variant) -> None:
        self.num_devices, self.num_micro_batches, self.variant = p, m, variant
        self.timelines = Timelines(loop_stages(p), m, pass_s, limit)
        self._warm_up()
        for _ in range(1, m):
            self._forward_round()
            self._backward_round()
        for device in range(p):
            self.timelines.place_weights(device)

    def duration_s(self) -> tuple[float, float]:
        """The longest time from a device's first pass to its last; and from the first pass to the last of all."""
        t = self.timelines
        spans_s = [now_s - ends_s[0] + t.forward_s for now_s, ends_s in zip(t.now_s, t.forward_end_s, strict=True)]
        return round(max(spans_s), 9), max(t.now_s)

    def _warm_up(self) -> None:
        """Extra forward passes while the first backward pass is on its way, then that backward pass."""
        t, devices = self.timelines, range(self.num_devices)
        for device in devices:
            t.place_forward(device)
        for device, extra in enumerate(self._extra_forwards()):
            for _ in range(extra):
                t.place_forward(device)
        for device in reversed(devices):
            t.place_backward(device)

    def _extra_forwards(self) -> list[int]:
        """How many forward passes of every device fit before its first backward pass and under the limit."""
        t, p = self.timelines, self.num_devices
        spare = self.num_micro_batches - 1
        extra = [0] * p
        backward_end_s = t.now_s[p - 1] + t.backward_s
        for device in reversed(range(p - 1)):
            now_s = t.now_s[device]
            while extra[device] < spare and 1 + extra[device] < t.limit:
                overshoot_s = t.forward_s if self.variant.wait_for_first_backward else 0.0
                if now_s + overshoot_s > backward_end_s or (not overshoot_s and now_s == backward_end_s):
                    break
                now_s += t.forward_s
                extra[device] += 1
            backward_end_s = max(now_s, backward_end_s) + t.backward_s
        # A device that is a step ahead of the one before it would only wait for its inputs.
        for device in range(1, p):
            while 0 < extra[device] < spare and extra[device] >= extra[device - 1]:
                extra[device] -= 1
        return extra

    def _forward_round(self) -> None:
        t = self.timelines
        wanted = [self._wants_forward(device) for device in range(self.num_devices)]
        for device in reversed(range(self.num_devices - 1)):
            wanted[device] = wanted[device] and wanted[device + 1]
        for device, wants in enumerate(wanted):
            if wants:
                t.make_room(device)
                self._fill(device, t.forward_ready_s(device))
                t.place_forward(device)

    def _wants_forward(self, device: int) -> bool:
        """Whether a forward pass of this round would not hold up the next device (`backward_first` only)."""
        t = self.timelines
        placed = len(t.forward_end_s[device])
        if placed >= self.num_micro_batches:
            return False
        following = device + 1
        if not self.variant.backward_first or following == self.num_devices:
            return True
        if placed < len(t.forward_end_s[following]) + 2:
            return True
        next_free_s = t.now_s[following] + t.forward_s + t.backward_s
        if t.now_s[device] >= next_free_s:
            return False
        weights = max(0, t.held[device] + 1 - t.limit)
        if t.now_s[device] + t.forward_s + weights * t.weight_s <= next_free_s:
            return True
        return next_free_s - t.now_s[device] > t.longest_wait_s - t.wait_s[device]

    def _backward_round(self) -> None:
        t = self.timelines
        for device in reversed(range(self.num_devices)):
            self._fill(device, t.backward_ready_s(device))
            if device == 0 and len(t.forward_end_s[0]) == self.num_micro_batches:
                t.place_weights(0)
            t.place_backward(device)

    def _fill(self, device: int, until_s: float | None) -> None:
        t = self.timelines
        left_s = t.fill(device, until_s or 0.0)
        if left_s > 0 and t.has_pending(device):
            costs_nothing = left_s <= t.longest_wait_s - t.wait_s[device]
            if self.variant.overfill or not costs_nothing:
                t.place_weight(device)
