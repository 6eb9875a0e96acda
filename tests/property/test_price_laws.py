"""Laws that the price of a plan obeys, whatever the model, the cluster, the framework and the plan."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import law, plan_tables, priced_tables, problems

from meshwright.cost_models.candidates import SPLIT_BACKWARD, Candidates, FloatColumn, Recompute, Sharding
from meshwright.cost_models.floor import floor_prices, mean_state_bytes
from meshwright.cost_models.flops import step_flops
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import Costs, StepTerm, price
from meshwright.cost_models.stage_model import stage_model
from meshwright.cost_models.state_bytes import data_ranks
from meshwright.planner.axes import row_text
from meshwright.planner.problem import Problem

ROUNDING = 1e-9


def never_more(less: FloatColumn, more: FloatColumn, plans: Candidates) -> None:
    """Asserts less <= more in every row, and names the plan that breaks it most."""
    excess = (less - more) / np.maximum(more, np.finfo(float).tiny)
    worst = int(np.argmax(excess))
    assert excess[worst] <= ROUNDING, f"{excess[worst]:.3%} more: {row_text(plans, worst)}"


def on(job: Job, **changes: object) -> Job:
    """The job on a cluster whose accelerator has other figures."""
    return replace(job, cluster=replace(job.cluster, accelerator=replace(job.cluster.accelerator, **changes)))  # type: ignore[arg-type]


@law
@given(priced_tables())
def test_terms_add_up_to_the_step_time(given_: tuple[Problem, Candidates]) -> None:
    """No second is unaccounted for, and no term is negative or unknown."""
    problem, plans = given_
    costs = price(problem.job, plans)
    assert np.isfinite(costs.terms).all()
    assert (costs.terms >= 0).all()
    np.testing.assert_allclose(costs.terms.sum(axis=0), costs.step_time_s, rtol=ROUNDING)


@law
@given(priced_tables())
def test_memory_classes_add_up_to_the_peak(given_: tuple[Problem, Candidates]) -> None:
    """The fullest stage's classes sum to the peak, and no class is negative."""
    problem, plans = given_
    costs = price(problem.job, plans)
    classes = [getattr(costs.memory, field.name) for field in fields(costs.memory) if field.name != "off_device"]
    assert all((np.isfinite(number) & (number >= 0)).all() for number in classes)
    np.testing.assert_allclose(sum(classes).max(axis=1), costs.peak_memory_bytes, rtol=ROUNDING)


@law
@given(priced_tables(), st.integers(0, 10**6))
def test_a_price_does_not_depend_on_the_other_plans(given_: tuple[Problem, Candidates], pick: int) -> None:
    """Alone, in a table, or in the reversed table: a plan costs the same."""
    problem, plans = given_
    together, reverse = price(problem.job, plans), price(problem.job, plans[::-1])
    same_price(together, reverse, np.arange(len(plans)), np.arange(len(plans))[::-1])
    row = pick % len(plans)
    same_price(together, price(problem.job, plans[row : row + 1]), np.array([row]), np.array([0]))


def same_price(one: Costs, other: Costs, rows: np.ndarray, other_rows: np.ndarray) -> None:
    np.testing.assert_allclose(one.terms[:, rows], other.terms[:, other_rows], rtol=ROUNDING, atol=1e-12)
    np.testing.assert_allclose(one.peak_memory_bytes[rows], other.peak_memory_bytes[other_rows], rtol=ROUNDING)


def doubled_links(job: Job) -> Job:
    levels = tuple(
        replace(level, bandwidth_bytes_per_s=2 * level.bandwidth_bytes_per_s) for level in job.cluster.levels
    )
    return replace(job, cluster=replace(job.cluster, levels=levels))


def halved_latency(job: Job) -> Job:
    levels = tuple(replace(level, latency_s=level.latency_s / 2) for level in job.cluster.levels)
    return replace(job, cluster=replace(job.cluster, levels=levels))


