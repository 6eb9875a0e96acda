"""What Meshwright predicts for published runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import Costs, StepTerm
from meshwright.cost_models.simulated_price import final_price
from meshwright.errors import MeshwrightError
from meshwright.planner.runs.completion import completed_run
from meshwright.planner.runs.held_memory import held_bytes
from meshwright.planner.runs.job import run_job
from meshwright.planner.runs.one_node import seen_stages
from meshwright.planner.runs.plan import RunPlan, is_offload_told, plan_table, run_plan
from meshwright.planner.runs.recompute import as_needed
from meshwright.planner.runs.run import Run

GIB = 2.0**30


CACHED = 0.09
"""Free blocks that a caching allocator still holds at the peak, over allocated bytes: more than a run needs. Chosen
once, not fitted: it brings the median of published peaks that `nvidia-smi` or the allocator reports near the prediction
(`datasets/runs`), with no rows held back."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction for one run.

    Attributes:
        run_id: Of the run.
        step_time_s: Predicted step time; None if it can't be told.
        peak_memory_gib: Predicted peak memory on the run's own basis; None if it can't be told.
        reason: Why a number is missing; "" if none is.
        terms_s: Seconds by `StepTerm`, in its order; empty without a step time.
    """

    run_id: str
    step_time_s: float | None = None
    peak_memory_gib: float | None = None
    reason: str = ""
    terms_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Task:
    index: int
    run: Run
    plan: RunPlan
    reason: str


def predict_runs(runs: Sequence[Run], calibration: Calibration, *, cached: float = CACHED) -> tuple[Prediction, ...]:
    """Prices every run, those of one job together; a run that can't be priced gets the reason.

    Pipelines are simulated, as `plan` and `evaluate` do: validation measures what users get.

    Args:
        runs: What was measured.
        calibration: Rates to predict with.
        cached: Free blocks that reserved memory holds beside what a run needs, over allocated bytes.
    """
    predictions: list[Prediction | None] = [None] * len(runs)
    jobs: dict[tuple[object, ...], tuple[Job, list[_Task]]] = {}
    for index, run in enumerate(runs):
        try:
            whole = completed_run(run)
            job, reason = run_job(whole, calibration)
            plan = run_plan(whole, job.framework, job.cluster.filled_levels[0].extent if job.cluster.levels else 1)
        except MeshwrightError as error:
            predictions[index] = Prediction(run.run_id, reason=str(error))
            continue
        key = (job.architecture, job.cluster.name, job.cluster.accelerator.name, job.cluster.num_devices,
               job.cluster.devices_per_node, job.workload, job.framework)  # fmt: skip
        jobs.setdefault(key, (job, []))[1].append(_Task(index, whole, plan, reason))
    for job, tasks in jobs.values():
        for task, prediction in zip(tasks, _priced(job, tasks, cached), strict=True):
            predictions[task.index] = prediction
    return tuple(prediction for prediction in predictions if prediction is not None)


def _priced(job: Job, tasks: Sequence[_Task], cached: float) -> Iterable[Prediction]:
    try:
        plans = as_needed(job, [task.run for task in tasks], [task.plan for task in tasks])
        table = plan_table(plans)
        costs = final_price(job, table)
    except MeshwrightError as error:
        return [Prediction(task.run.run_id, reason=str(error)) for task in tasks]
    runs = [task.run for task in tasks]
    seen = seen_stages(job, table, runs, costs)
    bases = [_basis(run, job.framework.published.printed_memory or "") for run in runs]
    peaks = {basis: peak_on_basis(costs, basis, cached, seen) + held_bytes(job, table) for basis in set(bases)}
    return [_prediction(costs, row, task, float(peaks[bases[row]][row])) for row, task in enumerate(tasks)]


def _prediction(costs: Costs, row: int, task: _Task, peak_bytes: float) -> Prediction:
    told = is_offload_told(task.run)
    memory = peak_bytes / GIB if told else None
    reason = task.reason or ("" if told else "memory: what is offloaded isn't told")
    terms = tuple(float(costs.terms[term][row]) for term in StepTerm)
    if not task.reason and not isfinite(sum(terms)):
        reason = "the machine's host memory is unknown"
    if task.reason or not isfinite(sum(terms)):
        return Prediction(task.run.run_id, peak_memory_gib=memory, reason=reason)
    return Prediction(task.run.run_id, float(costs.step_time_s[row]), memory, reason, terms)


def _basis(run: Run, printed: str) -> str:
    """How a row's memory was measured: as its framework does where the row doesn't tell, unknown where nobody does."""
    if "measurement method not stated" in run.note:
        return ""
    return printed if printed and run.mem_basis in ("", "unknown-basis") else run.mem_basis


def peak_on_basis(
    costs: Costs, basis: str, cached: float = CACHED, seen: NDArray[np.bool_] | bool = True
) -> FloatColumn:
    """Peak bytes of the fullest device as a source measured it, among the groups of stages that were `seen`.

    `nvidia-smi` sees the context and what the allocator reserves, and is what people read who don't say how they
    measured; `reserved` counts what the allocator reserves; the others what it has handed out.
    """
    memory = costs.memory
    reserved = memory.allocated + memory.fragmentation + cached * memory.allocated * (memory.fragmentation > 0)
    if basis in ("", "nvidia-smi", "unknown-basis"):
        return np.asarray(np.where(seen, reserved + memory.context, 0.0).max(axis=1))
    if basis == "reserved":
        return np.asarray(np.where(seen, reserved, 0.0).max(axis=1))
    return np.asarray(np.where(seen, memory.allocated, 0.0).max(axis=1))
