"""The plan of a run: one row of the candidates' table, from the columns of its row."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from meshwright.cost_models.candidates import (
    OFFLOADED,
    OWN_SPLIT,
    Candidates,
    OffloadTier,
    Recompute,
    RecomputeModules,
    Schedule,
    Sharding,
)
from meshwright.cost_models.framework import FrameworkProfile
from meshwright.errors import AxisError
from meshwright.planner.runs.run import Run

SHARDINGS = {
    "": Sharding.NONE,
    "none": Sharding.NONE,
    "zero1": Sharding.ZERO1,
    "zero2": Sharding.ZERO2,
    "zero3": Sharding.ZERO3,
    "fsdp": Sharding.ZERO3,
    "hsdp": Sharding.HSDP,
}
RECOMPUTES = {
    "none": Recompute.NONE,
    "selective": Recompute.SELECTIVE,
    "full": Recompute.FULL,
}
MODULES = {
    "core_attn": RecomputeModules.CORE_ATTN,
    "layernorm": RecomputeModules.LAYERNORM,
    "mlp_act": RecomputeModules.MLP_ACT,
    "moe_act": RecomputeModules.MLP_ACT,
    "mla_up_proj": RecomputeModules.MLA_UP_PROJ,
    "mlp": RecomputeModules.MLP,
    "moe": RecomputeModules.MOE,
    "op": RecomputeModules.OP,
    "sac": RecomputeModules.OP,  # PyTorch's selective activation checkpointing chooses operators
    # MaxText's `minimal` policy keeps the outputs of all matrix multiplications with weights.
    "minimal": RecomputeModules.CORE_ATTN | RecomputeModules.LAYERNORM | RecomputeModules.MLP_ACT,
}


@dataclass(frozen=True)
class RunPlan:
    """One row of `Candidates`, as plain numbers."""

    dp: int
    tp: int
    pp: int
    vpp: int
    cp: int
    ep: int
    etp: int
    sequence_parallel: bool
    sharding: int
    shard_group: int
    micro_batch: int
    schedule: int
    recompute: int
    recompute_modules: int
    recompute_layers: int
    split: int = OWN_SPLIT
    offload_optimizer: float = 0.0
    offload_gradients: float = 0.0
    offload_parameters: float = 0.0
    offload_activations: float = 0.0
    offload_tier: int = OffloadTier.HOST
    offload_stride: int = 0


_DTYPES: dict[str, type] = {"sequence_parallel": np.bool_} | dict.fromkeys(OFFLOADED, np.float64)


def plan_table(plans: Sequence[RunPlan]) -> Candidates:
    """Plans as a table of candidates."""
    rows = [asdict(plan) for plan in plans]
    return Candidates(
        **{
            name: np.array([row[name] for row in rows], dtype=_DTYPES.get(name, np.int64))
            for name in RunPlan.__dataclass_fields__
        }
    )


def run_plan(run: Run, profile: FrameworkProfile, fast_domain: int) -> RunPlan:
    """The plan that a row describes.

    Empty cells: `dp` is what the devices leave; tp, pp, cp, ep and vpp are 1 where dp is given (vpp the fewest that
    divide the layers, if the note says that stages interleave); `etp` is tp, experts divided like dense layers
    (Megatron-Core's default, and the only way before 0.10);
    sequence parallelism and recomputation are the framework's default; `shard_group` is all of
    dp·cp, with HSDP the part of it in one domain of the fastest links.

    Args:
        run: The row.
        profile: Its framework.
        fast_domain: Devices within one domain of the fastest links.

    Raises:
        AxisError: The row doesn't say enough, or its numbers contradict each other.
    """
    tp, pp, cp, ep = (getattr(run, axis) or 1 for axis in ("tp", "pp", "cp", "ep"))
    vpp = run.vpp or _published_interleaving(run, profile, pp) or _least_interleaving(run, pp)
    dp = _data_parallel(run, tp * pp * cp)
    if run.micro_batch is None:
        raise AxisError("micro-batch unknown")
    micro_batch = run.micro_batch
    if run.global_batch is not None and run.global_batch % (dp * micro_batch):
        raise AxisError(
            f"global_batch % (dp · micro_batch) must be 0, but got {run.global_batch}, {dp} and {micro_batch}"
        )
    sharding = run_sharding(run, profile)
    recompute, modules, layers = _recompute(run, profile)
    expert_tp = (_told_etp(run) or tp) if profile.expert_tensor_parallel else tp
    return RunPlan(
        dp=dp, tp=tp, pp=pp, vpp=vpp, cp=cp, ep=ep, etp=_fitting_etp(run, expert_tp, dp * cp * tp, ep),
        sequence_parallel=_sequence_parallel(run, profile) and tp > 1,
        sharding=int(sharding),
        shard_group=_shard_group(run, sharding, dp * cp, fast_domain // tp),
        micro_batch=micro_batch,
        schedule=int(Schedule.INTERLEAVED if vpp > 1 else Schedule.ONE_F_ONE_B),
        recompute=int(recompute), recompute_modules=int(modules), recompute_layers=layers,
        **offloaded_shares(run),  # type: ignore[arg-type]
    )  # fmt: skip


def _published_interleaving(run: Run, profile: FrameworkProfile, pp: int) -> int:
    """Virtual stages of a framework whose published runs have chunks of so many layers; 0 where none are known.

    Embedding and output take the place of a layer.
    """
    if not profile.published.chunk_layers or pp == 1:
        return 0
    return round(((run.n_layers or 0) + 2) / (pp * profile.published.chunk_layers))


def _least_interleaving(run: Run, pp: int) -> int:
    """Virtual stages where the row doesn't say: 1, or the fewest that divide the layers of a run that interleaves."""
    layers = (run.n_layers or 0) // pp
    if pp == 1 or "interleaving degree unknown" not in run.note:
        return 1
    return next((chunks for chunks in range(2, layers + 1) if layers % chunks == 0), 1)


def offloaded_shares(run: Run) -> dict[str, float]:
    """The shares of a row's bytes that live in host memory, as far as its description says."""
    said, shares = run.offload, dict[str, float]()
    if "optim" in said:
        shares["offload_optimizer"] = 1.0
    if "param" in said:
        shares |= {"offload_parameters": 1.0, "offload_gradients": 1.0}
    if said == "activation":
        shares["offload_activations"] = 1.0
    if match := _OFFLOADED_LAYERS.fullmatch(said):
        shares["offload_activations"] = min(int(match[1]) * (run.pp or 1) / max(run.n_layers or 1, 1), 1.0)
    return shares


def is_offload_told(run: Run) -> bool:
    """Whether what a row offloads is known well enough to price it."""
    return run.offload in ("", "none") or bool(offloaded_shares(run))


_OFFLOADED_LAYERS = re.compile(r"activation_cpu_offload_layers=(\d+)")


def _sequence_parallel(run: Run, profile: FrameworkProfile) -> bool:
    return profile.published.default_sequence_parallel if run.sequence_parallel is None else run.sequence_parallel


def _shard_group(run: Run, sharding: Sharding, ranks: int, near_ranks: int) -> int:
    if sharding is Sharding.NONE:
        return 1
    by_default = near_ranks if sharding is Sharding.HSDP and ranks % max(near_ranks, 1) == 0 else ranks
    told = _SHARD_GROUP.search(run.note)
    return min(run.shard_group or (int(told[1]) if told else 0) or by_default or ranks, ranks)


_SHARD_GROUP = re.compile(r"zero1 group size=(\d+)")
"""Where the note has the ranks that share optimizer states (InternEvo's `zero1.size`)."""


def _data_parallel(run: Run, model_parallel: int) -> int:
    if run.dp is None and (run.tp is None or run.pp is None):
        raise AxisError("parallelism unknown: dp, tp or pp")
    if not run.n_gpus:
        raise AxisError("number of devices unknown")
    dp = run.dp or run.n_gpus // model_parallel
    if dp * model_parallel != run.n_gpus:
        raise AxisError(f"dp · tp · pp · cp must be n_gpus, but got {dp} · {model_parallel} and {run.n_gpus}")
    return dp


def run_sharding(run: Run, profile: FrameworkProfile) -> Sharding:
    """What a row shards; on a device by itself what the framework's scripts ask for there."""
    alone = run.n_gpus == 1 and run.sharding in ("", "none")
    task = "qlora" if run.task == "lora" and is_quantised(run) else run.task
    return SHARDINGS[profile.published.single_device_sharding.get(task, "")] if alone else _sharding(run)


def is_quantised(run: Run) -> bool:
    """Whether the base of a row's adapters is held in 4 bits: the table files it under `lora`, and the note says so."""
    return "quantised base" in run.note or "task qlora" in run.note


def _sharding(run: Run) -> Sharding:
    if not run.sharding and (run.dp or 1) > 1 and run.task != "lora":
        raise AxisError("sharding unknown")
    try:
        return SHARDINGS[run.sharding]
    except KeyError:
        raise AxisError(f"unknown sharding {run.sharding!r}; known are {', '.join(filter(None, SHARDINGS))}") from None


def _told_etp(run: Run) -> int | None:
    """Expert tensor parallelism as far as the source says so; the table's assumption counts as not told."""
    return None if "etp assumed" in run.note else run.etp


def _fitting_etp(run: Run, etp: int, ranks: int, ep: int) -> int:
    if not run.n_experts or run.n_experts < 2:
        return 1
    if ranks % (ep * etp):
        raise AxisError(f"ep · etp must divide dp · cp · tp, but got {ep} · {etp} and {ranks}")
    return etp


def _recompute(run: Run, profile: FrameworkProfile) -> tuple[Recompute, RecomputeModules, int]:
    """Recompute mode, modules and layers of a stage, with what `recompute_detail` adds."""
    if run.recompute and run.recompute not in RECOMPUTES:
        raise AxisError(f"unknown recompute {run.recompute!r}; known are none, selective, full")
    default = profile.published.default_recompute
    if SHARDINGS.get(run.sharding, Sharding.NONE) >= Sharding.ZERO3:
        default = profile.published.sharded_recompute or default
    mode, none = RECOMPUTES[run.recompute or default], RecomputeModules(0)
    layers = run.n_layers or 0
    if mode is Recompute.FULL:
        return mode, none, layers
    if mode is Recompute.NONE:
        return mode, none, 0
    detail = run.recompute_detail.lower()
    if "every-other-layer" in detail:
        return Recompute.FULL, none, layers // (2 * (run.pp or 1))
    if "offloaded" in detail:  # everything but one offloaded tensor a layer is recomputed
        return Recompute.FULL, none, layers
    names = [name for name in re.split(r"[^a-z_]+", detail) if name in MODULES]
    if not names:
        names = profile.selective_modules[0].split("+") if profile.selective_modules else ["core_attn"]
    modules = none
    for name in names:
        modules |= MODULES[name]
    return mode, modules, 0
