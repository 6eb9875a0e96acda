"""The optimizer step: memory-bound passes over the states a device owns, and one global gradient norm."""

import numpy as np

from meshwright.cost_models import kernels
from meshwright.cost_models.candidates import Candidates, FloatColumn
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.offload_time import device_share
from meshwright.cost_models.state_bytes import state_bytes

CLIP_PASSES = 3.0
"""Gradient clipping: read for the norm, read and write for the scaling."""
MOMENTS_BYTES = 8.0
"""Two fp32 moments; an optimizer that holds more has a master copy, too."""
LEAST_BYTES = 2.0
"""Of gradients that are used at once, and of two 8-bit moments that live outside the allocator: both are still read."""


def optimizer_time_s(job: Job, calls: KernelCalls, candidates: Candidates, owned: FloatColumn) -> FloatColumn:
    """Time of one optimizer step with fused Adam.

    Per parameter it reads the gradient, reads and writes the optimizer's states, writes the copy that computes, and
    reads that, too, where it is its own master: 4 + 2·12 + 2 bytes in mixed precision with fp32 gradients.

    Args:
        job: The job.
        calls: Its kernels.
        candidates: The plans.
        owned: (num_candidates,) parameters whose optimizer states a device holds.
    """
    parameter, gradient, optimizer, _ = (column[:, 0] for column in state_bytes(job, candidates))
    gradient, optimizer = np.maximum(gradient, LEAST_BYTES), np.maximum(optimizer, LEAST_BYTES)
    parameter_passes = np.where(optimizer > MOMENTS_BYTES, 1.0, 2.0)
    adam = gradient + 2.0 * optimizer + parameter_passes * parameter
    traffic = owned * (adam * device_share(candidates) + CLIP_PASSES * gradient)
    passes = kernels.streaming_time_s(job.cluster.accelerator, calls.kernel_rates, traffic)
    world = candidates.dp * candidates.tp * candidates.pp * candidates.cp
    norm = calls.all_reduce(np.full(len(candidates), 4.0), world, np.ones_like(world))
    return passes + norm
