"""Memory that was read on one node: which stages of a pipeline a reading has seen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import Candidates
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import Costs
from meshwright.cost_models.stages import row_layout
from meshwright.planner.runs.run import Run

MOST_LOADED = "most loaded node"
"""What rows say whose sources read memory where it was fullest."""


def seen_stages(job: Job, table: Candidates, runs: Sequence[Run], costs: Costs) -> NDArray[np.bool_]:
    """(num_runs, num_groups) groups of stages whose memory a source can have seen.

    `nvidia-smi` shows one node: the first, from where a job is watched, unless the row says that it was the fullest.
    Some frameworks print one device: their first.

    Args:
        job: The job of all runs.
        table: Their plans.
        runs: What was measured.
        costs: Prices of the plans.
    """
    seen = np.ones(costs.memory.allocated.shape, dtype=np.bool_)
    for row, run in enumerate(runs):
        of_first_node = run.mem_basis == "nvidia-smi" and MOST_LOADED not in run.note
        if of_first_node or (job.framework.published.prints_first_device and run.mem_basis != "nvidia-smi"):
            in_stage = int((table.tp * table.cp * table.dp)[row])
            stages = max(job.cluster.devices_per_node // in_stage, 1) if of_first_node else 1
            seen[row] = np.isin(np.arange(len(seen[row])), row_layout(job, table, row).group_of_stage[:stages])
    return seen
