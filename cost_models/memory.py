"""Peak bytes of every stage: states, activations in flight, working sets, gathered parameters."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import Candidates, FloatColumn, IntColumn, Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.moments import Gathering
from meshwright.cost_models.pipeline import in_flight, num_micro_batches
from meshwright.cost_models.stage_costs import StageCosts

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
    """

    parameters: StageBytes
    gradients: StageBytes
    optimizer: StageBytes
    activations: StageBytes
    working: StageBytes
    context: StageBytes
    fragmentation: StageBytes

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
        return MemoryBreakdown(*(getattr(self, field.name)[rows, groups] for field in fields(self)))


@dataclass(frozen=True)
class ShardExtents:
    """Over how many ranks each state is divided; (num_candidates, 1) columns for dense and for expert parameters."""

    parameter: FloatColumn
    gradient: FloatColumn
    optimizer: FloatColumn
    expert_parameter: FloatColumn
    expert_gradient: FloatColumn
    expert_optimizer: FloatColumn


def data_ranks(candidates: Candidates) -> IntColumn:
    """Ranks that hold the same dense parameters: dp·cp."""
    return candidates.dp * candidates.cp


def expert_data_ranks(candidates: Candidates) -> IntColumn:
    """Ranks that hold the same routed experts: dp·cp·tp / (ep·etp)."""
    c = candidates
    return c.dp * c.cp * c.tp // (c.ep * c.etp)


def shard_extents(candidates: Candidates) -> ShardExtents:
    """Extents of the sharded states (ZeRO, arXiv:1910.02054, §5)."""
    dense = candidates.shard_group[:, None].astype(np.float64)
    ranks = data_ranks(candidates)[:, None]
    expert = np.maximum(expert_data_ranks(candidates)[:, None] * dense / ranks, 1.0)
    level = candidates.sharding[:, None]

    def at_least(sharding: Sharding, extent: FloatColumn) -> FloatColumn:
        return np.where(level >= sharding, extent, 1.0)

    stages = (Sharding.ZERO3, Sharding.ZERO2, Sharding.ZERO1)
    return ShardExtents(*(at_least(s, dense) for s in stages), *(at_least(s, expert) for s in stages))


def state_bytes(job: Job, candidates: Candidates) -> tuple[FloatColumn, FloatColumn, FloatColumn, FloatColumn]:
    """Bytes per parameter (parameter, gradient, optimizer, temporary) of each candidate; (num_candidates, 1)."""
    fully = (candidates.sharding >= Sharding.ZERO3)[:, None]
    plain, fsdp = (states.at(job.workload.precision) for states in (job.framework.states, job.framework.fsdp_states))

    def column(name: str) -> FloatColumn:
        return np.asarray(np.where(fully, getattr(fsdp, name), getattr(plain, name)))

    return column("parameter"), column("gradient"), column("optimizer"), column("optimizer_temporary")


@dataclass(frozen=True)
class SteadyBytes:
    """Bytes that don't change from moment to moment of a step; (num_candidates, num_groups) each.

    Attributes:
        parameters: As sharded between their uses.
        gradients: Once all are made.
        optimizer: Master weights and moments.
        temporary: Alive only inside the optimizer step.
        kept: Activations of all micro-batches in flight, at the end of the last one's forward pass.
    """

    parameters: StageBytes
    gradients: StageBytes
    optimizer: StageBytes
    temporary: StageBytes
    kept: StageBytes


def steady_bytes(job: Job, candidates: Candidates, stages: StageCosts, problem: IntColumn) -> SteadyBytes:
    """States and kept activations of every group of stages."""
    dense, expert = stages.dense_parameters[problem], stages.expert_parameters[problem]
    adapter = stages.adapter_parameters[problem]
    frozen = job.workload.trains_adapters
    per_parameter, per_gradient, per_optimizer, per_temporary = state_bytes(job, candidates)
    extents = shard_extents(candidates)
    parameters = per_parameter * (dense / extents.parameter + expert / extents.expert_parameter)
    if frozen:  # the base is held in 16 bits or quantised, and only the adapters train
        tables = np.minimum(stages.table_parameters[problem], dense) / extents.parameter
        kept = (parameters / per_parameter - tables) * job.workload.frozen_bytes
        parameters = kept + tables * job.workload.activation_bytes
        parameters += per_parameter * adapter
        gradients = per_gradient * adapter
        optimizer, temporary = per_optimizer * adapter, per_temporary * adapter
    else:
        gradients = per_gradient * (dense / extents.gradient + expert / extents.expert_gradient)
        trained = dense / extents.optimizer + expert / extents.expert_optimizer
        optimizer, temporary = per_optimizer * trained, per_temporary * trained
    micro_batches = num_micro_batches(job, candidates)
    flying = in_flight(candidates, micro_batches, stages.first_index[problem])
    activations = flying * stages.activation_bytes[problem]
    return SteadyBytes(parameters, gradients, optimizer, temporary, activations)


def memory_breakdown(job: Job, candidates: Candidates, stages: StageCosts, problem: IntColumn) -> MemoryBreakdown:
    """Peak bytes of every group of stages.

    The peak lies in the last backward pass (all states, activations in flight, the working set) or in the optimizer
    step (all states and the step's temporaries), whichever is higher.
    """
    steady = steady_bytes(job, candidates, stages, problem)
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
    allocated = parameters + gradients + optimizer + activations + working
    context = np.full_like(allocated, job.framework.context_bytes)
    # The allocator pools memory by stream: what the reduce-scatter stream has for gradients serves nothing else.
    reserved = np.where(gathering(job, candidates)[:, None] > Gathering.NONE, all_gradients - gradients, 0.0)
    fragmentation = job.framework.fragmentation * allocated + reserved
    return MemoryBreakdown(parameters, gradients, optimizer, activations, working, context, fragmentation)


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
    kept_change, working = moments.at_peak
    peak = _Changing(
        states.parameters.copy(),
        states.gradients.copy(),
        states.activations + kept_change[ways, problem],
        working[ways, problem],
    )
    rows = np.flatnonzero(grows | goes)
    if not len(rows):
        return peak
    where = ways[rows], problem[rows]
    made, grow, go = moments.done[where], grows[rows, None], goes[rows, None]
    gradients, parameters = states.gradients[rows], states.parameters[rows]
    # Along with the gradients that are made, the parameters of their units go.
    change = moments.beside[where] + made * (grow * gradients - go * parameters)[:, :, None]
    moment = change.argmax(axis=2)
    share = np.take_along_axis(made, moment[:, :, None], axis=2)[:, :, 0]
    at = problem[rows, None], np.arange(moment.shape[1]), moment
    peak.parameters[rows] = parameters * np.where(go, 1.0 - share, 1.0)
    peak.gradients[rows] = gradients * np.where(grow, share, 1.0)
    peak.activations[rows] = states.activations[rows] + moments.kept_change[at]
    peak.working[rows] = moments.working[ways[rows, None], *at]
    return peak
