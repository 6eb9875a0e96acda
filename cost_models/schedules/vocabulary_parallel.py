"""Vocabulary Parallel: 1F1B with the output layer divided among all devices.

Balancing Pipeline Parallelism with Vocabulary Parallelism (arXiv:2411.05288).
"""

from dataclasses import dataclass
from math import floor

import numpy as np

from meshwright.cost_models.schedules.orders import OpKind, Orders, StageMap, orders_from_lists
from meshwright.cost_models.schedules.protocol import BoolArray, FloatArray, IntArray, PipelineShape


@dataclass(frozen=True)
class VocabularyParallel:
    """Every device holds a shard of the output layer and runs two passes on it, S and T, for every micro-batch.

    S makes the shard's logits. After a barrier among all devices the last stage's gradient is known (one barrier;
    then T only makes weight gradients), or T makes it and all meet a second time (two barriers). The last stage's
    backward pass lags its forward pass by one micro-batch a barrier, so that nobody waits at a barrier.

    Stages [p, 2p) are the shards; S is their `FORWARD`, T their `BACKWARD_WEIGHT` or (two barriers) `BACKWARD`.

    Attributes:
        name: What plans call it.
        num_barriers: 2 (Algorithm 1 of the paper, `vocab-1`) or 1 (Algorithm 2, `vocab-2`).
    """

    name: str
    num_barriers: int
    parameter_copies: int = 1
    splits_backward: bool = False

    def stages(self, shape: PipelineShape) -> StageMap:
        """One stage and one shard of the output layer a device."""
        return StageMap(np.tile(np.arange(shape.sizes[0]), 2), num_output_shards=shape.sizes[0])

    def orders(self, shape: PipelineShape) -> Orders:
        """1F1B's warm-up and one micro-batch more a barrier, then BW, T, S and F in turn."""
        p, m, _ = shape.sizes
        backward_s = float(shape.backward_input_s + shape.backward_weight_s)
        share = backward_s / (float(shape.forward_s) + backward_s)
        ops = [self._device_order(device, p, m, share) for device in range(p)]
        return orders_from_lists(self.stages(shape), m, ops)

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """(p-1)(F+B+W), F, B and W without the output layer: that of 1F1B (arXiv:2411.05288)."""
        return (shape.p - 1) * shape.work_s

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Only without a pipeline: how long the warm-up's passes wait for shards depends on their time."""
        return np.asarray((shape.p == 1) & (self.bubble_s(shape) == 0))

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """min(m, p-i) of 1F1B and one more a barrier (arXiv:2411.05288)."""
        return np.asarray(np.minimum(shape.m, shape.p - device + self.num_barriers + 0.0))

    def _device_order(self, device: int, p: int, m: int, backward_share: float) -> list[tuple[int, int, int]]:
        """Micro-batches count from 1 here, as in the paper's figures; those outside of [1, m] don't exist.

        Args:
            device: Which.
            p: Devices.
            m: Micro-batches.
            backward_share: Part of a micro-batch's time on a device that is backward.
        """
        after = p - 1 - device
        # In the steady state this device starts a cycle (after + 1) backward passes later than the last device, so
        # it is that many cycles further with its shard than with its stage.
        ahead = self.num_barriers + floor((after + 1) * backward_share + 1e-9)
        order: list[tuple[int, int, int]] = []

        def add(kind: OpKind, micro_batch: int, stage: int) -> None:
            if 1 <= micro_batch <= m:
                order.append((int(kind), micro_batch - 1, stage))

        def add_shard(micro_batch: int) -> None:
            last_pass = OpKind.BACKWARD if self.num_barriers == 2 else OpKind.BACKWARD_WEIGHT
            add(last_pass, micro_batch - 1, p + device)
            add(OpKind.FORWARD, micro_batch, p + device)

        warm_up = self.num_barriers + 1 + after
        for k in range(1, warm_up + 1):
            add(OpKind.FORWARD, k, device)
            # When this device has run `after` passes more, the last stage has run the first one.
            if 1 <= k - after <= ahead:
                add_shard(k - after)
        for k in range(max(1, warm_up - after + 1), ahead + 1):
            add_shard(k)
        for k in range(1, m + 1):
            add(OpKind.BACKWARD, k, device)
            add_shard(k + ahead)
            add(OpKind.FORWARD, k + warm_up, device)
        return order
