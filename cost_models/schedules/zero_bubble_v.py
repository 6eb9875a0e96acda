"""ZB-V: a V of two chunks a device with split backward passes.

Zero Bubble Pipeline Parallelism (arXiv:2401.10241); Pipeline Parallelism with Controllable Memory (arXiv:2405.15362)
calls it V-ZB.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from meshwright.cost_models.schedules.gap_filling import Timelines, relative_times
from meshwright.cost_models.schedules.orders import Orders, StageMap, v_stages
from meshwright.cost_models.schedules.protocol import BoolArray, FloatArray, IntArray, PipelineShape


@dataclass(frozen=True)
class ZeroBubbleV:
    """No bubble within a device's span for F = B = W, in the memory of 1F1B (arXiv:2401.10241)."""

    name: str = "zb-v"
    parameter_copies: int = 1
    splits_backward: bool = True

    def stages(self, shape: PipelineShape) -> StageMap:
        """Down the devices and up again."""
        return v_stages(shape.sizes[0])

    def orders(self, shape: PipelineShape) -> Orders:
        """The best order of the heuristic's four variants."""
        p, m, _ = shape.sizes
        return _best_orders(p, m, relative_times(shape))

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """What a sync costs, (p-1)·max(F, B)/2; with few micro-batches, what the first one's latency leaves idle."""
        chain_s = (shape.p - 1) * np.maximum(shape.forward_s, shape.backward_input_s) / 2
        latency_s = (shape.p - shape.m) * (shape.forward_s + shape.backward_input_s)
        latency_s = latency_s - (shape.m - 1) * shape.backward_weight_s
        return np.asarray(np.maximum(chain_s, latency_s), np.float64)

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Where F = B = W and there are p micro-batches or more."""
        return np.asarray(shape.has_equal_times & (shape.m >= shape.p))

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """min(m, p), as for 1F1B's first device (arXiv:2401.10241)."""
        return np.minimum(shape.m, shape.p) + 0.0 * np.asarray(device)


@lru_cache(maxsize=256)
def _best_orders(p: int, m: int, pass_s: tuple[float, float, float]) -> Orders:
    """The order of the variant with the least waiting, then the shortest makespan, on up to 4p micro-batches."""
    runs = [_improved(p, min(m, 4 * p), pass_s, *fill) for fill in product((True, False), repeat=2)]
    best = min(runs, key=lambda run: (round(run.timelines.longest_wait_s, 9), max(run.timelines.now_s)))
    if m > 4 * p:
        best = _improved(p, m, pass_s, best.fill_first, best.fill_forward)
    return best.timelines.orders()


def _improved(p: int, m: int, pass_s: tuple[float, float, float], fill_first: bool, fill_forward: bool) -> "_Heuristic":
    """Repeats the heuristic, each time knowing how long devices waited in the last run, while that helps."""
    best = _Heuristic(p, m, pass_s, fill_first, fill_forward, [0.0] * p)
    while True:
        waits_s = best.timelines.wait_s
        slack_s = [max(waits_s) - wait_s for wait_s in waits_s]
        run = _Heuristic(p, m, pass_s, fill_first, fill_forward, slack_s)
        if run.timelines.longest_wait_s >= best.timelines.longest_wait_s:
            return best
        best = run


