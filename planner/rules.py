"""Which combinations of axes a framework and a model allow: named rules that can say why they exclude a plan.

A rule is looked at as soon as all the axes that it reads are chosen, so that whole branches of the space fall at once.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meshwright.cost_models.architecture import Attention, DenseMlp, LatentAttention, MoeMlp, StateSpace
from meshwright.cost_models.candidates import (
    SCHEDULE_NAMES,
    BoolColumn,
    Candidates,
    Recompute,
    RecomputeModules,
    Schedule,
    Sharding,
)
from meshwright.cost_models.job import Job
from meshwright.cost_models.memory import data_ranks
from meshwright.planner.axes import AXES, Constraint, Constraints, value_text
from meshwright.planner.frameworks import read_framework

MESH = frozenset({"dp", "tp", "pp", "cp"})


@dataclass(frozen=True)
class Rule:
    """One reason why a plan can't run.

    Attributes:
        name: Short name for counts.
        equation: What must hold, with `{axis}` and `{fact}` placeholders that are shown with their values.
        axes: Axes that it reads.
        holds: Mask of the plans that obey it.
        facts: Values of the job that the equation shows.
    """

    name: str
    equation: str
    axes: frozenset[str]
    holds: Callable[[Candidates], BoolColumn]
    facts: tuple[tuple[str, object], ...] = ()

    def explain(self, candidates: Candidates, row: int = 0) -> str:
        """What must hold and the values that break it, for one plan."""
        values = {axis: value_text(axis, int(getattr(candidates, axis)[row])) for axis in sorted(self.axes)}
        shown = ", ".join(f"{name}={value}" for name, value in (*values.items(), *self.facts))
        return f"{self.equation} must hold, but got {shown}"


def violated(rules: Iterable[Rule], candidates: Candidates, row: int = 0) -> list[Rule]:
    """The rules that one plan breaks."""
    one = candidates[row : row + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return [rule for rule in rules if not bool(np.broadcast_to(rule.holds(one), 1)[0])]


def all_rules(job: Job, constraints: Constraints) -> tuple[Rule, ...]:
    """Every rule of a job: the user's demands, the mesh, the model's widths, the framework."""
    own = _own_rules(job)
    return (*(_demand(demand) for demand in constraints.demands), *own, *_stand_in_rules(job, own))


def _own_rules(job: Job) -> list[Rule]:
    families = (
        _mesh_rules, _width_rules, _batch_rules, _pipeline_rules, _expert_rules, _sharding_rules, _recompute_rules,
    )  # fmt: skip
    return [rule for family in families for rule in family(job)]


def _stand_in_rules(job: Job, own: Sequence[Rule]) -> list[Rule]:
    """A profile that stands for others allows what at least one of them allows, by the rules that are not its own."""
    names = job.framework.stands_for
    if not names:
        return []
    shared = {(rule.name, rule.equation) for rule in own}
    theirs = [
        [rule for rule in _own_rules(replace(job, framework=read_framework(name))) if (rule.name, rule.equation) not in shared]
        for name in names
    ]
    return [
        _rule("some-framework", f"one of {', '.join(names)} must run it", " ".join(AXES),
              lambda c: np.logical_or.reduce([_allows(rules, c) for rules in theirs]))
    ]  # fmt: skip


def _allows(rules: Iterable[Rule], candidates: Candidates) -> BoolColumn:
    """Mask of the plans that obey every rule."""
    allowed = np.ones(len(candidates), dtype=np.bool_)
    for rule in rules:
        allowed &= rule.holds(candidates)
    return allowed


def obeys(problem_rules: Iterable[Rule], candidates: Candidates) -> BoolColumn:
    """Mask of the plans that obey every rule, whatever values the axes have."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return _allows(problem_rules, candidates)


def runs_on(job: Job, candidates: Candidates) -> list[tuple[str, ...]]:
    """For each plan the frameworks that can run it, among those that the job's profile stands for."""
    names = job.framework.stands_for or (job.framework.name,)
    masks = {
        name: obeys(_own_rules(replace(job, framework=read_framework(name))), candidates) for name in names
    }
    return [tuple(name for name in names if masks[name][row]) for row in range(len(candidates))]


