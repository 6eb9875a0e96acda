"""Peak bytes of the TorchTitan profile against PyTorch's own memory trackers, category by category."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from meshwright.cost_models.architecture import Architecture, Attention, DenseMlp, Layer
from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.candidates import (
    OFFLOADED,
    OWN_SPLIT,
    Candidates,
    Recompute,
    RecomputeModules,
    Schedule,
    Sharding,
)
from meshwright.cost_models.framework import FrameworkProfile
from meshwright.cost_models.job import Job
from meshwright.cost_models.parameter_bytes import StateBytes
from meshwright.cost_models.price import price
from meshwright.cost_models.workload import Workload
from meshwright.planner.clusters.catalog import catalog_cluster
from meshwright.planner.frameworks import read_framework

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch: pip install -e '.[torch]'"),
]
TOLERANCE = 0.02
TRACKER = Path(__file__).with_name("track_memory_with_torch.py")


@dataclass(frozen=True)
class Case:
    """One training step of a small Llama; `shards` ranks share the states, `replicas` groups of them run."""

    layers: int = 4
    hidden: int = 1024
    ffn: int = 2816
    heads: int = 16
    kv_heads: int = 4
    head_dim: int = 64
    vocab: int = 32000
    seq: int = 2048
    micro_batch: int = 1
    micro_batches: int = 1
    fsdp: bool = True
    replicas: int = 1
    shards: int = 8
    tp: int = 1
    recompute: str = "none"
    reshard: bool = True
    qk_norm: bool = False
    tables_in_root: bool = False


CASES = {
    "fsdp": Case(),
    "fsdp, gradients accumulate": Case(micro_batches=2),
    "fsdp, full recomputation": Case(recompute="full"),
    "fsdp, selection by operator": Case(recompute="op"),
    "fsdp, small vocabulary, selection by operator": Case(vocab=256, recompute="op"),
    "tensor parallel, selection by operator": Case(tp=4, shards=2, vocab=1024, recompute="op"),
    "fsdp, small vocabulary": Case(vocab=256),
    "fsdp, small vocabulary, full recomputation": Case(vocab=256, recompute="full"),
    "fsdp, few tokens": Case(seq=64),
    "fsdp, few tokens, small vocabulary": Case(seq=64, vocab=256),
    "fsdp, few tokens, many layers": Case(seq=64, vocab=256, layers=8, shards=2),
    "fsdp, several sequences": Case(micro_batch=4, seq=1024, vocab=8192, layers=3),
    "fsdp, wide feed-forward": Case(ffn=8192, vocab=4096, kv_heads=16),
    "fsdp, query and key norms": Case(vocab=256, qk_norm=True, head_dim=128, kv_heads=8),
    "fsdp, tables in the root": Case(tables_in_root=True, seq=256),
    "fsdp, tables in the root, full recomputation": Case(tables_in_root=True, vocab=8192, recompute="full"),
    "fsdp over two ranks": Case(shards=2, seq=256),
    "hsdp": Case(replicas=4, shards=2, vocab=4096),
    "hsdp, full recomputation": Case(replicas=2, shards=4, recompute="full", vocab=4096),
    "never reshards": Case(reshard=False),
    "never reshards, small vocabulary": Case(reshard=False, vocab=256),
    "never reshards, full recomputation": Case(reshard=False, recompute="full", vocab=4096),
    "never reshards, few tokens": Case(reshard=False, seq=64),
    "tensor parallel": Case(tp=4, shards=4),
    "tensor parallel, small vocabulary": Case(tp=4, shards=4, vocab=256),
    "tensor parallel, full recomputation": Case(tp=4, shards=2, vocab=1024, recompute="full"),
    "tensor parallel, hsdp, never reshards": Case(tp=2, shards=2, replicas=2, reshard=False, vocab=4096),
    "one rank": Case(fsdp=False, shards=1),
    "one rank, small vocabulary": Case(fsdp=False, shards=1, vocab=256),
    "one rank, few tokens": Case(fsdp=False, shards=1, vocab=256, seq=64),
}


def tracked() -> dict[str, dict[str, dict[str, int]]]:
    """What PyTorch counts for every case; one process runs all of them, since importing PyTorch takes most time."""
    done = subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, "-W", "ignore", str(TRACKER)],
        input=json.dumps([vars(case) for case in CASES.values()]),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


def architecture(case: Case) -> Architecture:
    qk_norms = 2 * case.head_dim if case.qk_norm else 0
    attention = Attention(case.heads, case.kv_heads, case.head_dim, qk_norm_params=qk_norms)
    layer = Layer(attention, DenseMlp(case.ffn), norm_params=2 * case.hidden)
    return Architecture("tracked", case.hidden, case.vocab, (layer,) * case.layers, final_norm_params=case.hidden)


def profile(case: Case) -> FrameworkProfile:
    """TorchTitan's; one rank trains in pure bf16: parameters, gradients, moments, and the foreach temporary."""
    titan = read_framework("torchtitan")
    if not case.fsdp:
        return replace(titan, states=StateBytes(2, 2, 4, optimizer_temporary=2))
    return replace(titan, tables_in_root=case.tables_in_root)


