"""Measured steps, ready to be priced again and again under other calibrations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.candidates import Candidates, FloatColumn, IntColumn
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import Costs, StepTerm, price
from meshwright.errors import MeshwrightError
from meshwright.planner.runs import Run
from meshwright.planner.runs.completion import completed_run
from meshwright.planner.runs.job import run_job
from meshwright.planner.runs.plan import RunPlan, plan_table, run_plan
from meshwright.planner.runs.recompute import as_needed


@dataclass(frozen=True)
class PricedJob:
    """Plans of one job, and which steps they are.

    Attributes:
        job: The job.
        candidates: One row for each step.
        steps: Index of each row among the measured steps.
    """

    job: Job
    candidates: Candidates
    steps: IntColumn


@dataclass(frozen=True)
class MeasuredSteps:
    """Runs with a measured step time that can be priced.

    Attributes:
        runs: The runs, in the order of all arrays.
        jobs: Their jobs and plans; together they cover every run once.
        measured_s: (num_runs,) measured step times.
        unpriced: Why other runs can't be used, by run_id.
    """

    runs: tuple[Run, ...]
    jobs: tuple[PricedJob, ...]
    measured_s: FloatColumn
    unpriced: dict[str, str]

    @property
    def sources(self) -> tuple[str, ...]:
        """Where each run was published; a user's own runs may leave it empty."""
        return tuple(run.source for run in self.runs)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of accelerator of each run."""
        kinds = [""] * len(self.runs)
        for group in self.jobs:
            for step in group.steps.tolist():
                kinds[step] = group.job.cluster.accelerator.kind
        return tuple(kinds)

    def step_times_s(self, calibration: Calibration) -> FloatColumn:
        """(num_runs,) predicted step times."""
        return self._priced(calibration, lambda costs: costs.step_time_s)

    def shares(self, calibration: Calibration, group: Sequence[StepTerm]) -> FloatColumn:
        """(num_runs,) share of the predicted step that some of its terms take."""
        return self._priced(calibration, lambda costs: costs.share(group))

    def _priced(self, calibration: Calibration, column: Callable[[Costs], FloatColumn]) -> FloatColumn:
        values = np.zeros(len(self.runs))
        for group in self.jobs:
            values[group.steps] = column(price(replace(group.job, calibration=calibration), group.candidates))
        return values


def measured_steps(runs: Sequence[Run], calibration: Calibration) -> MeasuredSteps:
    """The runs whose step time is known and can be priced; the others with the reason."""
    usable, unpriced = list[Run](), dict[str, str]()
    rows: dict[tuple[object, ...], tuple[Job, list[tuple[int, Run, RunPlan]]]] = {}
    for run in runs:
        if not run.step_time_s or run.quality == "C":
            continue
        try:
            whole = completed_run(run)
            job, reason = run_job(whole, calibration)
            plan = run_plan(whole, job.framework, job.cluster.filled_levels[0].extent if job.cluster.levels else 1)
        except MeshwrightError as error:
            unpriced[run.run_id] = str(error)
            continue
        if reason:
            unpriced[run.run_id] = reason
            continue
        key = (job.architecture, job.cluster.name, job.cluster.accelerator.name, job.cluster.num_devices,
               job.cluster.devices_per_node, job.workload, job.framework)  # fmt: skip
        rows.setdefault(key, (job, []))[1].append((len(usable), whole, plan))
        usable.append(run)
    jobs = tuple(_priced_job(job, tasks) for job, tasks in rows.values())
    return MeasuredSteps(tuple(usable), jobs, np.array([run.step_time_s for run in usable]), unpriced)


def _priced_job(job: Job, tasks: Sequence[tuple[int, Run, RunPlan]]) -> PricedJob:
    """The plans of one job as `predict_runs` reads them, what their sources leave out about recomputation filled in."""
    indices, runs, plans = zip(*tasks, strict=True)
    return PricedJob(job, plan_table(as_needed(job, runs, plans)), np.array(indices))
