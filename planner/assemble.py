"""From table rows to plans: the typed answer with stages, breakdown, layout and reasons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import (
    OFFLOADED,
    OWN_SPLIT,
    SCHEDULE_NAMES,
    Candidates,
    OffloadTier,
    Recompute,
    RecomputeModules,
    Schedule,
    Sharding,
)
from meshwright.cost_models.cluster import Cluster
from meshwright.cost_models.flops import step_flops
from meshwright.cost_models.job import Job
from meshwright.cost_models.off_device import capacity_bytes
from meshwright.cost_models.pipeline import in_flight
from meshwright.cost_models.price import COMMUNICATION_TERMS, HOST_TERMS, Costs, StepTerm
from meshwright.cost_models.spending import cost_usd, energy_j
from meshwright.cost_models.stages import row_layout
from meshwright.cost_models.state_bytes import expert_data_ranks
from meshwright.cost_models.uncertainty import out_of_memory_probability, step_time_interval_s
from meshwright.planner.axes import INTEGER_AXES, LAYERS
from meshwright.planner.frameworks import STAND_INS
from meshwright.planner.problem import Problem
from meshwright.planner.results import (
    LayerDivision,
    MemoryClasses,
    Plan,
    PlanAxes,
    RankLayout,
    StageReport,
    StepBreakdown,
    TierClasses,
)
from meshwright.planner.rules import runs_on
from meshwright.planner.search import Division

GIB = 2.0**30
MEMORY_CLASSES, TIER_CLASSES = tuple(MemoryClasses.model_fields), tuple(TierClasses.model_fields)
COMMUNICATION = {
    StepTerm.TENSOR_COMM: ("tensor-parallel communication", "tp"),
    StepTerm.CONTEXT_COMM: ("context-parallel communication", "cp"),
    StepTerm.EXPERT_COMM: ("expert all-to-all", "ep"),
    StepTerm.PIPELINE_COMM: ("pipeline sends", "pp"),
    StepTerm.DATA_COMM: ("gradient and parameter exchange", "dp"),
}
COMPUTE = {
    StepTerm.MATMUL: "matrix products",
    StepTerm.ATTENTION: "attention",
    StepTerm.ELEMENTWISE: "memory-bound kernels",
    StepTerm.HOST: "kernel launches",
    StepTerm.RECOMPUTE: "recomputation",
    StepTerm.GRADIENT_ACCUMULATION: "gradient accumulation",
    StepTerm.BUBBLE: "the pipeline bubble",
    StepTerm.OPTIMIZER: "the optimizer step",
    StepTerm.OVERHEAD: "work of every step outside its kernels",
    StepTerm.OFFLOAD: "memory outside the devices",
}


def term_words(term: StepTerm) -> str:
    """What a term is called in sentences."""
    return COMMUNICATION[term][0] if term in COMMUNICATION else COMPUTE.get(term, term.name.lower().replace("_", " "))


@dataclass(frozen=True)
class PricedRow:
    """One row of a priced table, and what the search knows about it."""

    problem: Problem
    candidates: Candidates
    costs: Costs
    row: int
    balanced_s: float
    num_variants: int = 0
    division: Division | None = None

    @property
    def step_time_s(self) -> float:
        """Its step time."""
        return float(self.costs.step_time_s[self.row])

    def axis(self, name: str) -> int:
        """Its value on one axis."""
        return int(getattr(self.candidates, name)[self.row])


def to_plan(priced: PricedRow, rank: int) -> Plan:
    """The typed plan of one priced row."""
    return to_plans([priced])[0].model_copy(update={"rank": rank})


def to_plans(rows: Sequence[PricedRow]) -> tuple[Plan, ...]:
    """The typed plans of priced rows, ranked in their order."""
    launchers: dict[int, tuple[str, ...]] = {}
    for problem in {id(row.problem): row.problem for row in rows}.values():
        own = [index for index, row in enumerate(rows) if row.problem is problem]
        table = Candidates.concatenate([rows[index].candidates[rows[index].row : rows[index].row + 1] for index in own])
        launchers |= dict(zip(own, runs_on(problem.job, table), strict=True))
    return tuple(_plan(row, index + 1, launchers[index]) for index, row in enumerate(rows))


def _plan(priced: PricedRow, rank: int, launchers: tuple[str, ...]) -> Plan:
    problem, cluster = priced.problem, priced.problem.job.cluster
    workload, arch = problem.job.workload, problem.job.architecture
    stages = stage_reports(priced)
    peak = max(stage.peak_memory_bytes for stage in stages)
    capacity, step_time_s = cluster.accelerator.memory_bytes, priced.step_time_s
    peak_flops = cluster.accelerator.peak_flops_at(workload.precision) * cluster.num_devices
    layout = rank_layout(priced)
    lower_s = min(priced.balanced_s, step_time_s)
    low_s, high_s = step_time_interval(priced)
    memory_error = problem.job.calibration.memory_error_of(workload.task)
    time_column = np.array([step_time_s])
    money, energy = cost_usd(cluster, time_column), energy_j(cluster, time_column)
    return Plan(
        rank=rank,
        cluster=cluster.name,
        num_devices=cluster.num_devices,
        axes=plan_axes(problem.job, priced.candidates, priced.row),
        num_micro_batches=int(priced.costs.num_micro_batches[priced.row]),
        step_time_s=step_time_s,
        step_time_low_s=low_s,
        step_time_high_s=high_s,
        tokens_per_s=workload.tokens / step_time_s,
        tokens_per_s_per_device=workload.tokens / step_time_s / cluster.num_devices,
        mfu=step_flops(arch, workload) / (step_time_s * peak_flops),
        peak_memory_bytes=tuple(stage.peak_memory_bytes for stage in stages),
        memory_capacity_bytes=capacity,
        memory_headroom_bytes=capacity - peak,
        oom_probability=float(out_of_memory_probability(memory_error, peak, capacity)),
        fits=peak <= problem.memory_limit_bytes and bool(priced.costs.tier_share[priced.row] <= 1.0),
        tier_capacity_bytes=_tier_capacity_bytes(priced),
        stages=stages,
        breakdown=breakdown(priced.costs, priced.row),
        lower_bound_s=lower_s,
        gap=step_time_s / lower_s - 1.0 if lower_s else 0.0,
        energy_j=None if energy is None else float(energy[0]),
        cost_usd=None if money is None else float(money[0]),
        runs_on=launchers,
        binds=binding(priced, layout),
        reasons=reasons(priced, stages, layout),
        layout=layout,
        num_variants=priced.num_variants,
        division=_division(priced),
    )


def _tier_capacity_bytes(priced: PricedRow) -> float:
    """Each device's part of the tier that a plan offloads to; 0 if it offloads nothing, or there is none."""
    if not priced.candidates.offloads[priced.row]:
        return 0.0
    return capacity_bytes(priced.problem.job.cluster, OffloadTier(priced.axis("offload_tier")))


