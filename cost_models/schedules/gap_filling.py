"""The ground that the zero-bubble generators share: passes placed one by one, waits filled with weight gradients."""

from collections import deque

from meshwright.cost_models.schedules.orders import OpKind, Orders, StageMap, orders_from_lists
from meshwright.cost_models.schedules.protocol import PipelineShape

_FORWARD, _BACKWARD_INPUT, _BACKWARD_WEIGHT = map(int, (OpKind.FORWARD, OpKind.BACKWARD_INPUT, OpKind.BACKWARD_WEIGHT))


def relative_times(shape: PipelineShape) -> tuple[float, float, float]:
    """F, B and W over F, rounded to 1 %: orders depend on no more, and equal keys let them be cached."""
    forward_s = float(shape.forward_s) or float(shape.work_s) or 1.0
    pass_s = (shape.forward_s, shape.backward_input_s, shape.backward_weight_s)
    forward, backward_input, backward_weight = (round(float(time_s) / forward_s, 2) for time_s in pass_s)
    return forward, backward_input, backward_weight


class Timelines:
    """One timeline a device, filled from left to right; all stages alike, transfers free.

    The times and the in-flight limit are per virtual stage. Weight gradients queue up behind their input gradients
    and are placed when a device waits, or when it must free activations.

    Args:
        stages: Placement of the virtual stages.
        num_micro_batches: Micro-batches of the step.
        pass_s: F, B and W of one virtual stage.
        limit: Activations that a device may hold, in micro-batches of one virtual stage.
    """

    def __init__(
        self, stages: StageMap, num_micro_batches: int, pass_s: tuple[float, float, float], limit: int
    ) -> None:
        self.num_micro_batches = num_micro_batches
        self.forward_s, self.backward_s, self.weight_s = pass_s
        self.limit = limit
        self.forward_end_s: list[list[float]] = [[] for _ in range(stages.num_stages)]
        self.backward_end_s: list[list[float]] = [[] for _ in range(stages.num_stages)]
        self.now_s = [0.0] * stages.num_devices
        self.held = [0] * stages.num_devices
        self.wait_s = [0.0] * stages.num_devices
        self.longest_wait_s = 0.0
        self._stages = stages
        self._device: list[int] = stages.device.tolist()
        self._last = stages.num_stages - 1
        self._pending: list[deque[tuple[int, int]]] = [deque() for _ in range(stages.num_devices)]
        self._ops: list[list[tuple[int, int, int]]] = [[] for _ in range(stages.num_devices)]

    def orders(self) -> Orders:
        """What was placed."""
        return orders_from_lists(self._stages, self.num_micro_batches, self._ops)

    def forward_ready_s(self, stage: int) -> float | None:
        """When the input of the stage's next forward pass is there; None if it isn't placed yet."""
        nth = len(self.forward_end_s[stage])
        if stage == 0:
            return 0.0
        before = self.forward_end_s[stage - 1]
        return before[nth] if nth < len(before) else None

    def backward_ready_s(self, stage: int) -> float | None:
        """When the gradient for the stage's next backward pass is there; None if it isn't placed yet."""
        nth = len(self.backward_end_s[stage])
        after = self.forward_end_s[stage] if stage == self._last else self.backward_end_s[stage + 1]
        return after[nth] if nth < len(after) else None

    def place_forward(self, stage: int) -> None:
        """The stage's next forward pass, as early as it can start; its input must be placed."""
        ends_s, device = self.forward_end_s[stage], self._device[stage]
        ready_s = self.forward_end_s[stage - 1][len(ends_s)] if stage else 0.0
        ends_s.append(self._place(_FORWARD, len(ends_s), stage, ready_s, self.forward_s))
        self.held[device] += 1

    def place_backward(self, stage: int) -> None:
        """The stage's next input gradient, likewise; its weight gradient is pending from then on."""
        ends_s = self.backward_end_s[stage]
        after_s = self.forward_end_s[stage] if stage == self._last else self.backward_end_s[stage + 1]
        self._pending[self._device[stage]].append((len(ends_s), stage))
        ends_s.append(self._place(_BACKWARD_INPUT, len(ends_s), stage, after_s[len(ends_s)], self.backward_s))

    def has_pending(self, device: int) -> bool:
        """Whether a weight gradient could run now."""
        return bool(self._pending[device])

    def place_weight(self, device: int) -> None:
        """The weight gradient that has waited longest; frees its activations."""
        nth, stage = self._pending[device].popleft()
        self._place(_BACKWARD_WEIGHT, nth, stage, 0.0, self.weight_s)
        self.held[device] -= 1

    def place_weights(self, device: int) -> None:
        """All weight gradients that are pending."""
        while self._pending[device]:
            self.place_weight(device)

    def make_room(self, device: int) -> None:
        """Places weight gradients until one more forward pass fits under the limit."""
        while self.held[device] >= self.limit:
            self.place_weight(device)

    def fill(self, device: int, until_s: float) -> float:
        """Places the weight gradients that fit whole before a time; returns the wait that is left."""
        while self._pending[device] and self.now_s[device] + self.weight_s <= until_s:
            self.place_weight(device)
        return until_s - self.now_s[device]

    def _place(self, kind: int, nth: int, stage: int, ready_s: float, duration_s: float) -> float:
        """Appends a pass to its device's timeline; returns when it ends."""
        device = self._device[stage]
        start_s, ops = self.now_s[device], self._ops[device]
        if ready_s > start_s:
            # The wait before a device's first pass is not a bubble of the device's own.
            if ops:
                self.wait_s[device] += ready_s - start_s
                self.longest_wait_s = max(self.longest_wait_s, self.wait_s[device])
            start_s = ready_s
        ops.append((kind, nth, stage))
        self.now_s[device] = start_s + duration_s
        return start_s + duration_s
