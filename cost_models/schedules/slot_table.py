"""Passes of unit length in slots: how a repeated building block becomes a schedule (arXiv:2405.15362)."""

from bisect import insort
from collections.abc import Sequence

from meshwright.cost_models.schedules.orders import OpKind, Orders, orders_from_lists, v_stages

F_DOWN, F_UP, B_UP, B_DOWN, W = range(5)
"""The passes of a micro-batch on a device of a V, in the order in which they run."""

_KINDS = (
    OpKind.FORWARD,
    OpKind.FORWARD,
    OpKind.BACKWARD_INPUT,
    OpKind.BACKWARD_INPUT,
    OpKind.BACKWARD_WEIGHT,
)
_HELD = (1, 1, 0, 0, -1, 0)
"""How a pass changes the activations that its device holds; the last entry is an idle slot."""

_IDLE = -1
PERIOD = 6
"""Slots from one micro-batch to the next: F, B and W of two chunks."""

_Position = tuple[int, int, int, int]
"""Slot, device, pass and number of a pass: sorts passes by time."""


class SlotTable:
    """When every pass runs: `slot[device][pass][k]`. The k-th W of a device belongs to its k-th B of either chunk.

    Args:
        block: Slots of the first micro-batch's F down, F up, B up and B down on every device.
        num_micro_batches: How often the block repeats.
    """

    def __init__(self, block: Sequence[tuple[int, int, int, int]], num_micro_batches: int) -> None:
        self._num_devices = len(block)
        self._m = num_micro_batches
        starts = range(0, PERIOD * num_micro_batches, PERIOD)
        self.slot = [[[first + start for start in starts] for first in row] for row in block]
        self._place_weights()

    def orders(self) -> Orders:
        """The passes of every device by time."""
        ops: list[list[tuple[int, int, int]]] = [[] for _ in self.slot]
        made: list[list[tuple[int, int]]] = [[] for _ in self.slot]
        for _, device, which, k in self._by_time(W + 1):
            stage = device if which in (F_DOWN, B_DOWN) else 2 * self._num_devices - 1 - device
            micro_batch, stage = made[device][k] if which == W else (k, stage)
            if which in (B_UP, B_DOWN):
                made[device].append((micro_batch, stage))
            ops[device].append((int(_KINDS[which]), micro_batch, stage))
        return orders_from_lists(v_stages(self._num_devices), self._m, ops)

    def pull_forward(self) -> None:
        """Moves passes of warm-up and drain to earlier idle slots, while no device holds more than the block's peak."""
        begin, end = self._steady_phase()
        rows = [_Row(self._cells(device, W + 1)) for device in range(self._num_devices)]
        capacity = max(max(row.held) for row in rows)
        for position in self._by_time(W + 1):
            old, device, which, k = position
            row = rows[device]
            new = old
            if not begin <= position <= end:
                lowest = row.backward_slots[k] + 1 if which == W else self._earliest(device, which, k)
                new = row.first_idle(max(lowest, row.lowest_with_room(old, capacity, _HELD[which])), old)
                self.slot[device][which][k] = new
            row.take(new, old, which)

    def pull_drain_forward(self) -> None:
        """Moves F and B of the drain forward once more; now W moves with them, to the idle slots that are left."""
        _, end = self._steady_phase()
        capacity = max(_peak_with_weights(self._cells(device, W)) for device in range(self._num_devices))
        for position in self._by_time(W):
            if position > end:
                _, device, which, k = position
                self._move_within(device, which, k, capacity)
        self._place_weights()

    def squeeze(self) -> None:
        """Runs every pass as early as what it needs and its device's order allow."""
        free = [0] * self._num_devices
        made: list[list[int]] = [[] for _ in self.slot]
        for _, device, which, k in self._by_time(W + 1):
            needs = made[device][k] + 1 if which == W else self._earliest(device, which, k)
            slot = max(needs, free[device])
            self.slot[device][which][k] = slot
            free[device] = slot + 1
            if which in (B_UP, B_DOWN):
                made[device].append(slot)

    def _move_within(self, device: int, which: int, k: int, capacity: int) -> None:
        """Moves a pass to the earliest idle slot from which the device's memory still suffices."""
        of_pass = self.slot[device][which]
        old = of_pass[k]
        cells = self._cells(device, W)
        for new in range(self._earliest(device, which, k), old):
            if cells[new] == _IDLE:
                cells[old], cells[new] = _IDLE, which
                if _peak_with_weights(cells) <= capacity:
                    of_pass[k] = new
                    return
                cells[old], cells[new] = which, _IDLE

    def _steady_phase(self) -> tuple[_Position, _Position]:
        """From device 0's first finished micro-batch to its last forward pass on the way down; nothing moves in it."""
        last = self._m - 1
        return (self.slot[0][B_DOWN][0], 0, B_DOWN, 0), (self.slot[0][F_DOWN][last], 0, F_DOWN, last)

    def _by_time(self, num_passes: int) -> list[_Position]:
        return sorted(
            (slot, device, which, k)
            for device, row in enumerate(self.slot)
            for which, of_pass in enumerate(row[:num_passes])
            for k, slot in enumerate(of_pass)
        )

    def _cells(self, device: int, num_passes: int) -> list[int]:
        """What runs in every slot of a device."""
        row = self.slot[device][:num_passes]
        cells = [_IDLE] * (max(of_pass[-1] for of_pass in row) + 1)
        for which, of_pass in enumerate(row):
            for slot in of_pass:
                cells[slot] = which
        return cells

    def _earliest(self, device: int, which: int, k: int) -> int:
        """The first slot after what F or B needs, and after the same pass of the micro-batch before."""
        row = self.slot[device]
        latest = row[which][k - 1] if k else -1
        if which:
            latest = max(latest, row[which - 1][k])
        neighbour = device - 1 if which in (F_DOWN, B_UP) else device + 1
        if 0 <= neighbour < self._num_devices:
            latest = max(latest, self.slot[neighbour][which][k])
        return latest + 1

    def _place_weights(self) -> None:
        """Puts W into every idle slot that comes after a B whose W is still to run."""
        for device, row in enumerate(self.slot):
            del row[W:]
            slots, pending = [], 0
            for slot, which in enumerate(self._cells(device, W)):
                pending += which in (B_UP, B_DOWN)
                if which == _IDLE and pending:
                    slots.append(slot)
                    pending -= 1
            end = max(of_pass[-1] for of_pass in row) + 1
            row.append([*slots, *range(end, end + pending)])


