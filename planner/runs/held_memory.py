"""Memory that an allocator reserves because it can't use blocks again before the device has passed."""

import numpy as np

from meshwright.cost_models.candidates import Candidates, FloatColumn
from meshwright.cost_models.job import Job
from meshwright.cost_models.pipeline import messages_stall, num_micro_batches


def held_bytes(job: Job, table: Candidates) -> FloatColumn:
    """(num_runs,) bytes on the first stage's devices that collectives hold while the host runs ahead of the device.

    PyTorch's caching allocator gives a block that another stream reads (`record_stream`) to others only once the device
    has passed. Without stages the host is ahead by a forward pass; with them by those before the first message from
    behind is waited for, but for the first and the last; not at all where messages stop the host. It is no part of a
    plan's memory: short of memory, the allocator waits.
    """
    elements = table.micro_batch * (job.workload.seq_len / table.cp) * job.architecture.hidden
    ahead = np.where(table.pp > 1, np.minimum(table.pp, num_micro_batches(job, table)) - 2, 1)
    ahead = np.where((table.tp > 1) & ~messages_stall(job, table), np.maximum(ahead, 0), 0)
    layers = job.architecture.num_layers / table.pp
    return np.asarray(job.framework.published.held_tensors * job.workload.activation_bytes * elements * layers * ahead)
