"""Closed forms of a pipeline's step: how long the bubble is, and how many micro-batches are in flight."""

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import Candidates, FloatColumn, IntColumn, Schedule
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls


def num_micro_batches(job: Job, candidates: Candidates) -> IntColumn:
    """Micro-batches a step and data-parallel rank."""
    return job.workload.global_batch // (candidates.dp * candidates.micro_batch)


def bubble_s(candidates: Candidates, slowest_s: FloatColumn, all_stages_s: FloatColumn) -> FloatColumn:
    """Idle time of the slowest stage while the pipeline fills and drains.

    For equal stages (p-1)·t for GPipe and 1F1B, and (p-1)·t/v with v interleaved chunks (Narayanan et al.,
    arXiv:2104.04473, §2.2); where stages differ, the other stages' times take the place of (p-1)·t.

    Args:
        candidates: The plans.
        slowest_s: (num_candidates,) forward and backward of one micro-batch on the slowest stage.
        all_stages_s: (num_candidates,) the same, summed over all stages.
    """
    chunks = np.where(candidates.schedule == Schedule.INTERLEAVED, candidates.vpp, 1)
    return np.asarray((all_stages_s - slowest_s) / chunks)


def in_flight(candidates: Candidates, micro_batches: IntColumn, first_index: FloatColumn) -> NDArray[np.float64]:
    """Micro-batches whose activations a stage holds at its peak, in whole-stage units; (num_candidates, num_groups).

    GPipe holds all m; 1F1B min(m, p-i) at stage i; interleaving runs 2(p-i-1)+(v-1)p+1 chunks ahead, each 1/v of a
    stage (Megatron-core's schedules; at stage 0 this is p·(1+(p-1)/(p·v)), arXiv:2205.05198, §4.2.3).

    Args:
        candidates: The plans.
        micro_batches: (num_candidates,) micro-batches a step.
        first_index: (num_candidates, num_groups) earliest stage of each group.
    """
    pp, vpp, m = candidates.pp[:, None], candidates.vpp[:, None], micro_batches[:, None]
    one_f_one_b = np.minimum(m, pp - first_index)
    ahead = 2 * (pp - first_index - 1) + (vpp - 1) * pp + 1
    interleaved = np.minimum(ahead, m * vpp) / vpp
    schedule = candidates.schedule[:, None]
    return np.where(
        schedule == Schedule.GPIPE, m, np.where(schedule == Schedule.INTERLEAVED, interleaved, one_f_one_b)
    ).astype(np.float64)


def pipeline_comm_s(
    job: Job, calls: KernelCalls, candidates: Candidates, micro_batches: IntColumn, boundary_bytes: FloatColumn
) -> FloatColumn:
    """Exposed time of sends between stages.

    1F1B waits for each send and receive, forward and backward; overlapped interleaving waits only while the
    pipeline fills and drains (Megatron-core, `overlap_p2p_comm`), and slows the compute beside it.
    """
    message = calls.send_recv(boundary_bytes, candidates.tp * candidates.cp * candidates.dp)
    filling = 2 * (candidates.pp - 1)
    steady = 2 * micro_batches * candidates.vpp
    overlapped = job.framework.overlap_pipeline & (candidates.schedule == Schedule.INTERLEAVED)
    waits = filling + steady * np.where(overlapped, calls.training.overlap_slowdown, 1.0)
    return np.asarray(np.where(candidates.pp > 1, waits * message, 0.0))