class _Row:
    """One device while passes move: which slots are taken again, and what is held after every slot."""

    def __init__(self, cells: list[int]) -> None:
        self.held: list[int] = []
        for which in cells:
            self.held.append((self.held[-1] if self.held else 0) + _HELD[which])
        self.backward_slots: list[int] = []
        self._idle = bytearray(b"\1") * len(cells)

    def lowest_with_room(self, slot: int, capacity: int, change: int) -> int:
        """The earliest slot to which a pass can move so that all slots in between hold at most `capacity`."""
        while change > 0 and slot and self.held[slot - 1] + change <= capacity:
            slot -= 1
        return slot if change > 0 else 0

    def first_idle(self, lowest: int, old: int) -> int:
        """The first idle slot in [lowest, old); `old` if there is none."""
        found = self._idle.find(1, lowest, old)
        return old if found < 0 else found

    def take(self, new: int, old: int, which: int) -> None:
        """Books a pass that has moved from `old` to `new`."""
        self._idle[new] = 0
        for slot in range(new, old):
            self.held[slot] += _HELD[which]
        if which in (B_UP, B_DOWN):
            insort(self.backward_slots, new)


def _peak_with_weights(cells: list[int]) -> int:
    """The most that a device holds if W runs in idle slots."""
    held = peak = pending = 0
    for which in cells:
        if which == _IDLE:
            if pending:
                pending -= 1
                held -= 1
        elif which < B_UP:
            held += 1
            peak = max(peak, held)
        else:
            pending += 1
    return peak
