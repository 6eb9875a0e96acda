"""The price of plans by simulation: what the closed forms say of everything but the pipeline, and replay of that."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import Candidates, Schedule
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import Costs, StepTerm, price
from meshwright.cost_models.schedules import Orders
from meshwright.cost_models.simulated_steps import PlanStep, PlanSteps
from meshwright.cost_models.simulator import StepTimeline, simulate, simulate_many

FloatArray = NDArray[np.float64]

WAITS = np.array([StepTerm.PIPELINE_COMM, StepTerm.BUBBLE, StepTerm.DATA_COMM, StepTerm.OFFLOAD])
"""The terms that a simulation replaces: the others are work, the same by closed form and by simulation."""
SHORT_PIPELINES, LONG_PIPELINES = 4, 6
"""Micro-batches of the two shortened simulations, in units of the devices along the pipeline."""


def simulated_price(job: Job, candidates: Candidates, costs: Costs, fixed: Orders | None = None) -> Costs:
    """Prices in which the step of every plan with a pipeline is simulated; the terms still add up to it.

    Long steps are simulated twice with fewer micro-batches, and continued in a straight line: once the slowest device
    or cycle sets the pace, every further group of micro-batches takes the same time.

    Args:
        job: The job.
        candidates: The plans.
        costs: Their closed-form prices.
        fixed: Orders of all of them in place of those of their schedules.
    """
    if not (candidates.pp > 1).any():
        return costs
    table = PlanSteps.of(job, candidates, costs, fixed)
    steps = [table[int(row)] for row in np.flatnonzero(candidates.pp > 1)]
    runs = [run for step in steps for run in _runs(step)]
    timelines = simulate_many([(run.step.orders(run.num_micro_batches), run.step.costs) for run in runs])
    terms, hidden_s = costs.terms.copy(), costs.hidden_comm_s.copy()
    for step in steps:
        terms[WAITS, step.row] = step.outside_s[WAITS]
    for run, timeline in zip(runs, timelines, strict=True):
        terms[WAITS, run.step.row] += run.weight * _waits_s(run.step, timeline)
    piped = np.flatnonzero(candidates.pp > 1)
    terms[np.ix_(WAITS, piped)] = none_below_zero(terms[np.ix_(WAITS, piped)])
    for step in (one for one in steps if one.exchanges_once):
        hidden_s[step.row] = step.hidden_s(float(terms[StepTerm.DATA_COMM, step.row]))
        terms[StepTerm.DATA_COMM, step.row] += table.calls.training.overlap_slowdown * hidden_s[step.row]
    return replace(costs, step_time_s=terms.sum(axis=0), terms=terms, hidden_comm_s=hidden_s)


def none_below_zero(waits_s: FloatArray) -> FloatArray:
    """(num_waits, num_plans) waits with the same sums, of which none is negative.

    A straight line through two short steps can take one kind of wait below zero, where another grows in its place.
    """
    waits = np.maximum(waits_s, 0.0)
    total_s, positive_s = np.maximum(waits_s.sum(axis=0), 0.0), waits.sum(axis=0)
    return np.asarray(waits * np.divide(total_s, positive_s, out=np.ones_like(total_s), where=positive_s > 0))


def final_price(job: Job, candidates: Candidates, fixed: Orders | None = None) -> Costs:
    """The last word on every plan of a table: closed forms, and simulation where there is a pipeline."""
    return simulated_price(job, candidates, price(job, candidates), fixed)


def simulated_step(job: Job, candidates: Candidates, row: int = 0, fixed: Orders | None = None) -> StepTimeline:
    """The whole step of one plan, with its bytes; without pipeline stages it is a pipeline of one."""
    step = PlanSteps.of(job, candidates, fixed=fixed)[row]
    return simulate(step.orders(step.num_micro_batches), replace(step.costs, bytes=step.bytes))


@dataclass(frozen=True)
class _Run:
    """One simulation of a plan, and how much it counts."""

    step: PlanStep
    num_micro_batches: int
    weight: float


def _runs(step: PlanStep) -> list[_Run]:
    """One simulation of the whole step, or two of shorter ones that a straight line continues."""
    pp, total = len(step.layout.group_of_stage), step.num_micro_batches
    short, long = (total % pp + pipelines * pp for pipelines in (SHORT_PIPELINES, LONG_PIPELINES))
    if total <= long or step.schedule == Schedule.GPIPE or step.table.fixed is not None:
        return [_Run(step, total, 1.0)]
    beyond = (total - long) / (long - short)
    return [_Run(step, long, 1.0 + beyond), _Run(step, short, -beyond)]


def _waits_s(step: PlanStep, timeline: StepTimeline) -> FloatArray:
    """Seconds of `WAITS` on the slowest device."""
    times, device = timeline.devices, step.slowest_device
    copies_s = times.exposed_offload_s * step.offloads  # without copies nothing but rounding
    waits = (times.exposed_transfer_s, times.bubble_s, times.exposed_data_parallel_s, copies_s)
    return np.array([float(wait_s[device]) for wait_s in waits])
