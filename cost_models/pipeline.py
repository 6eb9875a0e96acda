"""Closed forms of a pipeline's step: how long the bubble is, and how many micro-batches are in flight."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import (
    SCHEDULE_NAMES,
    SPLIT_BACKWARD,
    VOCABULARY_PARALLEL,
    BoolColumn,
    Candidates,
    FloatColumn,
    IntColumn,
    Schedule,
)
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.schedules.protocol import PipelineSchedule, PipelineShape
from meshwright.cost_models.schedules.registry import SCHEDULES
from meshwright.cost_models.stage_costs import StageCosts


def num_micro_batches(job: Job, candidates: Candidates) -> IntColumn:
    """Micro-batches a step and data-parallel rank."""
    return job.workload.global_batch // (candidates.dp * candidates.micro_batch)


@dataclass(frozen=True)
class StagePasses:
    """Seconds of one micro-batch, as the closed forms of a pipeline see them; (num_candidates,) each.

    Attributes:
        slowest_s: Forward and backward on the slowest stage.
        others_s: The same, summed over all other stages.
        forward_s: Forward on the mean of the other stages.
        backward_input_s: Gradient of the input, recomputation included, on the mean of the other stages.
        backward_weight_s: Gradient of the weights on the mean of the other stages.
    """

    slowest_s: FloatColumn
    others_s: FloatColumn
    forward_s: FloatColumn
    backward_input_s: FloatColumn
    backward_weight_s: FloatColumn


def stage_passes(stages: StageCosts) -> StagePasses:
    """The passes of every distinct stage problem; (num_problems,) each."""
    busy_s = stages.forward_s + stages.backward_s
    slowest = np.argmax(busy_s, axis=1)[:, None]
    num_others = np.maximum(stages.num_stages.sum(axis=1) - 1.0, 1.0)

    def others(seconds: NDArray[np.float64]) -> FloatColumn:
        return np.asarray(
            (seconds * stages.num_stages).sum(axis=1) - np.take_along_axis(seconds, slowest, axis=1)[:, 0]
        )

    forward_s, weight_s = others(stages.forward_s) / num_others, others(stages.weight_s) / num_others
    return StagePasses(
        slowest_s=np.take_along_axis(busy_s, slowest, axis=1)[:, 0],
        others_s=others(busy_s),
        forward_s=forward_s,
        backward_input_s=others(busy_s) / num_others - forward_s - weight_s,
        backward_weight_s=weight_s,
    )


def bubble_s(candidates: Candidates, micro_batches: IntColumn, passes: StagePasses, problem: IntColumn) -> FloatColumn:
    """Idle time of the slowest stage while the pipeline fills and drains.

    For equal stages (p-1)·t for GPipe and 1F1B, and (p-1)·t/v with v interleaved chunks (Narayanan et al.,
    arXiv:2104.04473, §2.2); where stages differ, the other stages' times take the place of (p-1)·t. The closed forms
    of the other schedules are their own, on the mean of the other stages.

    Args:
        candidates: The plans.
        micro_batches: (num_candidates,) micro-batches a step.
        passes: Of every stage problem.
        problem: (num_candidates,) index into them.
    """
    chunks = np.where(candidates.schedule == Schedule.INTERLEAVED, candidates.vpp, 1)
    bubble = np.asarray(passes.others_s[problem] / chunks)
    for schedule, rows in _with_own_forms(candidates):
        one = problem[rows]
        shape = PipelineShape(
            candidates.pp[rows], micro_batches[rows], candidates.vpp[rows],
            passes.forward_s[one], passes.backward_input_s[one], passes.backward_weight_s[one],
        )  # fmt: skip
        bubble[rows] = np.maximum(schedule.bubble_s(shape), 0.0)
    return bubble


def _with_own_forms(candidates: Candidates) -> list[tuple[PipelineSchedule, IntColumn]]:
    """The schedules with closed forms of their own that a table names, with their rows."""
    present = [one for one in (*SPLIT_BACKWARD, *VOCABULARY_PARALLEL) if (candidates.schedule == one).any()]
    return [(SCHEDULES[SCHEDULE_NAMES[one]], np.flatnonzero(candidates.schedule == one)) for one in present]


def in_flight(candidates: Candidates, micro_batches: IntColumn, first_index: FloatColumn) -> NDArray[np.float64]:
    """Micro-batches whose activations a stage holds at its peak, in whole-stage units; (num_candidates, num_groups).

    GPipe holds all m; 1F1B min(m, p-i) at stage i; interleaving runs 2(p-i-1)+(v-1)p+1 chunks ahead, each 1/v of a
    stage (Megatron-core's schedules; at stage 0 this is p·(1+(p-1)/(p·v)), arXiv:2205.05198, §4.2.3). The other
    schedules say so themselves.

    Args:
        candidates: The plans.
        micro_batches: (num_candidates,) micro-batches a step.
        first_index: (num_candidates, num_groups) earliest stage of each group.
    """
    pp, vpp, m = candidates.pp[:, None], candidates.vpp[:, None], micro_batches[:, None]
    flying = np.minimum(m, pp - first_index).astype(np.float64)
    gpipe = np.flatnonzero(candidates.schedule == Schedule.GPIPE)
    flying[gpipe] = m[gpipe]
    chunked = np.flatnonzero(candidates.schedule == Schedule.INTERLEAVED)
    stages, chunks = pp[chunked], vpp[chunked]
    ahead = 2 * (stages - first_index[chunked] - 1) + (chunks - 1) * stages + 1
    flying[chunked] = np.minimum(ahead, m[chunked] * chunks) / chunks
    for one, rows in _with_own_forms(candidates):
        shape = PipelineShape(pp[rows], m[rows], vpp[rows])
        flying[rows] = one.peak_activations(shape, first_index[rows].astype(np.int64))
    return flying


def messages_stall(job: Job, candidates: Candidates) -> BoolColumn:
    """(num_candidates,) whether the framework's messages between stages wait for more than their links."""
    stall = job.framework.send_stall
    if stall is None:
        return np.zeros(len(candidates), dtype=np.bool_)
    return (candidates.pp > 1) & ((job.cluster.num_devices >= stall.devices) | (candidates.tp >= stall.tp))


def message_s(calls: KernelCalls, candidates: Candidates, boundary_bytes: FloatColumn) -> FloatColumn:
    """(num_candidates,) one message between neighbouring stages, with what holds it up in the framework.

    Tensor-parallel ranks hold the same activations unless they divide the sequence. With scattered sends each of them
    sends its share, and the receivers gather the shares (Narayanan et al., arXiv:2104.04473, §4.1).
    """
    c, stall = candidates, calls.job.framework.send_stall
    shares = np.where(calls.job.framework.scattered_sends & ~c.sequence_parallel, c.tp, 1)
    sent_s = calls.send_recv(boundary_bytes / shares, c.tp * c.cp * c.dp)
    sent_s = sent_s + calls.all_gather(boundary_bytes, shares, np.ones_like(shares))
    if stall is None:
        return sent_s
    held_up = messages_stall(calls.job, candidates)
    ends = np.where(c.pp > 2, 2, 1)  # a stage in the middle also waits for its other neighbour's
    return np.asarray(sent_s + stall.seconds * ends * held_up)


def pipeline_comm_s(
    job: Job, calls: KernelCalls, candidates: Candidates, micro_batches: IntColumn, boundary_bytes: FloatColumn
) -> FloatColumn:
    """Exposed time of sends between stages.

    1F1B waits for each send and receive, forward and backward; overlapped interleaving waits only while the
    pipeline fills and drains (Megatron-core, `overlap_p2p_comm`), and slows the compute beside it.
    """
    message = message_s(calls, candidates, boundary_bytes)
    filling = 2 * (candidates.pp - 1)
    steady = 2 * micro_batches * candidates.vpp
    overlapped = job.framework.overlap_pipeline & (candidates.schedule == Schedule.INTERLEAVED)
    waits = filling + steady * np.where(overlapped, calls.training.overlap_slowdown, 1.0)
    return np.asarray(np.where(candidates.pp > 1, waits * message, 0.0))