def _rule(
    name: str, equation: str, axes: str, holds: Callable[[Candidates], BoolColumn], **facts: object
) -> Rule:
    return Rule(name, equation, frozenset(axes.split()), holds, tuple(facts.items()))


def _demand(demand: Constraint) -> Rule:
    return _rule(
        f"you asked for {demand.text}", demand.text, demand.axis, lambda c: demand.holds(getattr(c, demand.axis))
    )



def _mesh_rules(job: Job) -> list[Rule]:
    profile, devices = job.framework, job.cluster.num_devices
    rules = [
        _rule("devices", "dp·tp·pp·cp = devices", "dp tp pp cp", lambda c: c.dp * c.tp * c.pp * c.cp == devices, devices=devices)
    ]
    if not profile.tensor_parallel:
        rules.append(_rule("framework-tp", f"tp = 1 with {profile.name}", "tp", lambda c: c.tp == 1))
    if not profile.context_parallel:
        rules.append(_rule("framework-cp", f"cp = 1 with {profile.name}", "cp", lambda c: c.cp == 1))
    return rules


def _width_rules(job: Job) -> list[Rule]:
    arch, seq = job.architecture, job.workload.seq_len
    rules = []
    mixers = {kind.mixer for kind in arch.layer_kinds if kind.mixer is not None}
    for heads in sorted({m.num_heads for m in mixers}):
        rules.append(_rule("heads", "heads mod tp = 0", "tp", lambda c, n=heads: n % c.tp == 0, heads=heads))
    for kv in sorted({m.num_kv_heads for m in mixers if isinstance(m, Attention)}):
        if job.framework.kv_head_replication:
            rules.append(
                _rule("kv-heads", "kv_heads mod tp = 0 or tp mod kv_heads = 0", "tp",
                      lambda c, n=kv: (n % c.tp == 0) | (c.tp % n == 0), kv_heads=kv)
            )  # fmt: skip
        else:
            rules.append(_rule("kv-heads", "kv_heads mod tp = 0", "tp", lambda c, n=kv: n % c.tp == 0, kv_heads=kv))
    for ffn in sorted({k.mlp.ffn_hidden for k in arch.layer_kinds if isinstance(k.mlp, DenseMlp)}):
        rules.append(_rule("ffn", "ffn_hidden mod tp = 0", "tp", lambda c, n=ffn: n % c.tp == 0, ffn_hidden=ffn))
    if any(isinstance(m, StateSpace) for m in mixers):
        rules.append(_rule("state-space-cp", "cp = 1 with state-space layers", "cp", lambda c: c.cp == 1))
    rules += [
        _rule("sequence-cp", "seq_len mod 2·cp = 0 where cp > 1 (each rank takes an early and a late piece)", "cp",
              lambda c: (c.cp == 1) | (seq % (2 * c.cp) == 0), seq_len=seq),
        _rule("sequence-tp", "seq_len mod cp·tp = 0 with sequence parallelism", "cp tp sequence_parallel",
              lambda c: ~c.sequence_parallel | (seq % (c.cp * c.tp) == 0), seq_len=seq),
        _rule("sequence-parallel", "tp > 1 with sequence parallelism", "tp sequence_parallel",
              lambda c: ~c.sequence_parallel | (c.tp > 1)),
    ]  # fmt: skip
    return rules


def _batch_rules(job: Job) -> list[Rule]:
    batch = job.workload.global_batch
    return [
        _rule("batch-dp", "global_batch mod dp = 0", "dp", lambda c: batch % c.dp == 0, global_batch=batch),
        _rule("batch", "global_batch mod dp·micro_batch = 0", "dp micro_batch",
              lambda c: batch % (c.dp * c.micro_batch) == 0, global_batch=batch),
    ]  # fmt: skip


