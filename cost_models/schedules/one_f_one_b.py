"""GPipe, 1F1B and interleaved 1F1B: whole backward passes, and an order given by the length of the warm-up."""

from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.schedules.orders import OpKind, Orders, StageMap, loop_stages
from meshwright.cost_models.schedules.protocol import BoolArray, FloatArray, IntArray, PipelineShape, require


@dataclass(frozen=True)
class GPipe:
    """All forward passes, then all backward passes.

    GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism (arXiv:1811.06965).
    """

    name: str = "gpipe"
    parameter_copies: int = 1
    splits_backward: bool = False

    def stages(self, shape: PipelineShape) -> StageMap:
        """One stage a device."""
        return loop_stages(shape.sizes[0])

    def orders(self, shape: PipelineShape) -> Orders:
        """F of all micro-batches, then BW of all."""
        p, m, _ = shape.sizes
        return warmed_up(loop_stages(p), m, np.full(p, m), np.arange(m), np.zeros(m, np.int64))

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """(p-1)(F+B+W)."""
        return (shape.p - 1) * shape.work_s

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Always."""
        return np.ones_like(self.bubble_s(shape), np.bool_)

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """All m."""
        return shape.m + 0.0 * np.asarray(device)


@dataclass(frozen=True)
class Interleaved:
    """1F1B over v chunks a device.

    Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM (arXiv:2104.04473, §2.2).

    Devices run a group of micro-batches through a chunk before they turn to the next. The last group may be
    smaller, but not smaller than p, or devices would wait for each other for ever (Megatron-core has the same rule).

    Attributes:
        name: What plans call it.
        group_size: Micro-batches of a group; None for the smallest that the rule allows, which needs least memory.
    """

    name: str = "interleaved"
    group_size: int | None = None
    parameter_copies: int = 1
    splits_backward: bool = False

    def stages(self, shape: PipelineShape) -> StageMap:
        """Stage s on device s mod p."""
        p, _, v = shape.sizes
        return loop_stages(p, v)

    def orders(self, shape: PipelineShape) -> Orders:
        """A warm-up of forward passes, then forward and backward in turn, then the backward passes left."""
        p, m, v = shape.sizes
        group = int(self._group(shape))
        fits = group >= p and (m <= p or m % group == 0 or m % group >= p)
        require(fits, "group_size >= p and (m % group_size == 0 or m % group_size >= p)", m=m, group_size=group, p=p)
        micro_batch, chunk = _chunks_in_turn(m, v, group)
        return warmed_up(self.stages(shape), m, self._warm_up(shape, np.arange(p)), micro_batch, chunk * p)

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """(p-1)(F+B+W)/v; with fewer micro-batches than devices, a chunk also waits (p-m)(F+B+W)/v for the last one."""
        waits = shape.p - 1 + np.maximum(shape.p - shape.m, 0) * (shape.v - 1)
        return np.asarray(waits * shape.work_s / shape.v)

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Always."""
        return np.ones_like(self.bubble_s(shape), np.bool_)

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """The passes of the warm-up and one more, over v: p + (p-1)/v on device 0 for groups of p."""
        return np.asarray(np.minimum(self._warm_up(shape, device) + 1, shape.m * shape.v) / shape.v)

    def _warm_up(self, shape: PipelineShape, device: int | IntArray) -> IntArray:
        """Forward passes before the first backward pass: 2(p-i-1) + (v-1)·group; without chunks p-i-1."""
        after = shape.p - 1 - device
        warm_up = np.where(shape.v > 1, 2 * after + (shape.v - 1) * self._group(shape), after)
        return np.asarray(np.minimum(warm_up, shape.m * shape.v))

    def _group(self, shape: PipelineShape) -> IntArray:
        """The given group size, or the smallest that leaves no last group of less than p."""
        p, m = np.broadcast_arrays(shape.p, shape.m)
        if self.group_size is not None:
            return np.full(p.shape, self.group_size, np.int64)
        group = p.astype(np.int64)
        while (short := (m % group > 0) & (m % group < p) & (m > group)).any():
            group = group + short
        return group


@dataclass(frozen=True)
class OneFOneB:
    """One forward, one backward pass in turn (PipeDream-Flush).

    Memory-Efficient Pipeline-Parallel DNN Training (arXiv:2006.09503).
    """

    name: str = "1f1b"
    parameter_copies: int = 1
    splits_backward: bool = False

    def stages(self, shape: PipelineShape) -> StageMap:
        """One stage a device."""
        return loop_stages(shape.sizes[0])

    def orders(self, shape: PipelineShape) -> Orders:
        """A warm-up of p-i-1 forward passes on device i, then F and BW in turn."""
        p, m, _ = shape.sizes
        warm_up = np.minimum(np.arange(p)[::-1], m)
        return warmed_up(loop_stages(p), m, warm_up, np.arange(m), np.zeros(m, np.int64))

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """(p-1)(F+B+W), as for GPipe."""
        return (shape.p - 1) * shape.work_s

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Always."""
        return np.ones_like(self.bubble_s(shape), np.bool_)

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """min(m, p-i) on device i."""
        return np.asarray(np.minimum(shape.m, shape.p - device + 0.0))


def warmed_up(
    stages: StageMap, num_micro_batches: int, warm_up: IntArray, micro_batch: IntArray, first_stage: IntArray
) -> Orders:
    """Orders of a warm-up of forward passes, then forward and backward in turn, then the backward passes left.

    Args:
        stages: Placement; a chunk's stages follow each other over the devices.
        num_micro_batches: Micro-batches of the step.
        warm_up: Forward passes of every device's warm-up, (num_devices,).
        micro_batch: Of every forward pass in turn, (num_passes,); backward passes take them in the same turn.
        first_stage: Stage on device 0 of every forward pass's chunk, (num_passes,). Backward passes take the chunks
            from the last to the first.
    """
    p, n = stages.num_devices, len(micro_batch)
    nth = np.arange(n)
    warm = warm_up[:, None]
    forward_slot = np.where(nth < warm, nth, 2 * nth - warm)
    backward_slot = np.where(nth < n - warm, warm + 2 * nth + 1, n + nth)
    rows = np.arange(p)[:, None]
    kind = np.empty((p, 2 * n), np.int64)
    batch, stage = np.empty_like(kind), np.empty_like(kind)
    last_first_stage = stages.num_stages - p
    for slot, op, start in (
        (forward_slot, OpKind.FORWARD, first_stage),
        (backward_slot, OpKind.BACKWARD, last_first_stage - first_stage),
    ):
        kind[rows, slot] = op
        batch[rows, slot] = micro_batch
        stage[rows, slot] = start + rows
    return Orders(
        stages,
        num_micro_batches,
        device_start=np.arange(p + 1) * 2 * n,
        kind=kind.ravel(),
        micro_batch=batch.ravel(),
        stage=stage.ravel(),
        overlaps_next=np.zeros(2 * n * p, np.bool_),
    )


def _chunks_in_turn(num_micro_batches: int, num_chunks: int, group: int) -> tuple[IntArray, IntArray]:
    """Micro-batch and chunk of every forward pass: a group of micro-batches through one chunk after the other."""
    starts = range(0, num_micro_batches, group)
    groups = [np.arange(start, min(start + group, num_micro_batches)) for start in starts]
    micro_batch = np.concatenate([np.tile(members, num_chunks) for members in groups])
    chunk = np.concatenate([np.repeat(np.arange(num_chunks), len(members)) for members in groups])
    return micro_batch, chunk
