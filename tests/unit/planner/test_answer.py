"""What an answer says beside the ranking: real alternatives, the front, money, assumptions, reasons."""

from dataclasses import replace

import pytest
import samples

import meshwright as mw
from meshwright.cost_models.cluster import Cluster


def answered(cluster: Cluster | None = None, **question: object) -> mw.PlanSet:
    settings = {"global_batch": 64, "seq_len": 2048} | question
    return mw.plan(samples.dense(layers=16), cluster or samples.cluster(16), **settings)  # type: ignore[arg-type]


def test_alternatives_are_on_different_meshes() -> None:
    """Plans that differ in a switch are variants of one; the list shows choices that are real."""
    plans = answered(top=8).plans
    meshes = {(p.axes.dp, p.axes.tp, p.axes.pp, p.axes.cp, p.axes.ep) for p in plans}
    assert len(meshes) == len(plans) == 8


def test_top_is_how_many_plans_are_shown_not_how_well_is_searched() -> None:
    """The first of one is the first of ten."""
    one, ten = answered(top=1), answered(top=10)
    assert len(one.plans) == 1
    assert one.best.axes == ten.best.axes


def test_no_plan_of_the_front_is_beaten_by_another() -> None:
    """Of any two, one is faster and the other needs less memory, devices, money or energy."""
    front = answered(objective="cost").pareto
    costs = [(p.step_time_s, max(p.peak_memory_bytes), p.num_devices, p.cost_usd, p.energy_j) for p in front]
    assert costs
    for one in costs:
        for other in costs:
            slack = 1.02, 1.02, 1, 1, 1  # points closer than 1 % and 1 GiB count as one
            worse = [float(a or 0) > float(b or 0) * s for a, b, s in zip(one, other, slack, strict=True)]
            assert not all(worse)


def test_fewer_devices_may_do_a_step_for_less() -> None:
    """Ranked by money, parts of the cluster are looked at, and the best costs at most what the fastest does."""
    cheapest, fastest = answered(objective="cost"), answered()
    assert cheapest.best.cost_usd is not None
    assert fastest.best.cost_usd is not None
    assert cheapest.best.cost_usd <= fastest.best.cost_usd
    assert {plan.num_devices for plan in cheapest.plans} > {16}


@pytest.mark.parametrize(("objective", "unknown"), [("cost", "price"), ("energy", "power")])
def test_an_objective_without_its_data_is_refused(objective: str, unknown: str) -> None:
    """Where a price or power limit isn't known, nothing is ranked by it."""
    cluster = samples.cluster(8)
    bare = replace(cluster, accelerator=replace(cluster.accelerator, price_usd_per_hour=None, power_w=0.0))
    with pytest.raises(mw.errors.WorkloadError, match=unknown):
        answered(bare, objective=objective)
    by_time = answered(bare).best
    assert by_time.cost_usd is None
    assert by_time.energy_j is None


def test_assumptions_name_rates_framework_and_memory() -> None:
    said = " ".join(answered(framework="megatron-core", calibration="spec-sheet").assumptions)
    assert "spec-sheet" in said
    assert "Megatron-Core" in said
    assert "memory" in said


def test_the_best_plan_says_why() -> None:
    """What binds it, what fills memory, and what its neighbours would cost."""
    best = answered().best
    assert "%" in best.binds
    assert any("GiB" in reason for reason in best.reasons)
    assert any("slower" in reason or "faster" in reason for reason in best.reasons)


def test_the_lower_bound_is_below_every_plan() -> None:
    answer = answered(top=10)
    assert 0 < answer.lower_bound_s <= min(plan.step_time_s for plan in answer.plans)
    assert all(plan.gap >= 0 for plan in answer.plans)


def test_the_account_is_of_the_whole_search() -> None:
    account = answered().account
    parts = sum(account.excluded.values()) + account.did_not_fit + account.pruned + account.priced
    assert parts == account.total > 1000