def step_time_interval(priced: PricedRow) -> tuple[float, float]:
    """Seconds between which four of five measured steps should lie."""
    job, costs, row = priced.problem.job, priced.costs, priced.row
    low, high = step_time_interval_s(
        job.calibration.step_time_error,
        job.cluster.accelerator.kind,
        costs.step_time_s[row : row + 1],
        costs.share(COMMUNICATION_TERMS)[row : row + 1],
        costs.share(HOST_TERMS)[row : row + 1],
        is_stand_in=job.framework.name in STAND_INS,
    )
    return float(low[0]), float(high[0])


def _division(priced: PricedRow) -> LayerDivision | None:
    """What the partition solver says of an explicit division of the layers."""
    known = priced.division
    if known is None:
        return None
    even_s = known.even_step_time_s
    return LayerDivision(
        even_step_time_s=even_s, gain=None if even_s is None else even_s / priced.step_time_s - 1.0, gap=known.gap
    )


def plan_axes(job: Job, candidates: Candidates, row: int) -> PlanAxes:
    """The axes of one row in the field's words."""
    value = {name: getattr(candidates, name)[row] for name in PlanAxes.model_fields if name != LAYERS}
    split = int(candidates.split[row])
    modules = int(value["recompute_modules"])
    words: dict[str, object] = {
        "sequence_parallel": bool(value["sequence_parallel"]),
        "sharding": Sharding(int(value["sharding"])).name.lower(),
        "schedule": SCHEDULE_NAMES[Schedule(int(value["schedule"]))],
        "recompute": Recompute(int(value["recompute"])).name.lower(),
        "recompute_modules": tuple(m.name.lower() for m in RecomputeModules if m.name and modules & m),
        "offload_tier": OffloadTier(int(value["offload_tier"])).name.lower(),
        "layers": None if split == OWN_SPLIT else job.splits[split].layers,
    }
    counts = {name: int(number) for name, number in value.items() if name in INTEGER_AXES}
    return PlanAxes.model_validate(counts | {name: float(value[name]) for name in OFFLOADED} | words)


def breakdown(costs: Costs, row: int) -> StepBreakdown:
    """Seconds by term of one row."""
    return StepBreakdown(**{term.name.lower(): float(costs.terms[term, row]) for term in StepTerm})