def plan(case: Case) -> Candidates:
    sharding = Sharding.NONE
    if case.fsdp:
        sharding = Sharding.ZERO2 if not case.reshard else Sharding.HSDP if case.replicas > 1 else Sharding.ZERO3
    recompute = {"none": Recompute.NONE, "op": Recompute.SELECTIVE, "full": Recompute.FULL}[case.recompute]
    modules = RecomputeModules.OP if case.recompute == "op" else 0
    values = {
        "dp": case.replicas * case.shards, "tp": case.tp, "pp": 1, "vpp": 1, "cp": 1, "ep": 1, "etp": case.tp,
        "sequence_parallel": case.tp > 1, "sharding": sharding, "shard_group": case.shards,
        "micro_batch": case.micro_batch, "schedule": Schedule.ONE_F_ONE_B, "recompute": recompute,
        "recompute_modules": int(modules), "recompute_layers": case.layers, "split": OWN_SPLIT,
        "offload_tier": 0, "offload_stride": 0,
    }  # fmt: skip
    nothing = {axis: np.zeros(1) for axis in OFFLOADED}
    return Candidates(**{name: np.array([value]) for name, value in values.items()}, **nothing)


def job(case: Case) -> Job:
    sequences = case.micro_batch * case.micro_batches * case.replicas * case.shards
    workload = Workload(sequences, case.seq)
    return Job(architecture(case), catalog_cluster("dgx-h100"), workload, profile(case), Calibration.spec_sheet())


def predicted(case: Case) -> dict[str, float]:
    """Our classes at the peak; what PyTorch calls temporary or activation depends on the pass, so they count as one."""
    memory = price(job(case), plan(case)).memory
    return {
        "parameters": float(memory.parameters[0, 0]),
        "gradients": float(memory.gradients[0, 0]),
        "optimizer": float(memory.optimizer[0, 0]),
        "activations and working set": float(memory.activations[0, 0] + memory.working[0, 0]),
    }


def measured(case: Case, phases: dict[str, dict[str, int]]) -> dict[str, float]:
    """PyTorch's categories at the peak, by our classes.

    With ZeRO-2 the fp32 shards are master weights beside the gathered copy; without FSDP all states are replicated.
    While a unit's 16-bit gradients exist outside the backward pass, PyTorch calls the fp32 shard that they are reduced
    into temporary; it is the gradient. (The root's gradients are gone when their shard comes.)
    """
    peak = max((phases[name] for name in ("forward", "backward", "step")), key=lambda phase: phase["Total"])
    states = {"parameters": peak.get("Sharded Param", 0), "optimizer": phases["kept"].get("OptState", 0)}
    gradients = peak.get("Sharded Grad", 0) + peak.get("Gradient", 0)
    if not case.tables_in_root:
        gradients += 2 * peak.get("Unsharded Grad", 0) / case.shards
    if not case.fsdp:
        states = {"parameters": peak["Parameter"], "optimizer": phases["kept"]["Optstate"]}
    if not case.reshard:
        whole = peak.get("Unsharded Param", 0)
        states = {"parameters": whole, "optimizer": states["optimizer"] + states["parameters"]}
    inputs = peak.get("Inputs", 0) + peak.get("Other", 0)
    rest = peak["Total"] - inputs - gradients - sum(states.values())
    return states | {"gradients": gradients, "activations and working set": rest}


def differences(name: str, phases: dict[str, dict[str, int]]) -> list[str]:
    """Classes of one case that are off by more than the tolerance, which is never less than a trace of the total."""
    ours, theirs = predicted(CASES[name]), measured(CASES[name], phases)
    trace = TOLERANCE * sum(theirs.values())
    return [
        f"{name}: {category} {ours[category] / 1e6:.2f} MB, PyTorch counts {size / 1e6:.2f} MB"
        for category, size in theirs.items()
        if abs(ours[category] - size) > TOLERANCE * max(size, trace)
    ]


def test_every_class_is_what_torch_counts_at_the_peak() -> None:
    """Parameters, gradients, optimizer states, and all that is alive beside them, where memory is highest."""
    wrong = [text for name, phases in tracked().items() for text in differences(name, phases)]
    assert not wrong, "\n".join(wrong)