def doubled_memory_bandwidth(job: Job) -> Job:
    return on(
        job,
        memory_bandwidth_bytes_per_s=2 * job.cluster.accelerator.memory_bandwidth_bytes_per_s,
    )


def doubled_peak(job: Job) -> Job:
    return on(job, peak_flops={name: 2 * peak for name, peak in job.cluster.accelerator.peak_flops.items()})


@pytest.mark.parametrize("improve", [doubled_links, halved_latency, doubled_memory_bandwidth, doubled_peak])
@law
@given(priced_tables())
def test_better_hardware_never_slows_a_plan(improve: Callable[[Job], Job], given_: tuple[Problem, Candidates]) -> None:
    """Twice the bandwidth, half the latency or twice the peak: every plan is at least as fast.

    Schedules that fill their bubble with weight gradients are left out: on unlike stages their closed forms count a
    faster weight gradient of one stage as idle time of another, and only the simulation has the last word on them.
    """
    problem, plans = given_
    plans = plans[~np.isin(plans.schedule, SPLIT_BACKWARD)]
    assume(len(plans))
    before, after = price(problem.job, plans), price(improve(problem.job), plans)
    never_more(after.step_time_s, before.step_time_s, plans)


@law
@given(priced_tables())
def test_no_plan_computes_faster_than_the_peak(given_: tuple[Problem, Candidates]) -> None:
    """MFU stays below one."""
    problem, plans = given_
    job = problem.job
    peak = job.cluster.num_devices * job.cluster.accelerator.peak_flops_at(job.workload.precision)
    assert (step_flops(job.architecture, job.workload) < price(job, plans).step_time_s * peak).all()


@law
@given(priced_tables())
def test_the_floor_is_below_the_price_whatever_the_sharding(given_: tuple[Problem, Candidates]) -> None:
    """Pruning by the floor never loses a plan: neither its time nor its memory exceeds the price."""
    problem, plans = given_
    costs, floor = price(problem.job, plans), floor_prices(problem.job, plans)
    never_more(floor.balanced_s, floor.step_time_s, plans)
    never_more(floor.step_time_s, costs.step_time_s, plans)
    never_more(floor.memory_bytes, costs.peak_memory_bytes, plans)


@law
@given(priced_tables())
def test_mean_states_are_below_the_peak(given_: tuple[Problem, Candidates]) -> None:
    """A mesh whose mean states overflow has no plan that fits."""
    problem, plans = given_
    never_more(mean_state_bytes(problem.job, plans), price(problem.job, plans).peak_memory_bytes, plans)


@law
@given(priced_tables())
def test_every_sequence_is_in_one_micro_batch(given_: tuple[Problem, Candidates]) -> None:
    """micro-batches · micro-batch size · dp is the global batch."""
    problem, plans = given_
    number = price(problem.job, plans).num_micro_batches
    assert (number * plans.micro_batch * plans.dp == problem.job.workload.global_batch).all()


def at_level(plans: Candidates, level: Sharding) -> Candidates:
    group = data_ranks(plans) if level else np.ones_like(plans.dp)
    return replace(plans, sharding=np.full_like(plans.sharding, level), shard_group=group)


def state_bytes(costs: Costs) -> FloatColumn:
    return costs.memory.parameters + costs.memory.gradients + costs.memory.optimizer


