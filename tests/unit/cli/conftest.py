"""Hand-made answers, so that drawing can be tested without a search, and the commands themselves."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from rich.console import RenderableType
from typer.testing import CliRunner, Result

from meshwright.cli.main import app
from meshwright.cli.render.console import text_of
from meshwright.planner.results import (
    ClusterSummary,
    MemoryClasses,
    ModelSummary,
    Plan,
    PlanAxes,
    PlanSet,
    RankLayout,
    SearchAccount,
    Shortfall,
    StageReport,
    StepBreakdown,
    WorkloadSummary,
)

GIB = 2.0**30
TERMS = dict.fromkeys(StepBreakdown.model_fields, 0.0) | {
    "matmul": 5.0, "attention": 1.0, "elementwise": 0.5, "tensor_comm": 1.0, "host": 0.001, "recompute": 0.5,
    "gradient_accumulation": 0.002, "pipeline_comm": 0.1, "bubble": 1.2, "data_comm": 0.6, "optimizer": 0.1,
}  # fmt: skip


def make_plan(
    *, rank: int = 1, peaks_gib: Sequence[float] = (60.0, 50.0), slower: float = 1.0, fits: bool = True, **axes: Any
) -> Plan:
    """A plan on one pipeline stage for each peak, consistent with itself."""
    stages = tuple(make_stage(stage, peak) for stage, peak in enumerate(peaks_gib))
    terms = {name: slower * seconds for name, seconds in TERMS.items()}
    step = sum(terms.values())
    given = {
        "dp": 4, "tp": 8, "pp": len(stages), "vpp": 1, "cp": 1, "ep": 1, "etp": 8, "sequence_parallel": True,
        "sharding": "zero1", "shard_group": 4, "micro_batch": 1, "schedule": "1f1b", "recompute": "none",
        "recompute_modules": (), "recompute_layers": 0,
    }  # fmt: skip
    return Plan(
        rank=rank,
        cluster="dgx-h100",
        num_devices=64,
        axes=PlanAxes.model_validate(given | axes),
        num_micro_batches=128,
        step_time_s=step,
        step_time_low_s=0.8 * step,
        step_time_high_s=1.25 * step,
        tokens_per_s=4e6 / step,
        tokens_per_s_per_device=4e6 / step / 64,
        mfu=0.456,
        peak_memory_bytes=tuple(peak * GIB for peak in peaks_gib),
        memory_capacity_bytes=80 * GIB,
        memory_headroom_bytes=(80 - max(peaks_gib)) * GIB,
        oom_probability=0.01 if fits else 0.9,
        fits=fits,
        stages=stages,
        breakdown=StepBreakdown(**terms),
        lower_bound_s=step / 1.25,
        gap=0.25,
        energy_j=4.2e6,
        cost_usd=6.1,
        runs_on=("megatron-core",),
        binds="matrix products (50% of the step)",
        reasons=("tp=8 stays inside a node",),
        layout=RankLayout(
            order="tp-cp-dp-pp",
            size={"tp": 8, "dp": 4, "pp": len(stages)},
            stride={"tp": 1, "dp": 8, "pp": 32},
            link={"tp": "nvlink"},
        ),
        num_variants=3,
    )


def make_stage(stage: int, peak_gib: float) -> StageReport:
    """A pipeline stage whose classes add up to its peak."""
    shares = {
        "parameters": 0.1, "gradients": 0.2, "optimizer": 0.3, "activations": 0.3, "working": 0.05, "context": 0.03,
        "fragmentation": 0.02,
    }  # fmt: skip
    memory = MemoryClasses(**{name: share * peak_gib * GIB for name, share in shares.items()})
    return StageReport(stage=stage, layers=(10, 10), peak_memory_bytes=peak_gib * GIB, memory=memory)


def make_plan_set(plans: Sequence[Plan], **changes: Any) -> PlanSet:
    """An answer with the given plans."""
    answer = PlanSet(
        meshwright_version="0",
        model=ModelSummary(name="llama-3-70b", parameters=70_553_706_496, active_parameters=70_553_706_496, layers=80),
        clusters=(
            ClusterSummary(
                name="dgx-h100",
                accelerator="h100-80gb",
                num_devices=64,
                devices_per_node=8,
                memory_bytes=80 * GIB,
            ),
        ),
        workload=WorkloadSummary(global_batch=512, seq_len=8192, precision="bf16", task="pretrain"),
        framework="megatron-core",
        objective="time",
        constraints=("pp<=8",),
        plans=tuple(plans),
        pareto=(),
        lower_bound_s=8.0,
        proven_optimal=True,
        account=SearchAccount(
            total=1000, excluded={"heads": 600, "layers": 100}, did_not_fit=150, pruned=100, priced=50, seconds=0.25
        ),
        assumptions=tuple(f"assumption {number}" for number in range(1, 6)),
    )
    return answer.model_copy(update=changes)


@pytest.fixture
def a_plan() -> Callable[..., Plan]:
    """Makes plans."""
    return make_plan


@pytest.fixture
def an_answer() -> Callable[..., PlanSet]:
    """Makes plan sets."""
    return make_plan_set


@pytest.fixture
def nothing_fits() -> PlanSet:
    """An answer without a plan."""
    nearest = make_plan(peaks_gib=(96.2, 70.0), fits=False)
    shortfall = Shortfall(
        nearest=nearest, overflow_bytes=20.2 * GIB, message="needs 96.2 of 76.0 GiB on stage 0: optimizer 41%",
        remedies=(),
    )  # fmt: skip
    return make_plan_set((), shortfall=shortfall, proven_optimal=False)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Draws on a stream of a given width and encoding, without colours."""

    def draw(renderable: RenderableType, width: int = 80, encoding: str = "utf-8") -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        return text_of(renderable, io.TextIOWrapper(io.BytesIO(), encoding=encoding))

    return draw


@pytest.fixture
def meshwright(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command line in this process, 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, list(words), prog_name="meshwright")

    return run
