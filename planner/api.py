"""The library's functions: typed in, typed out, no global state, no output."""

from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from meshwright.cost_models.architecture import Architecture
from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.cluster import Cluster
from meshwright.cost_models.workload import Workload
from meshwright.errors import AxisError
from meshwright.planner.answer import answer
from meshwright.planner.evaluation import PlanLike, compare_plans, evaluate_row, explain_row, plan_row
from meshwright.planner.intake import Source, read_problems
from meshwright.planner.problem import Problem, not_counts
from meshwright.planner.question_record import with_question
from meshwright.planner.refinement import Refinement
from meshwright.planner.results import Comparison, Evaluation, Explanation, PlanSet
from meshwright.planner.search import Progress
from meshwright.planner.simulation import Order, Simulation, simulate_row


class StepQuestion(TypedDict, total=False):
    """Keywords about a job, wherever it runs.

    Attributes:
        global_batch: Sequences a step; by default about 4 million tokens.
        seq_len: Tokens a sequence; by default the model's own length, at most 8,192.
        precision: Of the matrix products: `bf16`, `fp16`, `fp8`, `mxfp8`, `nvfp4`, `tf32`, `fp32`.
        task: `pretrain`, `sft`, `lora` or `qlora`.
        lora_rank: Rank of the adapters, for `lora`.
        lora_tables: Whether embedding and output layer train beside the adapters.
        moe_imbalance: Tokens of the busiest expert rank over the mean.
        framework: Whose rules and habits hold; `generic` allows what any known framework runs.
        calibration: None for the shipped one, `"spec-sheet"`, a file, or an object.
        max_oom_risk: Highest chance of running out of memory that a plan may have; 0.05 unless given.
        memory_margin: Share of device memory that no plan may use, on top of that.
        schedules: Pipeline schedules: `"auto"` for those that the framework runs, `"all"`, or some by name, whether
            or not a framework runs them.
        offload: What may live off the devices: `"auto"` where memory is short, `"none"`, `"all"`, or some of
            `optimizer`, `gradients`, `parameters`, `activations`.
        memory_tiers: Where: `"all"`, `"none"`, or some of `host`, `cxl`, `nvme`.
        host_memory: Host memory of a node in place of the cluster's: bytes, or a text such as `"2 TiB"`.
    """

    global_batch: int | None
    seq_len: int | None
    precision: str
    task: str
    lora_rank: int
    lora_tables: bool
    moe_imbalance: float
    framework: str
    calibration: Calibration | Source | None
    max_oom_risk: float
    memory_margin: float
    schedules: str | Sequence[str]
    offload: str | Sequence[str]
    memory_tiers: str | Sequence[str]
    host_memory: str | float | None


class Question(StepQuestion, total=False):
    """Keywords that every question about one cluster takes: those of `StepQuestion`, and the cluster's size.

    Attributes:
        gpus: Devices in all.
        nodes: Nodes in all, instead of `gpus`.
    """

    gpus: int | None
    nodes: int | None


def plan(
    model: Source | Architecture,
    cluster: Source | Cluster,
    workload: Workload | None = None,
    *,
    fix: Sequence[str] | Mapping[str, object] = (),
    limit: Sequence[str] = (),
    objective: str = "time",
    top: int = 10,
    uneven: bool | None = None,
    per_layer: bool = False,
    progress: Progress | None = None,
    **question: Unpack[Question],
) -> PlanSet:
    """The best plans for a training job, ranked, with the evidence of the search.

    Args:
        model: Catalog name, path of a `config.json` (or its folder, or a YAML file), or an `Architecture`.
        cluster: Catalog name, accelerator name, path of a YAML file, or a `Cluster`.
        workload: The step; or give `global_batch` and `seq_len`.
        fix: Axes to fix, as `["tp=8"]` or `{"tp": 8}`.
        limit: Bounds on axes, as `["pp<=8"]`.
        objective: What ranks plans: `time`, `cost` or `energy` a step.
        top: How many plans are wanted.
        uneven: Whether layers are divided explicitly, where the framework can be told so; None where it may pay.
        per_layer: Whether to tell what a strategy (degree, recomputation) of its own for each layer would bring.
        progress: Called now and then with the number of tables looked at.
        **question: See `Question`.

    Raises:
        InputError: Something given can't be used; the message says what, with its value.
    """
    if wrong := not_counts({"top": top}):
        raise AxisError(wrong)
    problems = read_problems(model, cluster, workload, fix=fix, limit=limit, objective=objective, **question)
    found = answer(problems, top, progress, Refinement(uneven, per_layer))
    return with_question(found, model, cluster, workload, question)


