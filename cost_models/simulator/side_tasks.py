"""What runs beside the ops: data-parallel collectives and offload copies."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.schedules import OpKind, Orders
from meshwright.cost_models.simulator.costs import DataParallelTimes, OffloadTimes, per_entry
from meshwright.cost_models.task_graph import TaskGraphBuilder, Wait

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class SideTasks:
    """Tasks of one kind on one stream a device, in the order of the graph.

    Attributes:
        first_task: Number of the first; the others follow.
        device: (num_tasks,).
        stage: Virtual stage, (num_tasks,).
        micro_batch: -1 for tasks of the whole step, (num_tasks,).
        duration_s: (num_tasks,).
    """

    first_task: int
    device: IntArray
    stage: IntArray
    micro_batch: IntArray
    duration_s: FloatArray

    @property
    def tasks(self) -> slice:
        """Their numbers."""
        return slice(self.first_task, self.first_task + len(self.device))


def add_gathers(
    orders: Orders, times: DataParallelTimes, builder: TaskGraphBuilder
) -> tuple[SideTasks, IntArray] | None:
    """All-gathers of parameters by first use, and which the ops wait for; None if they take no time."""
    gather_s = per_entry(times.param_gather_s, orders.stages.num_stages)
    if not gather_s.any():
        return None
    first_op = np.full(len(gather_s), len(orders))
    np.minimum.at(first_op, orders.stage, np.arange(len(orders)))
    stage = np.argsort(first_op)
    stage = stage[gather_s[stage] > 0]
    device = orders.stages.device[stage]
    side = _add(builder, orders, device, stage, gather_s[stage], [])
    waiting = first_op[stage]
    tasks = _numbers(side)
    if not times.overlap_param_gather:
        waiting, tasks = orders.device_start[device], tasks[np.searchsorted(device, device, "right") - 1]
    gather = np.full(len(orders), -1)
    gather[waiting] = tasks
    return side, gather


def add_reductions(
    orders: Orders, times: DataParallelTimes, duration_s: FloatArray, builder: TaskGraphBuilder
) -> SideTasks | None:
    """Reductions of gradients in the order in which stages finish them; None if they take no time.

    With n buckets the first n-1 parts may run beside the stage's last backward pass, of which 1/n must be over; the
    last part follows it.
    """
    reduce_s = per_entry(times.grad_reduce_s, orders.stages.num_stages)
    if not reduce_s.any():
        return None
    last_op = np.zeros(len(reduce_s), np.int64)
    np.maximum.at(last_op, orders.stage, np.arange(len(orders)))
    stage = np.argsort(last_op)
    stage = stage[reduce_s[stage] > 0]
    device = orders.stages.device[stage]
    share = 1.0 / times.num_grad_buckets if times.overlap_grad_reduce else 1.0
    after = last_op[stage] if times.overlap_grad_reduce else orders.device_start[device + 1] - 1
    # Two tasks a stage: the early parts, and the last one.
    lag_s = np.stack([-duration_s[after] * (1.0 - share), np.zeros(len(after))], axis=1)
    parts_s = reduce_s[stage][:, None] * np.array([1.0 - share, share])
    wait = Wait(np.repeat(after, 2), lag_s.ravel())
    return _add(builder, orders, np.repeat(device, 2), np.repeat(stage, 2), parts_s.ravel(), [wait])


def add_offload(
    orders: Orders, times: OffloadTimes, builder: TaskGraphBuilder
) -> tuple[SideTasks, SideTasks, IntArray] | None:
    """Copies out and in of every forward pass with offloaded bytes, and what the backward passes wait for."""
    num_stages = orders.stages.num_stages
    is_offloaded = (per_entry(times.offloaded_bytes, num_stages) > 0) & ~orders.stages.is_shard
    is_backward = (orders.kind == OpKind.BACKWARD) | (orders.kind == OpKind.BACKWARD_INPUT)
    (forward,) = np.nonzero(is_offloaded[orders.stage] & (orders.kind == OpKind.FORWARD))
    (backward,) = np.nonzero(is_offloaded[orders.stage] & is_backward)
    if not forward.size:
        return None
    out_s, in_s = per_entry(times.out_s, num_stages), per_entry(times.in_s, num_stages)
    out = _add_copies(builder, orders, forward, out_s, [Wait.at_end(forward)])
    copied = np.full((num_stages, orders.num_micro_batches), -1)
    copied[out.stage, out.micro_batch] = _numbers(out)
    there = copied[orders.stage[backward], orders.micro_batch[backward]]
    not_before = backward - times.lead_ops - 1
    not_before[not_before < orders.device_start[orders.device[backward]]] = -1
    back = _add_copies(builder, orders, backward, in_s, [Wait.at_end(there), Wait.at_end(not_before)])
    reload = np.full(len(orders), -1)
    reload[backward] = _numbers(back)
    return out, back, reload


def _add_copies(
    builder: TaskGraphBuilder, orders: Orders, ops: IntArray, copy_s: FloatArray, waits: list[Wait]
) -> SideTasks:
    """One copy for each of some ops; `copy_s` is by stage."""
    stage = orders.stage[ops]
    side = _add(builder, orders, orders.device[ops], stage, copy_s[stage], waits)
    return replace(side, micro_batch=orders.micro_batch[ops])


def _numbers(side: SideTasks) -> IntArray:
    """Task numbers one by one."""
    return np.arange(side.tasks.start, side.tasks.stop)


def _add(
    builder: TaskGraphBuilder,
    orders: Orders,
    device: IntArray,
    stage: IntArray,
    duration_s: FloatArray,
    waits: list[Wait],
) -> SideTasks:
    first = builder.add(np.bincount(device, minlength=orders.num_devices), duration_s, waits)
    return SideTasks(first, device, stage, np.full(len(device), -1), duration_s)
