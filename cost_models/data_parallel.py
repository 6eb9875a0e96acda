"""Gradient reduction, parameter gathers, and how much of them stays exposed."""

from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.candidates import BoolColumn, Candidates, FloatColumn, IntColumn, Recompute, Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.state_bytes import data_ranks, expert_data_ranks


@dataclass(frozen=True)
class StageWork:
    """What the data-parallel communication of one stage runs beside; (num_candidates,) each.

    Attributes:
        forward_s: Forward time of one micro-batch.
        backward_s: Backward time of one micro-batch.
        dense_parameters: Trained parameters on a device without routed experts (adapters only, for LoRA).
        expert_parameters: Routed experts on a device.
        gathered_dense: Parameters that ZeRO-3 must gather (the frozen base included).
        num_layers: Layers of the stage: communication comes in about as many pieces.
    """

    forward_s: FloatColumn
    backward_s: FloatColumn
    dense_parameters: FloatColumn
    expert_parameters: FloatColumn
    gathered_dense: FloatColumn
    num_layers: FloatColumn


@dataclass(frozen=True)
class DataParallelTime:
    """Seconds of data-parallel communication; (num_candidates,) each.

    Attributes:
        exposed_s: What the step waits for.
        hidden_s: What runs beside compute.
    """

    exposed_s: FloatColumn
    hidden_s: FloatColumn


@dataclass(frozen=True)
class Exchange:
    """One pass of each collective over dense and expert parameters; (num_candidates,) seconds each."""

    gather_s: FloatColumn
    scatter_s: FloatColumn
    reduce_s: FloatColumn


