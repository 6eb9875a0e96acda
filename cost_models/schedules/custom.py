"""A schedule that the user writes down: one list of ops a device."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.schedules.legality import check_legality
from meshwright.cost_models.schedules.orders import OpKind, Orders, StageMap, orders_from_lists
from meshwright.cost_models.schedules.protocol import BoolArray, FloatArray, IntArray, PipelineShape, require


@dataclass(frozen=True)
class Custom:
    """Fixed orders for one number of devices and micro-batches; has no closed forms.

    Attributes:
        fixed: The orders, already proven legal.
        name: What plans call it.
    """

    fixed: Orders
    name: str = "custom"

    @property
    def parameter_copies(self) -> int:
        """Chains of stages."""
        return self.fixed.stages.num_chains

    @property
    def splits_backward(self) -> bool:
        """Whether any weight gradient runs apart."""
        return bool((self.fixed.kind == OpKind.BACKWARD_WEIGHT).any())

    def stages(self, shape: PipelineShape) -> StageMap:
        """As given.

        Raises:
            AxisError: The shape has other sizes.
        """
        self._require_same(shape)
        return self.fixed.stages

    def orders(self, shape: PipelineShape) -> Orders:
        """As given.

        Raises:
            AxisError: The shape has other sizes.
        """
        self._require_same(shape)
        return self.fixed

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """Not known without simulation: 0, the lower bound."""
        return 0.0 * shape.p * shape.work_s

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Never."""
        return np.zeros_like(self.bubble_s(shape), np.bool_)

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """Counted in the orders: forward passes add, the last backward pass of a stage frees."""
        orders, stages = self.fixed, self.fixed.stages
        change = np.array([1, -1, 0, -1])[orders.kind] * ~stages.is_shard[orders.stage]
        held = np.cumsum(change)
        before = np.concatenate([[0], held])[orders.device_start[:-1]]
        peak = np.maximum.reduceat(held, orders.device_start[:-1]) - before
        stages_held = np.bincount(stages.device[~stages.is_shard], minlength=orders.num_devices) / stages.num_chains
        return np.asarray((peak / stages_held)[device] + 0.0 * shape.p)

    def _require_same(self, shape: PipelineShape) -> None:
        p, m, _ = shape.sizes
        fixed_p, fixed_m = self.fixed.num_devices, self.fixed.num_micro_batches
        require((p, m) == (fixed_p, fixed_m), f"p == {fixed_p}, m == {fixed_m} of the custom schedule", p=p, m=m)


def custom_schedule(
    ops: Sequence[Sequence[tuple[OpKind, int, int]]], device_of_stage: Sequence[int], num_micro_batches: int
) -> Custom:
    """A schedule from its ops.

    Args:
        ops: For every device the (kind, micro-batch, virtual stage) of its ops, in order.
        device_of_stage: Device of every virtual stage; stages are numbered along the model.
        num_micro_batches: Micro-batches of the step.

    Raises:
        AxisError: The devices can't run these ops to the end; says why.
    """
    orders = orders_from_lists(StageMap(np.array(device_of_stage, np.int64)), num_micro_batches, ops)
    check_legality(orders)
    return Custom(orders)