def evaluate(
    model: Source | Architecture,
    cluster: Source | Cluster,
    workload: Workload | None = None,
    *,
    plan: PlanLike,
    **question: Unpack[Question],
) -> Evaluation:
    """What a given plan costs, and which rules it breaks.

    Args:
        model: As for `plan`.
        cluster: As for `plan`; a file with one pool.
        workload: As for `plan`.
        plan: `"tp=8 pp=4 …"` (axes that aren't given are derived), a mapping, a `PlanAxes` or a `Plan`.
        **question: See `Question`.

    Raises:
        InputError: Something given can't be used, or the plan makes no mesh of the devices.
    """
    problem = _single(read_problems(model, cluster, workload, **question))
    return with_question(evaluate_row(*plan_row(problem, plan)), model, cluster, workload, question)


def simulate(
    model: Source | Architecture,
    cluster: Source | Cluster,
    workload: Workload | None = None,
    *,
    plan: PlanLike | None = None,
    order: Order | None = None,
    **question: Unpack[Question],
) -> Simulation:
    """One plan's whole step, simulated: every stage's time and memory, a trace and a picture.

    Args:
        model: As for `plan`.
        cluster: As for `plan`; a file with one pool.
        workload: As for `plan`.
        plan: As for `evaluate`; by default the best one.
        order: What every device runs in place of the schedule's own order, such as `[["F0", "B0"], ["F0", "B0"]]`.
        **question: See `Question`.

    Raises:
        InputError: Something given can't be used, the plan makes no mesh of the devices, or they can't run the order.
    """
    problem = _single(read_problems(model, cluster, workload, **question))
    if plan is None:
        best = answer((problem,), 1)
        if not best.plans:
            raise AxisError("no plan fits, so there is none to simulate; give one (plan, --plan)")
        plan = best.best
    return simulate_row(*plan_row(problem, plan), order)


def explain(
    model: Source | Architecture,
    cluster: Source | Cluster,
    workload: Workload | None = None,
    *,
    plan: PlanLike | None = None,
    why_not: str | None = None,
    fix: Sequence[str] | Mapping[str, object] = (),
    limit: Sequence[str] = (),
    **question: Unpack[Question],
) -> Explanation:
    """What binds a plan (by default the best one), what its neighbours cost, and why another one isn't better.

    Args:
        model: As for `plan`.
        cluster: As for `plan`; a file with one pool.
        workload: As for `plan`.
        plan: The plan to explain.
        why_not: A plan to hold against it.
        fix: As for `plan`.
        limit: As for `plan`.
        **question: See `Question`.

    Raises:
        InputError: Something given can't be used.
    """
    problem = _single(read_problems(model, cluster, workload, fix=fix, limit=limit, **question))
    problem, row = (problem, None) if plan is None else plan_row(problem, plan)
    return with_question(explain_row(problem, row, why_not), model, cluster, workload, question)


def compare(
    model: Source | Architecture,
    cluster: Source | Cluster,
    workload: Workload | None = None,
    *,
    plans: Sequence[PlanLike],
    **question: Unpack[Question],
) -> Comparison:
    """Several plans of one job side by side.

    Args:
        model: As for `plan`.
        cluster: As for `plan`; a file with one pool.
        workload: As for `plan`.
        plans: Two plans or more, as for `evaluate`.
        **question: See `Question`.

    Raises:
        InputError: Something given can't be used.
    """
    if len(plans) < 2:
        raise AxisError(f"a comparison needs at least 2 plans, but got {len(plans)}")
    problem = _single(read_problems(model, cluster, workload, **question))
    return with_question(compare_plans(problem, plans), model, cluster, workload, question)


def _single(problems: Sequence[Problem]) -> Problem:
    if len(problems) > 1:
        names = ", ".join(problem.job.cluster.name for problem in problems)
        raise AxisError(f"one plan runs on one pool, but the cluster has several: {names}; give a file with one")
    return problems[0]
