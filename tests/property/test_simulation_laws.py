"""Laws of the simulated price: it agrees with the closed forms where they are exact, and it keeps their books."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import law, plan_tables, priced_tables, problems

from meshwright.cost_models import simulated_price as simulation
from meshwright.cost_models.candidates import OFFLOADED, OWN_SPLIT, SCHEDULE_NAMES, Candidates, Schedule
from meshwright.cost_models.layer_split import LayerSplit
from meshwright.cost_models.pipeline import StagePasses, bubble_s
from meshwright.cost_models.price import price
from meshwright.cost_models.schedules import PipelineShape
from meshwright.cost_models.schedules.registry import SCHEDULES
from meshwright.cost_models.simulated_price import simulated_price
from meshwright.cost_models.simulator import PassTimes, StepCosts, simulate
from meshwright.cost_models.stages import own_split, row_layout
from meshwright.planner.axes import parse_plan
from meshwright.planner.problem import Problem
from meshwright.planner.space import single_plan


def pipelines(problem: Problem, plans: Candidates) -> Candidates:
    """At most eight plans of a table that have a pipeline."""
    rows = np.flatnonzero(plans.pp > 1)[:8]
    assume(len(rows) > 0)
    return plans[rows]


@law
@given(priced_tables())
def test_simulated_terms_add_up_to_the_step_time(given_: tuple[Problem, Candidates]) -> None:
    """No second is unaccounted for, none is negative, and bytes are those of the closed form."""
    problem, plans = given_
    plans = pipelines(problem, plans)
    closed = price(problem.job, plans)
    costs = simulated_price(problem.job, plans, closed)
    np.testing.assert_allclose(costs.terms.sum(axis=0), costs.step_time_s, rtol=1e-9)
    assert (costs.terms >= -1e-9 * costs.step_time_s).all()
    np.testing.assert_array_equal(costs.peak_memory_bytes, closed.peak_memory_bytes)


@law
@given(priced_tables())
def test_work_is_the_same_and_only_waits_are_simulated(given_: tuple[Problem, Candidates]) -> None:
    """Terms that are work are those of the closed form, so that no step takes less than its slowest stage."""
    problem, plans = given_
    plans = pipelines(problem, plans)
    closed = price(problem.job, plans)
    costs = simulated_price(problem.job, plans, closed)
    work = np.setdiff1d(np.arange(len(closed.terms)), simulation.WAITS)
    np.testing.assert_array_equal(costs.terms[work], closed.terms[work])


@law
@given(priced_tables())
def test_a_straight_line_continues_a_short_simulation(given_: tuple[Problem, Candidates]) -> None:
    """Simulating a part of a long step and continuing it comes to what simulating all of it does, within 0.2 %."""
    problem, plans = given_
    plans = pipelines(problem, plans)
    closed = price(problem.job, plans)
    short = simulated_price(problem.job, plans, closed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "LONG_PIPELINES", 10**6)
        whole = simulated_price(problem.job, plans, closed)
    np.testing.assert_allclose(short.step_time_s, whole.step_time_s, rtol=2e-3)


@given(
    st.sampled_from([Schedule.GPIPE, Schedule.ONE_F_ONE_B, Schedule.INTERLEAVED, Schedule.ZB_H1, Schedule.ZB_V]),
    st.integers(2, 6),
    st.integers(2, 4),
    st.sampled_from([(1.0, 1.0, 1.0), (1.0, 1.25, 0.85), (1.0, 2.0, 0.5)]),
)
def test_bubbles_of_equal_stages_are_those_of_the_simulation(
    schedule: Schedule, pp: int, groups: int, passes: tuple[float, float, float]
) -> None:
    """Where theory says that a closed form is exact, the price's bubble is what is simulated."""
    vpp = {Schedule.INTERLEAVED: 3, Schedule.ZB_V: 2}.get(schedule, 1)
    table = replace(_pipeline(pp, vpp), schedule=np.array([int(schedule)]))
    micro_batches, total_s = pp * groups, sum(passes)
    family = SCHEDULES[SCHEDULE_NAMES[schedule]]
    shape = PipelineShape(pp, micro_batches, vpp, *passes)
    assume(bool(family.bubble_is_exact(shape)))
    equal = StagePasses(*(np.array([one]) for one in (total_s, (pp - 1) * total_s, *passes)))
    closed_s = bubble_s(table, np.array([micro_batches]), equal, np.array([0]))[0]
    step = simulate(family.orders(shape), StepCosts(PassTimes(*(one / vpp for one in passes))))
    assert closed_s == pytest.approx(step.makespan_s - micro_batches * total_s, abs=1e-9)


