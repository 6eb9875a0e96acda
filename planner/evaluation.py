"""Questions about a given plan: what it costs, what binds it, why it isn't the answer."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meshwright.cost_models.candidates import Candidates
from meshwright.cost_models.floor import floor_prices
from meshwright.cost_models.price import StepTerm
from meshwright.cost_models.schedules import Orders
from meshwright.cost_models.simulated_price import final_price
from meshwright.errors import AxisError
from meshwright.planner.asked import asked
from meshwright.planner.assemble import PricedRow, term_words, to_plan
from meshwright.planner.axes import LAYERS, PlanText, axis_name, axis_value, parse_plan, parse_split, spoken
from meshwright.planner.neighbours import changes
from meshwright.planner.problem import Problem
from meshwright.planner.refinement import Refinement, refine
from meshwright.planner.results import Comparison, Evaluation, Explanation, Plan, PlanAxes, WhyNot
from meshwright.planner.rules import all_rules, violated
from meshwright.planner.search import balanced_bound_s, search
from meshwright.planner.space import single_plan

if TYPE_CHECKING:
    from meshwright.cost_models.layer_split import LayerSplit

GIB = 2.0**30
UNPRICEABLE = (
    "devices", "batch-dp", "batch", "layers", "shard-group-divides", "expert-ranks", "experts", "split",
    "dualpipev", "dualpipe",
)  # fmt: skip
"""Rules without which a plan has no meaning, so that it can't be priced either."""
PlanLike = str | Mapping[str, object] | PlanAxes | Plan


def plan_row(problem: Problem, plan: PlanLike) -> tuple[Problem, Candidates]:
    """A one-row table from however a user gives a plan, and the problem with the plan's division of the layers.

    Raises:
        AxisError: An axis or value can't be read.
    """
    if isinstance(plan, Plan):
        plan = plan.axes
    if isinstance(plan, PlanAxes):
        plan = plan.model_dump()
    read = parse_plan(plan) if isinstance(plan, str) else _read_axes(plan)
    values = dict(read.values)
    if read.split is not None:
        problem, values["split"] = problem.with_split(read.split)
        values.setdefault("vpp", max(read.split.num_stages // values.get("pp", 1), 1))
    return problem, single_plan(problem, values)


def _read_axes(given: Mapping[str, object]) -> PlanText:
    values: dict[str, float] = {}
    problems: list[str] = []
    split: LayerSplit | None = None
    for name, value in given.items():
        try:
            if name == LAYERS:
                split = None if value is None else parse_split(spoken(value).replace("+", ","))
                continue
            axis = axis_name(name)
            values[axis] = axis_value(axis, spoken(value))
        except AxisError as error:
            problems += error.problems
    if problems:
        raise AxisError(problems)
    return PlanText(values, split)


def plan_from_json(text: str | bytes, rank: int = 1) -> Mapping[str, object]:
    """The axes in a JSON text: a plan set (its plan number `rank`), a plan, or the axes alone.

    Raises:
        AxisError: It is none of them.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise AxisError(f"a plan file holds JSON, but this isn't: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("plans"), list):
        plans = document["plans"]
        if not 1 <= rank <= len(plans):
            raise AxisError(f"the file has {len(plans)} plans, but plan {rank} was asked for")
        document = plans[rank - 1]
    if isinstance(document, dict) and isinstance(document.get("axes"), dict):
        document = document["axes"]
    if not isinstance(document, dict):
        raise AxisError("a plan file holds a plan set, a plan or its axes, but this is none of them")
    return document


def evaluate_row(problem: Problem, row: Candidates, rank: int = 1, orders: Orders | None = None) -> Evaluation:
    """Prices one plan, whether or not the framework's rules allow it; `orders` stand in for its schedule's.

    Raises:
        AxisError: It doesn't make a mesh of the devices or doesn't divide the batch, so it has no price.
    """
    broken = violated(all_rules(problem.job, problem.constraints), row)
    hopeless = [rule.explain(row) for rule in broken if rule.name in UNPRICEABLE]
    if hopeless:
        raise AxisError(hopeless)
    costs = final_price(problem.job, row, orders)
    bound = min(balanced_bound_s(problem), float(floor_prices(problem.job, row).balanced_s[0]))
    plan = to_plan(PricedRow(problem, row, costs, 0, bound), rank)
    violations = tuple(f"{rule.name}: {rule.explain(row)}" for rule in broken)
    return Evaluation(**asked([problem]), plan=plan, violations=violations)


def explain_row(problem: Problem, row: Candidates | None, why_not: str | None) -> Explanation:
    """What binds a plan (by default the best one), what its neighbours cost, and why another one isn't better."""
    if row is None:
        found = refine(search(problem), Refinement(uneven=False))[0]
        if not len(found.candidates):
            raise AxisError("no plan obeys the rules, so there is none to explain; relax --fix or --limit")
        row = found.candidates[:1]
    plan = evaluate_row(problem, row).plan
    reason = explain_why_not(problem, why_not, plan) if why_not else None
    return Explanation(**asked([problem]), plan=plan, changes=changes(problem, row, simulated=True), why_not=reason)


def explain_why_not(problem: Problem, text: str, best: Plan) -> WhyNot:
    """Why a given plan isn't the answer: which rules it breaks, what overflows, or where it loses time."""
    problem, row = plan_row(problem, text)
    broken = violated(all_rules(problem.job, problem.constraints), row)
    said = tuple(f"{rule.name}: {rule.explain(row)}" for rule in broken)
    if any(rule.name in UNPRICEABLE for rule in broken):
        return WhyNot(text=text, verdict="it isn't a plan for this job", violations=said)
    plan = evaluate_row(problem, row).plan
    deltas = term_deltas(plan, best)
    slower = plan.step_time_s / best.step_time_s - 1.0
    overflow = max(max(plan.peak_memory_bytes) - problem.memory_limit_bytes, 0.0)
    return WhyNot(
        text=text,
        verdict=_verdict(said, overflow, slower, deltas),
        violations=said,
        plan=plan,
        slower_by=slower,
        overflow_bytes=overflow,
        term_deltas_s=deltas,
    )


def _verdict(violations: Sequence[str], overflow: float, slower: float, deltas: Mapping[str, float]) -> str:
    if violations:
        return f"it breaks {len(violations)} rule{'s' if len(violations) > 1 else ''}"
    if overflow:
        return f"it needs {overflow / GIB:.1f} GiB more memory than there is"
    if slower <= 1e-6:
        return "it is as fast as the best plan"
    most = max(deltas.items(), key=lambda item: item[1])
    return f"it is {slower:.1%} slower, most of it for {term_words(StepTerm[most[0].upper()])} ({most[1]:+.3f} s)"


def term_deltas(plan: Plan, other: Plan) -> dict[str, float]:
    """Seconds by term that a plan takes more (or less) than another."""
    own, base = dict(plan.breakdown), dict(other.breakdown)
    return {name: float(own[name] - base[name]) for name in own}


def compare_plans(problem: Problem, given: Sequence[PlanLike]) -> Comparison:
    """Several plans side by side, in the order given; an error says which of them it means."""
    plans = tuple(_compared(problem, one, rank) for rank, one in enumerate(given, start=1))
    deltas = tuple(term_deltas(plan, plans[0]) for plan in plans)
    return Comparison(**asked([problem]), plans=plans, term_deltas_s=deltas)


def _compared(problem: Problem, given: PlanLike, rank: int) -> Plan:
    try:
        return evaluate_row(*plan_row(problem, given), rank).plan
    except AxisError as error:
        raise AxisError([f"plan {rank}: {one}" for one in error.problems]) from None
