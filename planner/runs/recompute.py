"""What runs recompute where neither source nor profile says: everything, if they fit only so."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from meshwright.cost_models.candidates import Recompute
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import price
from meshwright.planner.frameworks import STAND_INS
from meshwright.planner.runs.plan import RunPlan, plan_table
from meshwright.planner.runs.run import Run

ASSUMED = "recompute not printed, none assumed"
"""The note of rows whose recompute column holds a default of the table, not a fact."""


def as_needed(job: Job, runs: Sequence[Run], plans: Sequence[RunPlan]) -> list[RunPlan]:
    """The plans, with everything recomputed where nobody says what is, and only so they fit their devices."""
    open_ones = [index for index, run in enumerate(runs) if _is_open(job, run)]
    changed = list(plans)
    if not open_ones:
        return changed
    needed = price(job, plan_table([plans[index] for index in open_ones])).allocated_bytes
    for index in np.array(open_ones)[needed > job.cluster.accelerator.memory_bytes].tolist():
        changed[index] = replace(
            plans[index],
            recompute=int(Recompute.FULL),
            recompute_modules=0,
            recompute_layers=job.architecture.num_layers,
        )
    return changed


def _is_open(job: Job, run: Run) -> bool:
    """Whether a run's recomputation is unknown: nobody described its framework, or recipes of it differ in that."""
    if job.framework.name in STAND_INS:
        return not run.recompute
    return job.framework.published.recompute_as_needed and (not run.recompute or ASSUMED in run.note)