class _Heuristic:
    """Rounds of one backward and one forward pass a device, each on the chunk whose input is there.

    Stage i and 2p-1-i live on device i. A wait that is shorter than a weight gradient is filled if the wait would
    make the device the one that waits longest, after `slack_s` that it could afford in the run before.
    """

    def __init__(
        self,
        p: int,
        m: int,
        pass_s: tuple[float, float, float],
        fill_first: bool,
        fill_forward: bool,
        slack_s: list[float],
    ) -> None:
        self.num_devices, self.num_micro_batches = p, m
        self.fill_first, self.fill_forward, self.slack_s = fill_first, fill_forward, slack_s
        self.timelines = Timelines(v_stages(p), m, pass_s, limit=2 * p)
        self._warm_up()
        self._level_out()
        for _ in range(2 * m):
            self._backward_round()
            self._forward_round()
        for device in range(p):
            self.timelines.place_weights(device)

    def _up(self, device: int) -> int:
        """The device's stage on the way back up."""
        return 2 * self.num_devices - 1 - device

    def _forwards(self, stage: int) -> int:
        return len(self.timelines.forward_end_s[stage])

    def _warm_up(self) -> None:
        """The first micro-batch down and up, with further ones down while it is on its way up."""
        t, p = self.timelines, self.num_devices
        for device in range(p):
            t.place_forward(device)
        for device in reversed(range(p)):
            ready_s = t.forward_ready_s(self._up(device)) if device < p - 1 else None
            while ready_s is not None and self._fits_before(device, ready_s):
                for above in range(device + 1):
                    t.place_forward(above)
            t.place_forward(self._up(device))

    def _fits_before(self, device: int, ready_s: float) -> bool:
        """Whether one more micro-batch can go down to this device, and everything after it still fits."""
        t = self.timelines
        return (
            t.held[device] + 2 + 2 * device <= t.limit
            and t.now_s[device] + t.forward_s <= ready_s
            and self._forwards(device) < self.num_micro_batches
        )

    def _level_out(self) -> None:
        """Lets lower devices catch up, with forward passes down and up in turn."""
        t, p, m = self.timelines, self.num_devices, self.num_micro_batches
        goes_up = False
        for device in range(1, p):
            while self._is_behind(device):
                for below in reversed(range(device, p)):
                    stage = self._up(below) if goes_up else below
                    if self._forwards(stage) < m:
                        t.place_forward(stage)
                goes_up = not goes_up

    def _is_behind(self, device: int) -> bool:
        down, up = self._forwards(device), self._forwards(self._up(device))
        above_down, above_up = self._forwards(device - 1), self._forwards(self._up(device - 1))
        return down + up < above_down + above_up or up <= above_up < self.num_micro_batches

    def _backward_round(self) -> None:
        t, p = self.timelines, self.num_devices
        completes = [self._completes_a_micro_batch(device) for device in range(p)]
        for device in reversed(range(p)):
            if completes[device]:
                self._fill(device, t.backward_ready_s(device), overfill=True)
                t.place_backward(device)
        for device in range(p):
            if not completes[device]:
                stage = self._up(device)
                self._fill(device, t.backward_ready_s(stage), overfill=self.fill_first)
                t.place_backward(stage)

    def _completes_a_micro_batch(self, device: int) -> bool:
        """Whether the stage on the way down, last in the backward pass, goes before the one on the way up."""
        t = self.timelines
        is_up_done = len(t.backward_end_s[self._up(device)]) == self.num_micro_batches
        return is_up_done or t.backward_ready_s(device) is not None

    def _forward_round(self) -> None:
        t = self.timelines
        for device in range(self.num_devices):
            stage = self._next_forward(device)
            if stage is not None:
                t.make_room(device)
                self._fill(device, t.forward_ready_s(stage), overfill=self.fill_forward)
                t.place_forward(stage)

    def _next_forward(self, device: int) -> int | None:
        """The stage on the way up if its input is there, else the one on the way down."""
        t, m = self.timelines, self.num_micro_batches
        down, up = device, self._up(device)
        if self._forwards(up) < m and t.forward_ready_s(up) is not None:
            return up
        if self._forwards(down) < m and t.forward_ready_s(down) is not None:
            return down
        return None

    def _fill(self, device: int, until_s: float | None, overfill: bool) -> None:
        t = self.timelines
        left_s = t.fill(device, until_s or 0.0)
        affordable_s = max(t.longest_wait_s - t.wait_s[device], self.slack_s[device] - t.wait_s[device])
        if overfill and t.has_pending(device) and left_s > affordable_s:
            t.place_weight(device)