def stage_reports(priced: PricedRow) -> tuple[StageReport, ...]:
    """Peak memory of every stage; later stages of a group hold fewer micro-batches than the one that was priced."""
    layout = row_layout(priced.problem.job, priced.candidates, priced.row)
    away = {name: getattr(priced.costs.memory.off_device, name)[priced.row] for name in TIER_CLASSES}
    memory = {name: getattr(priced.costs.memory, name)[priced.row] for name in MEMORY_CLASSES}
    flying = _in_flight_of_stages(priced)
    fewer = flying / flying[layout.first_index.astype(np.int64)][layout.group_of_stage]
    reports = []
    for stage, group in enumerate(layout.group_of_stage):
        values = {name: float(of_groups[group]) for name, of_groups in memory.items()}
        elsewhere = {name: float(of_groups[group]) for name, of_groups in away.items()}
        elsewhere["activations"] *= float(fewer[stage])
        given_back = values["activations"] * (1.0 - float(fewer[stage]))
        values["activations"] -= given_back
        values["fragmentation"] -= given_back * priced.problem.job.framework.fragmentation
        reports.append(
            StageReport(
                stage=stage,
                layers=layout.layers_on(stage),
                peak_memory_bytes=sum(values.values()),
                memory=MemoryClasses(**values),
                off_device=TierClasses(**elsewhere),
            )
        )
    return tuple(reports)


def _in_flight_of_stages(priced: PricedRow) -> NDArray[np.float64]:
    """(pp,) micro-batches in flight on every stage of a plan."""
    one = slice(priced.row, priced.row + 1)
    stages = np.arange(priced.axis("pp"), dtype=np.float64)[None, :]
    return np.asarray(in_flight(priced.candidates[one], priced.costs.num_micro_batches[one], stages)[0])


def rank_layout(priced: PricedRow) -> RankLayout:
    """Where ranks lie: tp fastest, then cp, dp, pp; experts etp, ep, edp inside a stage."""
    tp, cp, dp, pp = (priced.axis(name) for name in ("tp", "cp", "dp", "pp"))
    size = {"tp": tp, "cp": cp, "dp": dp, "pp": pp}
    stride = {"tp": 1, "cp": tp, "dp": tp * cp, "pp": tp * cp * dp}
    if priced.problem.job.architecture.is_moe:
        etp, ep = priced.axis("etp"), priced.axis("ep")
        one = slice(priced.row, priced.row + 1)
        size |= {"etp": etp, "ep": ep, "edp": int(expert_data_ranks(priced.candidates[one])[0])}
        stride |= {"etp": 1, "ep": etp, "edp": etp * ep}
    cluster = priced.problem.job.cluster
    link = {axis: crossed_link(cluster, size[axis], stride[axis]) for axis in size if size[axis] > 1}
    return RankLayout(order="tp-cp-dp-pp", size=size, stride=stride, link=link)


def crossed_link(cluster: Cluster, size: int, stride: int) -> str:
    """The outermost link level that a group of `size` ranks, `stride` apart, crosses."""
    span = (size - 1) * stride + 1
    for level in cluster.levels:
        if span <= level.extent:
            return level.name
    return cluster.levels[-1].name if cluster.levels else "none"


def binding(priced: PricedRow, layout: RankLayout) -> str:
    """The largest term, with the link where it is communication."""
    seconds = priced.costs.terms[:, priced.row]
    largest = StepTerm(int(np.argmax(seconds)))
    share = f"{seconds[largest] / priced.step_time_s:.0%} of the step"
    if largest in COMMUNICATION:
        name, axis = COMMUNICATION[largest]
        return f"{layout.link.get(axis, 'links')}: {name} ({share})"
    return f"{COMPUTE[largest]} ({share})"


def reasons(priced: PricedRow, stages: tuple[StageReport, ...], layout: RankLayout) -> tuple[str, ...]:
    """What a reader should know about this plan: where groups run, what fills memory, what waits."""
    fullest = max(stages, key=lambda stage: stage.peak_memory_bytes)
    classes = sorted(fullest.memory, key=lambda item: -item[1])[:2]
    filled = ", ".join(f"{name} {value / fullest.peak_memory_bytes:.0%}" for name, value in classes)
    capacity = priced.problem.job.cluster.accelerator.memory_bytes
    said = [
        f"stage {fullest.stage} is the fullest: {fullest.peak_memory_bytes / GIB:.1f} of {capacity / GIB:.1f} GiB"
        f" ({filled})"
    ]
    places = [f"{axis}={layout.size[axis]} over {link}" for axis, link in layout.link.items()]
    if places:
        said.append(f"groups: {', '.join(places)}")
    waits = (*COMMUNICATION, StepTerm.BUBBLE, StepTerm.OFFLOAD)
    waiting = [(term, float(priced.costs.terms[term, priced.row])) for term in waits]
    total = sum(seconds for _, seconds in waiting)
    if total > 0:
        most = max(waiting, key=lambda item: item[1])[0]
        name = COMMUNICATION[most][0] if most in COMMUNICATION else COMPUTE[most]
        said.append(f"waiting takes {total / priced.step_time_s:.1%} of the step, most of it for {name}")
    return tuple(said)