def _pipeline(pp: int, vpp: int) -> Candidates:
    one = np.ones(1, np.int64)
    return Candidates(
        dp=one, tp=one, pp=one * pp, vpp=one * vpp, cp=one, ep=one, etp=one, sequence_parallel=one < 0,
        sharding=one * 0, shard_group=one, micro_batch=one, schedule=one, recompute=one * 0, recompute_modules=one * 0,
        recompute_layers=one * 0, split=one * OWN_SPLIT, **dict.fromkeys(OFFLOADED, one * 0.0),
        offload_tier=one * 0, offload_stride=one * 0,
    )  # fmt: skip


@law
@given(st.data())
def test_the_own_division_written_out_costs_the_same(data: st.DataObject) -> None:
    """There is one code path: naming the framework's own layers per stage changes neither time nor bytes."""
    problem = data.draw(problems())
    plans = pipelines(problem, data.draw(plan_tables(problem)))[:1]
    problem, number = problem.with_split(own_split(problem.job, int(plans.pp[0]), int(plans.vpp[0])))
    named = replace(plans, split=np.array([number]))
    own, explicit = (simulated_price(problem.job, table, price(problem.job, table)) for table in (plans, named))
    np.testing.assert_allclose(explicit.terms, own.terms)
    np.testing.assert_allclose(explicit.peak_memory_bytes, own.peak_memory_bytes)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=70))
def test_a_division_reads_back_from_its_text(layers: list[int]) -> None:
    """A plan's text says the layers of every virtual stage without loss, however many stages are alike."""
    split = LayerSplit(tuple(layers))
    assert parse_plan(f"tp=8 layers={split.text} pp=2").split == split
    assert parse_plan(f"layers={','.join(map(str, layers))}").split == split


@law
@given(problems())
def test_stages_of_a_v_hold_all_layers(problem: Problem) -> None:
    """A V-shaped schedule places every layer, the embedding and the output layer exactly once."""
    assume(problem.job.cluster.num_devices >= 2 and problem.job.architecture.num_layers >= 4)
    row = single_plan(problem, {"pp": 2, "schedule": int(Schedule.ZB_V)})
    layout = row_layout(problem.job, row, 0)
    placed = (layout.layer_counts * layout.num_stages[:, None]).sum()
    assert placed == problem.job.architecture.num_layers + len(problem.job.architecture.mtp_layers)
    assert (layout.has_embedding * layout.num_stages).sum() == (layout.has_output * layout.num_stages).sum() == 1
    assert layout.group_of_stage[layout.chunk_device[0]] == layout.group_of_stage[layout.chunk_device[-1]]


@given(waits=st.lists(st.lists(st.floats(-1, 1), min_size=4, max_size=4), min_size=1, max_size=3))
def test_waits_that_a_line_took_below_zero_are_taken_from_the_others(waits: list[list[float]]) -> None:
    """None stays negative, and their sum stays what it was, unless that is negative itself."""
    given_s = np.array(waits).T
    kept_s = simulation.none_below_zero(given_s)
    assert (kept_s >= 0).all()
    np.testing.assert_allclose(kept_s.sum(axis=0), np.maximum(given_s.sum(axis=0), 0.0), atol=1e-9)
