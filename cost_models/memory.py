"""Peak bytes of every stage: states, activations in flight, working sets, gathered parameters."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import BoolColumn, Candidates, FloatColumn, IntColumn, Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.moments import Gathering
from meshwright.cost_models.off_device import OffDevice, off_device, remaining
from meshwright.cost_models.pipeline import num_micro_batches
from meshwright.cost_models.stage_costs import StageCosts
from meshwright.cost_models.state_bytes import steady_bytes

StageBytes = NDArray[np.float64]


@dataclass(frozen=True)
class MemoryBreakdown:
    """Bytes on one device by class at the moment of its peak; every array has shape (num_candidates, num_groups).

    Attributes:
        parameters: The copy that computes.
        gradients: Accumulation buffers, as far as they exist by then.
        optimizer: Master weights and moments.
        activations: Kept by the micro-batches in flight; none where the peak lies in the optimizer step.
        working: Alive on top: a layer's gradients, recomputed activations, logits, gathered parameters, or temporaries
            of the optimizer step.
        context: Outside the allocator.
        fragmentation: Reserved but not allocated: holes, and room for gradients that are yet to be made.
        off_device: What lives elsewhere.
    """

    parameters: StageBytes
    gradients: StageBytes
    optimizer: StageBytes
    activations: StageBytes
    working: StageBytes
    context: StageBytes
    fragmentation: StageBytes
    off_device: OffDevice

    @cached_property
    def allocated(self) -> StageBytes:
        """What the framework's allocator hands out at the peak."""
        return self.parameters + self.gradients + self.optimizer + self.activations + self.working

    @cached_property
    def total(self) -> StageBytes:
        """What the device must have: allocated, fragmentation and context."""
        return self.allocated + self.fragmentation + self.context

    def at(self, rows: IntColumn, groups: IntColumn) -> "MemoryBreakdown":
        """The breakdown at one group of every chosen row."""
        return self.picked((rows, groups))

    def __getitem__(self, rows: IntColumn | BoolColumn) -> "MemoryBreakdown":
        return self.picked((rows,))

    def picked(self, where: tuple[IntColumn | BoolColumn, ...]) -> "MemoryBreakdown":
        """Every class at some index of its array."""
        return MemoryBreakdown(*(getattr(self, field.name)[where] for field in fields(self)))


def memory_breakdown(job: Job, candidates: Candidates, stages: StageCosts, problem: IntColumn) -> MemoryBreakdown:
    """Peak bytes of every group of stages.

    The peak lies in the last backward pass (all states, activations in flight, the working set) or in the optimizer
    step (all states and the step's temporaries), whichever is higher.
    """
    steady = steady_bytes(job, candidates, stages, problem)
    away = OffDevice.nothing(steady.kept.shape)
    if candidates.any_offloads:
        away = off_device(job, candidates, stages, problem, steady)
        steady = remaining(candidates, steady)
    parameters, gradients, optimizer = steady.parameters, steady.gradients, steady.optimizer
    kept, temporary = steady.kept, steady.temporary
    resharding = job.framework.zero2_by_unit & (candidates.sharding == Sharding.ZERO2)[:, None]
    states = _Changing(parameters, gradients, kept, np.zeros_like(kept))
    peak = backward_peak(job, candidates, stages, problem, states)
    step = _Changing(np.where(resharding, 0.0, parameters), gradients, np.zeros_like(kept), temporary)
    in_step = step.total > peak.total
    all_gradients = gradients
    parameters, gradients, activations, working = (
        np.where(in_step, getattr(step, field.name), getattr(peak, field.name)) for field in fields(_Changing)
    )
    working = working + away.staging
    if job.framework.reduce_buffer_bytes or job.framework.fsdp_reduce_buffer_bytes:
        working = working + _reduce_buffers(job, candidates)
    allocated = parameters + gradients + optimizer + activations + working
    if job.framework.loads_whole:
        whole = _loading(job, candidates, stages, problem)
        loading = steady.parameters + whole > allocated
        working = np.where(loading, whole, working)
        gradients, optimizer, activations = (np.where(loading, 0.0, one) for one in (gradients, optimizer, activations))
        all_gradients = np.where(loading, 0.0, all_gradients)
        allocated = parameters + gradients + optimizer + activations + working
    context = np.full_like(allocated, job.context_bytes)
    # The allocator pools memory by stream: what the reduce-scatter stream has for gradients serves nothing else.
    reserved = np.where(gathering(job, candidates)[:, None] > Gathering.NONE, all_gradients - gradients, 0.0)
    fragmentation = job.framework.fragmentation * allocated + reserved
    return MemoryBreakdown(parameters, gradients, optimizer, activations, working, context, fragmentation, away)


