"""Questions about a given plan: its price, its faults, its neighbours, and why it isn't the answer."""

import json
from typing import Any

import pytest
import samples

import meshwright as mw
from meshwright.errors import AxisError
from meshwright.planner.evaluation import plan_from_json

MODEL, CLUSTER = samples.dense(layers=16), samples.cluster(8)
QUESTION: dict[str, Any] = {"global_batch": 64, "seq_len": 2048}


@pytest.fixture(scope="module")
def best() -> mw.Plan:
    return mw.plan(MODEL, CLUSTER, **QUESTION).best


def test_a_plan_that_breaks_a_rule_is_priced_and_told() -> None:
    """Megatron can't interleave into chunks of unlike size, but what it would cost can be known."""
    told = mw.evaluate(MODEL, CLUSTER, **QUESTION, framework="megatron-core", plan="dp=8 sharding=zero3")
    assert told.plan.step_time_s > 0
    assert [violation.split(":")[0] for violation in told.violations] == ["framework-sharding"]


@pytest.mark.parametrize(
    ("plan", "equation"),
    [
        ("tp=3", "dp·tp·pp·cp = devices"),
        ("dp=4 tp=4", "dp·tp·pp·cp = devices"),
        ("micro_batch=3", "global_batch mod dp·micro_batch = 0"),
        ("pp=32 dp=1", "pp·vpp <= layers"),
    ],
)
def test_what_makes_no_mesh_or_step_has_no_price(plan: str, equation: str) -> None:
    """The equation that must hold, with the values that break it."""
    with pytest.raises(AxisError, match=equation.replace("·", ".")):
        mw.evaluate(MODEL, CLUSTER, **QUESTION, plan=plan)


def test_all_forms_of_a_plan_are_the_same_plan(best: mw.Plan) -> None:
    """Its text, itself, its axes, a mapping, and its JSON."""
    forms = (best.text, best, best.axes, best.axes.model_dump(), plan_from_json(best.model_dump_json()))
    for form in forms:
        assert mw.evaluate(MODEL, CLUSTER, **QUESTION, plan=form).plan.axes == best.axes


def test_a_file_holds_a_plan_set_a_plan_or_axes(best: mw.Plan) -> None:
    answer = mw.plan(MODEL, CLUSTER, **QUESTION, top=2)
    assert plan_from_json(answer.to_json(), rank=2) == json.loads(answer.plans[1].axes.model_dump_json())
    assert plan_from_json(best.axes.model_dump_json()) == json.loads(best.axes.model_dump_json())


@pytest.mark.parametrize(
    ("text", "rank", "said"),
    [("{", 1, "isn't"), ("[1, 2]", 1, "none of them"), ('{"plans": []}', 1, "has 0 plans"), ("12", 1, "none of them")],
)
def test_a_file_that_holds_no_plan_is_told(text: str, rank: int, said: str) -> None:
    with pytest.raises(AxisError, match=said):
        plan_from_json(text, rank)


def why_not(plan: str, **more: Any) -> mw.Explanation:
    return mw.explain(MODEL, CLUSTER, **(QUESTION | more), why_not=plan)


def test_why_not_says_where_a_slower_plan_loses() -> None:
    """Terms against the best plan's add up to what it is slower by."""
    told = why_not("tp=8")
    assert told.why_not is not None
    assert told.why_not.plan is not None
    assert told.why_not.slower_by is not None
    lost = sum(told.why_not.term_deltas_s.values())
    assert lost == pytest.approx(told.why_not.plan.step_time_s - told.plan.step_time_s)
    assert told.why_not.slower_by * told.plan.step_time_s == pytest.approx(lost)
    assert "slower" in told.why_not.verdict


def test_why_not_says_what_overflows() -> None:
    tight = samples.cluster(8, memory_gib=12)
    told = mw.explain(MODEL, tight, **QUESTION, why_not="dp=8 sharding=none micro_batch=8").why_not
    assert told is not None
    assert told.overflow_bytes > 0
    assert "GiB more memory" in told.verdict


def test_why_not_says_which_rule_is_broken() -> None:
    legal = why_not("dp=8 sharding=zero3", framework="megatron-core").why_not
    assert legal is not None
    assert legal.violations
    assert "breaks 1 rule" in legal.verdict
    impossible = why_not("tp=3").why_not
    assert impossible is not None
    assert impossible.plan is None
    assert "isn't a plan" in impossible.verdict


def test_the_best_plan_is_as_fast_as_the_best(best: mw.Plan) -> None:
    told = why_not(best.text).why_not
    assert told is not None
    assert "as fast" in told.verdict


def test_changes_are_legal_plans_one_step_away(best: mw.Plan) -> None:
    """Each differs from the plan in the axis that it names."""
    changes = mw.explain(MODEL, CLUSTER, **QUESTION, plan=best).changes
    assert changes
    for change in changes:
        axis, value = change.change.split(" ")[0].split("=")
        assert str(dict(best.axes)[axis]) != value
        assert change.delta_s >= 0 or not change.fits or change.delta_s == pytest.approx(0, abs=1e-3)


def test_comparing_counts_from_the_first_plan() -> None:
    """The first differs from itself by nothing; the others by their terms."""
    told = mw.compare(MODEL, CLUSTER, **QUESTION, plans=["dp=8", "tp=8", "pp=4 tp=2"])
    assert [plan.rank for plan in told.plans] == [1, 2, 3]
    assert set(told.term_deltas_s[0].values()) == {0.0}
    for plan, deltas in zip(told.plans, told.term_deltas_s, strict=True):
        assert sum(deltas.values()) == pytest.approx(plan.step_time_s - told.plans[0].step_time_s)