def exchange_times(job: Job, calls: KernelCalls, candidates: Candidates, work: StageWork) -> Exchange:
    """All-gather of parameters, reduce-scatter of gradients within the shard group, all-reduce across groups."""
    c, width = candidates, job.workload.activation_bytes
    reduce_bytes = job.framework.reduce_bytes_at(job.workload.precision)
    ranks, expert_ranks = data_ranks(c), expert_data_ranks(c)
    shard = c.shard_group
    expert_shard = np.maximum(expert_ranks * shard // ranks, 1)
    expert_stride = c.ep * c.etp
    # ZeRO-3 exchanges unit by unit, so latency counts as often; the others come in few large buckets.
    pieces = np.where(c.sharding >= Sharding.ZERO3, work.num_layers * job.framework.gathers_per_layer, 1.0)

    def both(
        collective: str, dense_bytes: FloatColumn, expert_bytes: FloatColumn, pieces: FloatColumn, *, across: bool
    ) -> FloatColumn:
        call = getattr(calls, collective)
        size, stride = (ranks // shard, c.tp * shard) if across else (shard, c.tp)
        expert_size = expert_ranks // expert_shard if across else expert_shard
        time = pieces * call(dense_bytes / pieces, size, stride)
        if job.architecture.is_moe:
            expert_step = expert_stride * (expert_shard if across else 1)
            time = time + pieces * call(expert_bytes / pieces, expert_size, expert_step)
        return np.asarray(time)

    dense_gradient = work.dense_parameters * reduce_bytes
    expert_gradient = work.expert_parameters * reduce_bytes
    gathers = np.where(c.sharding >= Sharding.ZERO3, pieces, parameter_pieces(job, candidates, work))
    scatter = "all_reduce" if job.framework.reduces_whole_gradients else "reduce_scatter"
    return Exchange(
        gather_s=both("all_gather", work.gathered_dense * width, work.expert_parameters * width, gathers, across=False),
        scatter_s=both(scatter, dense_gradient, expert_gradient, pieces, across=False),
        reduce_s=both("all_reduce", dense_gradient / shard, expert_gradient / expert_shard, pieces, across=True),
    )


def parameter_pieces(job: Job, candidates: Candidates, work: StageWork) -> FloatColumn:
    """(num_candidates,) collectives in which the ranks of ZeRO-1 give each other the updated parameters.

    One all-gather, or where whole tensors are dealt out to the ranks a broadcast by each rank that has some: along a
    pipelined ring that takes as long as gathering as many bytes, but the way round the ring once for each.
    """
    tensors = work.num_layers * job.framework.broadcast_tensors_per_layer
    return np.maximum(np.minimum(candidates.shard_group, tensors), 1.0)


def data_parallel_time(
    job: Job, calls: KernelCalls, candidates: Candidates, work: StageWork, micro_batches: IntColumn
) -> DataParallelTime:
    """Exposed and hidden data-parallel communication of a whole step."""
    exchange = exchange_times(job, calls, candidates, work)
    step = once_a_step(job, candidates, work, exchange, micro_batches)
    fsdp = each_micro_batch(job, calls, candidates, work, exchange, micro_batches)
    fully = candidates.sharding >= Sharding.ZERO3
    return DataParallelTime(
        exposed_s=np.where(fully, fsdp.exposed_s, step.exposed_s),
        hidden_s=np.where(fully, fsdp.hidden_s, step.hidden_s),
    )


def beside(
    comm_s: FloatColumn, compute_s: FloatColumn, num_pieces: FloatColumn, *, overlap: bool | BoolColumn
) -> FloatColumn:
    """Exposed part of communication in pieces beside compute: the last piece has nothing left to hide behind."""
    piece = comm_s / np.maximum(num_pieces, 1.0)
    return np.where(overlap, np.maximum(comm_s - compute_s, piece), comm_s)


def reduces_beside(job: Job, candidates: Candidates) -> BoolColumn:
    """(num_candidates,) whether gradients reduce beside the backward pass."""
    profile = job.framework
    alone = candidates.tp * candidates.pp == 1
    return np.asarray(profile.overlap_gradient_reduce & (profile.overlap_beside_model_parallel | alone))


def once_a_step(
    job: Job, candidates: Candidates, work: StageWork, exchange: Exchange, micro_batches: IntColumn
) -> DataParallelTime:
    """Unsharded, ZeRO-1 and ZeRO-2: what is exchanged once a step.

    Gradients reduce beside the last backward pass (with ZeRO-2 beside every one), parameters gather beside the first
    forward pass (Megatron-core's distributed optimizer with overlap).
    """
    profile = job.framework
    sharded = candidates.sharding >= Sharding.ZERO1
    often = profile.fsdp_reduce_each_micro_batch & (candidates.sharding == Sharding.ZERO2)
    reductions = np.where(often, micro_batches, 1)
    gradients = np.where(sharded, exchange.scatter_s + exchange.reduce_s, exchange.reduce_s)
    parameters = np.where(sharded, exchange.gather_s, 0.0)
    exposed_reduce = beside(gradients, work.backward_s, work.num_layers, overlap=reduces_beside(job, candidates))
    exposed_gather = beside(parameters, work.forward_s, work.num_layers, overlap=profile.overlap_parameter_gather)
    slices_s = np.where(sharded, profile.shard_slice_s * data_ranks(candidates) * work.num_layers, 0.0)
    exposed = reductions * exposed_reduce + exposed_gather + slices_s
    return DataParallelTime(exposed, reductions * gradients + parameters + slices_s - exposed)


def each_micro_batch(
    job: Job, calls: KernelCalls, candidates: Candidates, work: StageWork, exchange: Exchange, micro_batches: IntColumn
) -> DataParallelTime:
    """ZeRO-3 and HSDP: every micro-batch gathers twice; gradients scatter after each or after the last one.

    HSDP's reduction across replicas follows every scatter (PyTorch FSDP, arXiv:2304.11277, §3.2).
    """
    profile = job.framework
    reduce = exchange.scatter_s + exchange.reduce_s
    reductions = micro_batches if profile.fsdp_reduce_each_micro_batch else np.ones_like(micro_batches)
    gather_exposed = beside(exchange.gather_s, work.forward_s, work.num_layers, overlap=profile.overlap_fsdp)
    backward_gathers = 1 + (job.framework.recompute_gathers & (candidates.recompute == Recompute.FULL))
    again = backward_gathers * exchange.gather_s
    with_reduce = beside(again + reduce, work.backward_s, work.num_layers, overlap=profile.overlap_fsdp)
    without = beside(again, work.backward_s, work.num_layers, overlap=profile.overlap_fsdp)
    exposed = micro_batches * gather_exposed + reductions * with_reduce + (micro_batches - reductions) * without
    total = micro_batches * (1 + backward_gathers) * exchange.gather_s + reductions * reduce
    pieces_s = micro_batches * pieces_time(job, calls, candidates, work, exchanges=2 + backward_gathers)
    return DataParallelTime(exposed + pieces_s, total - exposed)


def pieces_time(
    job: Job, calls: KernelCalls, candidates: Candidates, work: StageWork, *, exchanges: IntColumn | int
) -> FloatColumn:
    """Seconds a micro-batch in which ZeRO-3 cuts what it exchanges to pieces of the ranks; 0 on one buffer.

    The host starts a copy for every piece of every tensor, the device moves the bytes of all `exchanges`.
    """
    profile, parameters = job.framework, work.gathered_dense + work.expert_parameters
    moved_bytes = exchanges * parameters * job.workload.activation_bytes * profile.exchange_traffic
    cut_s = profile.shard_slice_s * candidates.shard_group * work.num_layers
    return np.asarray(cut_s + calls.copy(moved_bytes))