def _pipeline_rules(job: Job) -> list[Rule]:
    layers, batch, profile = job.architecture.num_layers, job.workload.global_batch, job.framework
    offered = [number for number, name in SCHEDULE_NAMES.items() if name in profile.schedules]
    rules = [
        _rule("layers", "pp·vpp <= layers", "pp vpp", lambda c: c.pp * c.vpp <= layers, layers=layers),
        _rule("framework-schedule", f"{profile.name} runs {', '.join(profile.schedules)}", "schedule",
              lambda c: np.isin(c.schedule, offered)),
        _rule("schedule-pp", "without pipeline stages only 1f1b is counted (the schedules are the same)", "pp schedule",
              lambda c: (c.pp > 1) | (c.schedule == Schedule.ONE_F_ONE_B)),
        _rule("interleaving", "vpp > 1 goes with the interleaved schedule, and only with it", "vpp schedule",
              lambda c: (c.vpp > 1) == (c.schedule == Schedule.INTERLEAVED)),
        _rule("interleaving-groups", "micro-batches mod pp = 0 with interleaving", "dp pp micro_batch schedule",
              lambda c: (c.schedule != Schedule.INTERLEAVED) | (batch // np.maximum(c.dp * c.micro_batch, 1) % c.pp == 0),
              global_batch=batch),
        _rule("pipeline-full", "micro-batches >= pp (fewer leave stages idle all the time)", "dp pp micro_batch",
              lambda c: batch // np.maximum(c.dp * c.micro_batch, 1) >= c.pp, global_batch=batch),
    ]  # fmt: skip
    if not profile.uneven_stages:
        rules.append(
            _rule("even-stages", f"layers mod pp·vpp = 0 with {profile.name}", "pp vpp",
                  lambda c: layers % np.maximum(c.pp * c.vpp, 1) == 0, layers=layers)
        )  # fmt: skip
    else:
        rules.append(
            _rule("even-chunks", "layers mod pp·vpp = 0 where some division by this pp is even; chunks otherwise of >= 2 layers",
                  "pp vpp", lambda c: _reasonably_even(layers, c), layers=layers)
        )  # fmt: skip
    return rules


def _reasonably_even(layers: int, c: Candidates) -> BoolColumn:
    chunks = np.maximum(c.pp * c.vpp, 1)
    return (layers % chunks == 0) | ((layers % c.pp != 0) & ((c.vpp == 1) | (layers >= 2 * chunks)))


def _expert_rules(job: Job) -> list[Rule]:
    arch, profile = job.architecture, job.framework
    if not arch.is_moe:
        return [
            _rule("dense-ep", "ep = 1 for a dense model", "ep", lambda c: c.ep == 1),
            _rule("dense-etp", "etp = tp for a dense model", "tp etp", lambda c: c.etp == c.tp),
        ]
    rules = []
    for mlp in {kind.mlp for kind in arch.layer_kinds if isinstance(kind.mlp, MoeMlp)}:
        rules += [
            _rule("experts", "experts mod ep = 0", "ep", lambda c, n=mlp.num_experts: n % c.ep == 0, experts=mlp.num_experts),
            _rule("expert-ffn", "expert_ffn_hidden mod etp = 0", "etp",
                  lambda c, n=mlp.expert_ffn_hidden: n % c.etp == 0, expert_ffn_hidden=mlp.expert_ffn_hidden),
        ]  # fmt: skip
    rules += [
        _rule("expert-ranks", "dp·cp·tp mod ep·etp = 0", "dp cp tp ep etp",
              lambda c: (c.dp * c.cp * c.tp) % np.maximum(c.ep * c.etp, 1) == 0),
        _rule("expert-sequence", "sequence parallelism where tp > 1 and experts are parallel", "tp ep sequence_parallel",
              lambda c: (c.tp == 1) | (c.ep == 1) | c.sequence_parallel),
        _rule("etp-tp", "etp is 1 or tp", "tp etp", lambda c: (c.etp == 1) | (c.etp == c.tp)),
    ]  # fmt: skip
    if not profile.expert_parallel:
        rules.append(_rule("framework-ep", f"ep = 1 with {profile.name}", "ep", lambda c: c.ep == 1))
    if not profile.expert_tensor_parallel:
        rules.append(_rule("framework-etp", f"etp = 1 with {profile.name}", "etp", lambda c: c.etp == 1))
    return rules


def _sharding_rules(job: Job) -> list[Rule]:
    profile = job.framework
    offered = [int(member) for member in Sharding if member.name.lower() in profile.shardings]
    rules = [
        _rule("framework-sharding", f"{profile.name} runs {', '.join(profile.shardings)}", "dp cp sharding",
              lambda c: np.isin(c.sharding, offered) | ((c.sharding == Sharding.NONE) & (data_ranks(c) == 1))),
        _rule("sharding-ranks", "dp·cp > 1 where states are sharded", "dp cp sharding",
              lambda c: (data_ranks(c) > 1) | (c.sharding == Sharding.NONE)),
        _rule("shard-group", "shard_group is 1 for none, dp·cp for ZeRO, between for hsdp", "dp cp sharding shard_group",
              _shard_group_fits),
        _rule("shard-group-divides", "dp·cp mod shard_group = 0", "dp cp shard_group",
              lambda c: data_ranks(c) % np.maximum(c.shard_group, 1) == 0),
        _rule("zero2-pipeline", "pp = 1 with ZeRO-2 (gradients are whole between micro-batches of a pipeline)",
              "pp sharding", lambda c: (c.pp == 1) | (c.sharding != Sharding.ZERO2) | profile.pipeline_with_fsdp),
    ]  # fmt: skip
    if not profile.pipeline_with_fsdp:
        rules.append(
            _rule("zero3-pipeline", f"pp = 1 with ZeRO-3 and HSDP in {profile.name}", "pp sharding",
                  lambda c: (c.pp == 1) | (c.sharding < Sharding.ZERO3))
        )  # fmt: skip
    return rules


def _shard_group_fits(c: Candidates) -> BoolColumn:
    ranks, group = data_ranks(c), c.shard_group
    inner = (group > 1) & (group < ranks)
    whole = (c.sharding == Sharding.NONE) & (group == 1) | (c.sharding == Sharding.HSDP) & inner
    zero = (c.sharding >= Sharding.ZERO1) & (c.sharding <= Sharding.ZERO3) & (group == ranks)
    return np.asarray(whole | zero)


def _recompute_rules(job: Job) -> list[Rule]:
    profile, arch = job.framework, job.architecture
    offered = [int(member) for member in Recompute if member.name.lower() in profile.recomputes]
    useful = _useful_modules(job)
    rules = [
        _rule("framework-recompute", f"{profile.name} runs {', '.join(profile.recomputes)}", "recompute",
              lambda c: np.isin(c.recompute, offered)),
        _rule("recompute-modules", "modules go with selective recomputation, and only with it", "recompute recompute_modules",
              lambda c: (c.recompute == Recompute.SELECTIVE) == (c.recompute_modules > 0)),
        _rule("recompute-useful", "only modules that this model has and that keep activations are recomputed",
              "recompute_modules", lambda c: (c.recompute_modules & ~useful) == 0),
        _rule("recompute-layers", "1 <= recompute_layers <= layers of a stage with full recomputation, else 0",
              "pp recompute recompute_layers", lambda c: _layer_count_fits(arch.num_layers, c)),
    ]  # fmt: skip
    if not profile.recompute_per_layer:
        rules.append(
            _rule("recompute-all-layers", f"full recomputation takes every layer with {profile.name}",
                  "pp recompute recompute_layers",
                  lambda c: (c.recompute != Recompute.FULL) | (c.recompute_layers == -(-arch.num_layers // c.pp)))
        )  # fmt: skip
    return rules


def _layer_count_fits(layers: int, c: Candidates) -> BoolColumn:
    full, per_stage = c.recompute == Recompute.FULL, -(-layers // np.maximum(c.pp, 1))
    return np.where(full, (c.recompute_layers >= 1) & (c.recompute_layers <= per_stage), c.recompute_layers == 0)


def _useful_modules(job: Job) -> int:
    kinds = job.architecture.layer_kinds
    useful = int(RecomputeModules.LAYERNORM | RecomputeModules.MLP_ACT)
    if not job.framework.flash_attention:
        useful |= RecomputeModules.CORE_ATTN
    if any(isinstance(kind.mixer, LatentAttention) for kind in kinds):
        useful |= RecomputeModules.MLA_UP_PROJ
    if any(isinstance(kind.mlp, DenseMlp) for kind in kinds) and not job.architecture.is_moe:
        useful |= RecomputeModules.MLP
    if job.architecture.is_moe:
        useful |= RecomputeModules.MOE
    return useful