@law
@given(priced_tables())
def test_sharding_more_never_takes_more_memory(given_: tuple[Problem, Candidates]) -> None:
    """Each ZeRO level holds at most the states of the one below; through ZeRO-2 the peak falls too.

    Five things are no part of that law: that frameworks keep other bytes a parameter under ZeRO-3 or for adapters;
    that ZeRO-3 (and ZeRO-2 by units) makes units whole for a moment, which a model of one or two layers can't make up
    for; that gradients made anew every step are fewer where the peak lies earlier; buckets in which sharded gradients
    collect; and that ZeRO-3 which reduces once a step sums whole gradients up, of flat units also frozen ones.
    """
    problem, plans = given_
    framework = problem.job.framework
    own = {"fsdp_states": framework.states, "adapter_states": None, "reduce_buffer_bytes": 0}
    own |= {"fsdp_reduce_each_micro_batch": True, "flat_units": False}
    profile = replace(framework, **own, zero2_by_unit=False, gradients_persist=True)
    job = replace(problem.job, framework=profile)
    levels = (Sharding.NONE, Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3)
    sharded = plans[data_ranks(plans) > 1]
    assume(len(sharded))
    costs = [price(job, at_level(sharded, level)) for level in levels]
    for less, more in zip(costs[1:], costs[:-1], strict=True):
        for group in range(state_bytes(less).shape[1]):
            never_more(state_bytes(less)[:, group], state_bytes(more)[:, group], sharded)
    for less, more in zip(costs[1:3], costs[:2], strict=True):
        never_more(less.peak_memory_bytes, more.peak_memory_bytes, sharded)


def paced_s(costs: Costs, plans: Candidates) -> FloatColumn:
    """Step time; over a pipeline without the exchange of gradients and parameters.

    That exchange hides behind the longest passes of any stage, so where stages differ, a stage that doesn't set the
    pace can win more time for it by recomputing than the pipeline loses.
    """
    return np.where(plans.pp == 1, costs.step_time_s, costs.step_time_s - costs.terms[StepTerm.DATA_COMM])


def kept_bytes(job: Job, plans: Candidates) -> FloatColumn:
    """Bytes that one micro-batch keeps on the fullest stage; at the peak there may be none, in the optimizer step."""
    model, problem = stage_model(job, plans)
    return np.asarray(model.kept_bytes[problem].max(axis=1))


@law
@given(priced_tables())
def test_recomputing_saves_activations_and_costs_time(given_: tuple[Problem, Candidates]) -> None:
    """Against the same plan without recomputation: never more bytes kept, never a faster step."""
    problem, plans = given_
    none = np.zeros_like(plans.recompute)
    keeping = replace(plans, recompute=none, recompute_modules=none, recompute_layers=none)
    again, kept = price(problem.job, plans), price(problem.job, keeping)
    never_more(kept_bytes(problem.job, plans), kept_bytes(problem.job, keeping), plans)
    never_more(paced_s(kept, plans), paced_s(again, plans), plans)


@law
@given(priced_tables())
def test_recomputing_more_layers_keeps_less_and_takes_longer(given_: tuple[Problem, Candidates]) -> None:
    """Each further layer that is recomputed saves bytes and costs seconds."""
    problem, plans = given_
    plans = plans[(plans.recompute == Recompute.FULL) & (plans.recompute_layers > 1)]
    assume(len(plans))
    fewer = replace(plans, recompute_layers=plans.recompute_layers - 1)
    more_costs, fewer_costs = price(problem.job, plans), price(problem.job, fewer)
    never_more(kept_bytes(problem.job, plans), kept_bytes(problem.job, fewer), plans)
    never_more(paced_s(fewer_costs, plans), paced_s(more_costs, plans), plans)


@law
@given(problems(), st.data())
def test_more_tensor_parallelism_never_takes_more_parameter_bytes(problem: Problem, data: st.DataObject) -> None:
    """Twice the tensor-parallel ranks hold at most as many parameters each."""
    plans = data.draw(plan_tables(problem))
    wider = replace(plans, tp=2 * plans.tp, etp=np.where(plans.etp == plans.tp, 2 * plans.tp, plans.etp))
    none = np.zeros_like(plans.sharding)
    one = np.ones_like(plans.sharding)
    wider, plans = (replace(table, sharding=none, shard_group=one) for table in (wider, plans))
    less, more = price(problem.job, wider).memory.parameters, price(problem.job, plans).memory.parameters
    never_more(less.max(axis=1), more.max(axis=1), plans)