def _reduce_buffers(job: Job, candidates: Candidates) -> FloatColumn:
    """(num_candidates, 1) bytes of the buffers that sharded gradients are collected in."""
    fully = candidates.sharding >= Sharding.ZERO3
    sharded = candidates.sharding >= Sharding.ZERO1
    buffers = np.where(fully, job.framework.fsdp_reduce_buffer_bytes, job.framework.reduce_buffer_bytes * sharded)
    return buffers[:, None]


def _loading(job: Job, candidates: Candidates, stages: StageCosts, problem: IntColumn) -> StageBytes:
    """All parameters of a stage, gathered to load the weights; none where nothing is divided."""
    gathers = gathering(job, candidates)[:, None] == Gathering.ALL
    whole = stages.dense_parameters[problem] + stages.expert_parameters[problem]
    return np.where(gathers, job.workload.activation_bytes * whole, 0.0)


@dataclass(frozen=True)
class _Changing:
    """The classes that differ from moment to moment; (num_candidates, num_groups)."""

    parameters: StageBytes
    gradients: StageBytes
    activations: StageBytes
    working: StageBytes

    @property
    def total(self) -> StageBytes:
        """All of them."""
        return self.parameters + self.gradients + self.activations + self.working


def gathering(job: Job, candidates: Candidates) -> IntColumn:
    """The `Gathering` of every candidate; nothing is gathered within one rank."""
    by_unit = (candidates.sharding == Sharding.ZERO2) & job.framework.zero2_by_unit
    ways = np.where(candidates.sharding >= Sharding.ZERO3, Gathering.ALL, Gathering.GRADIENTS * by_unit)
    return np.where(candidates.shard_group > 1, ways, Gathering.NONE)


def backward_peak(
    job: Job, candidates: Candidates, stages: StageCosts, problem: IntColumn, states: _Changing
) -> _Changing:
    """The highest moment from the end of the forward pass to the end of the last backward pass.

    Where all states stay, it is the same for all plans of a stage problem. Gradients that don't persist from step to
    step grow during the backward pass of a single micro-batch, and the parameters of `Gathering.GRADIENTS` go.
    """
    ways = gathering(job, candidates)
    moments = stages.moments(frozenset(np.unique(ways).tolist()))
    grows = ~np.bool_(job.framework.gradients_persist) & (num_micro_batches(job, candidates) == 1)
    goes = ways == Gathering.GRADIENTS
    shrinks = candidates.offload_activations > 0
    kept_change, working = moments.at_peak
    peak = _Changing(
        states.parameters.copy(),
        states.gradients.copy(),
        states.activations + kept_change[ways, problem],
        working[ways, problem],
    )
    rows = np.flatnonzero(grows | goes | shrinks)
    if not len(rows):
        return peak
    where = ways[rows], problem[rows]
    made, grow, go = moments.done[where], grows[rows, None], goes[rows, None]
    gradients, parameters = states.gradients[rows], states.parameters[rows]
    stays = 1.0 - candidates.offload_activations[rows, None, None]
    # Along with the gradients that are made, the parameters of their units go.
    change = (
        moments.kept_change[problem[rows]] * stays
        + moments.working[where]
        + made * (grow * gradients - go * parameters)[:, :, None]
    )
    moment = change.argmax(axis=2)
    share = np.take_along_axis(made, moment[:, :, None], axis=2)[:, :, 0]
    at = problem[rows, None], np.arange(moment.shape[1]), moment
    peak.parameters[rows] = parameters * np.where(go, 1.0 - share, 1.0)
    peak.gradients[rows] = gradients * np.where(grow, share, 1.0)
    peak.activations[rows] = states.activations[rows] + moments.kept_change[at] * stays[:, :, 0]
    peak.working[rows] = moments.working[ways[rows, None], *at]
    return peak
