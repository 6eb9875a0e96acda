"""Bytes that a step holds steadily: the states between two kernels, by sharding, and the activations in flight."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import Candidates, FloatColumn, IntColumn, Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.pipeline import in_flight, num_micro_batches
from meshwright.cost_models.stage_costs import StageCosts

StageBytes = NDArray[np.float64]


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


def gradient_extents(job: Job, candidates: Candidates, extents: ShardExtents) -> ShardExtents:
    """The extents of a framework whose ZeRO-3 sums whole gradients up over the micro-batches of a step."""
    if job.framework.fsdp_reduce_each_micro_batch:
        return extents
    fully = candidates.sharding >= Sharding.ZERO3
    whole = (fully & (num_micro_batches(job, candidates) > 1))[:, None]
    return replace(
        extents,
        gradient=np.where(whole, 1.0, extents.gradient),
        expert_gradient=np.where(whole, 1.0, extents.expert_gradient),
    )


def adapter_extents(job: Job, extents: ShardExtents) -> ShardExtents:
    """The extents of adapters: where experts have some, nearly all are theirs, and divide as experts do."""
    if not (job.framework.adapts_experts and job.architecture.is_moe):
        return extents
    expert = extents.expert_parameter, extents.expert_gradient, extents.expert_optimizer
    return ShardExtents(*expert, *expert)


def state_bytes(job: Job, candidates: Candidates) -> tuple[FloatColumn, FloatColumn, FloatColumn, FloatColumn]:
    """Bytes per parameter (parameter, gradient, optimizer, temporary) of each candidate; (num_candidates, 1)."""
    fully = (candidates.sharding >= Sharding.ZERO3)[:, None]
    alone = (candidates.sharding == Sharding.NONE)[:, None]
    framework = job.framework
    adapters = framework.adapter_states if job.workload.trains_adapters else None
    plain, fsdp, unsharded = (
        states.at(job.workload.precision)
        for states in (framework.states, framework.fsdp_states, adapters or framework.states)
    )

    def column(name: str) -> FloatColumn:
        whole = np.where(alone, getattr(unsharded, name), getattr(plain, name))
        return np.asarray(np.where(fully, getattr(fsdp, name), whole))

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
    dense = stages.dense_parameters[problem]
    per_parameter, per_gradient, per_optimizer, per_temporary = state_bytes(job, candidates)
    extents = gradient_extents(job, candidates, shard_extents(candidates))

    def divided(of_dense: FloatColumn, of_experts: FloatColumn) -> StageBytes:
        whole = dense / of_dense
        return whole + stages.expert_parameters[problem] / of_experts if job.architecture.is_moe else whole

    parameters = per_parameter * divided(extents.parameter, extents.expert_parameter)
    if job.workload.trains_adapters:  # the base is held in 16 bits or quantised, and only the adapters train
        tables = np.minimum(stages.table_parameters[problem], dense) / extents.parameter
        kept = (parameters / per_parameter - tables) * job.workload.frozen_bytes
        parameters = kept + tables * job.workload.activation_bytes
        adapter, over = stages.adapter_parameters[problem], adapter_extents(job, extents)
        parameters += per_parameter * adapter / over.parameter
        gradients = per_gradient * adapter / over.gradient
        optimizer, temporary = per_optimizer * adapter / over.optimizer, per_temporary * adapter / over.optimizer
        if job.framework.flat_units:
            layers = np.maximum(dense - stages.table_parameters[problem], 0.0) / extents.gradient
            flat = job.workload.activation_bytes * layers
            gradients = np.where((candidates.sharding >= Sharding.ZERO3)[:, None], flat, gradients)
    else:
        gradients = per_gradient * divided(extents.gradient, extents.expert_gradient)
        trained = divided(extents.optimizer, extents.expert_optimizer)
        optimizer, temporary = per_optimizer * trained, per_temporary * _stepped(job, candidates, trained)
    micro_batches = num_micro_batches(job, candidates)
    first_index = stages.first_index[problem]
    flying = in_flight(candidates, micro_batches, first_index)
    if job.framework.buffers_per_stage:
        flying = np.maximum(flying, _buffered(job, candidates, micro_batches, first_index))
    activations = flying * stages.activation_bytes[problem]
    return SteadyBytes(parameters, gradients, optimizer, temporary, activations)


def _stepped(job: Job, candidates: Candidates, trained: StageBytes) -> StageBytes:
    """Parameters whose temporaries of the optimizer step exist at once."""
    if job.framework.step_parameters is None:
        return trained
    at_once = np.minimum(trained, job.framework.step_parameters)
    return np.where((candidates.sharding >= Sharding.ZERO3)[:, None], at_once, trained)


def _buffered(job: Job, candidates: Candidates, micro_batches: IntColumn, first_index: StageBytes) -> StageBytes:
    """Micro-batches that a framework has buffers for whether or not they are in flight; none on the last stage."""
    pp = candidates.pp[:, None]
    has_buffers = (first_index < pp - 1) & (micro_batches[:, None] > 1)
    return np.where(has_buffers, job.framework.buffers_per_stage * pp, 0.0)


def gradient_bytes_of_owned(job: Job, candidates: Candidates, stages: StageCosts, problem: IntColumn) -> StageBytes:
    """Gradients of the parameters whose optimizer states a device holds: what its update reads."""
    _, per_gradient, _, _ = state_bytes(job, candidates)
    return per_gradient * owned_parameters(job, candidates, stages, problem)


def owned_parameters(job: Job, candidates: Candidates, stages: StageCosts, problem: IntColumn) -> StageBytes:
    """(num_candidates, num_groups) parameters whose optimizer states a device holds."""
    extents = shard_extents(candidates)
    if job.workload.trains_adapters:
        return np.asarray(stages.adapter_parameters[problem] / adapter_extents(job, extents).optimizer)
    dense, expert = stages.dense_parameters[problem], stages.expert_parameters[problem]
    return np.asarray(dense / extents.optimizer + expert / extents.expert_optimizer)
