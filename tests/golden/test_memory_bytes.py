"""Bytes against published formulas: Megatron's state bytes, and Korthikanti et al. on activations."""

from dataclasses import replace

import numpy as np
import pytest
import samples

from meshwright.cost_models.architecture import Architecture, Attention, DenseMlp, Layer
from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.candidates import Candidates, Recompute, RecomputeModules, Schedule, Sharding
from meshwright.cost_models.cluster import UNBOUNDED, Accelerator, Cluster, LinkLevel
from meshwright.cost_models.job import Job
from meshwright.cost_models.parameters import total_parameters
from meshwright.cost_models.price import price
from meshwright.cost_models.workload import Workload
from meshwright.planner.frameworks import read_framework

A100 = Accelerator("a100", {"bf16": 312e12, "fp16": 312e12, "fp32": 19.5e12}, 80 * 2.0**30, 2.0e12, num_cores=108)
SEQ_LEN, VOCAB = 2048, 51200
CONFIGURATIONS = {
    "22B": (64, 6144, 48, 1, 1, 4, 4),
    "175B": (96, 12288, 96, 8, 3, 64, 1),
    "530B": (128, 20480, 105, 35, 3, 280, 1),
    "1T": (160, 25600, 128, 64, 1, 512, 1),
}
"""Heads, hidden, layers, pp, vpp, global batch, micro-batch of "Reducing Activation Recomputation in Large Transformer
Models" (arXiv:2205.05198), table 3; tp is 8 and the sequence 2,048 throughout."""


def gpt(heads: int, hidden: int, layers: int) -> Architecture:
    """GPT-3's block: multi-head attention, a plain feed-forward block four times as wide."""
    layer = Layer(Attention(heads, heads, hidden // heads), DenseMlp(4 * hidden, gated=False), 2 * hidden)
    return Architecture("gpt", hidden, VOCAB, (layer,) * layers, final_norm_params=hidden)


def paper_job(name: str) -> Job:
    """The paper's framework: dropout, and attention that keeps the score matrix."""
    heads, hidden, layers, pp, _, batch, _ = CONFIGURATIONS[name]
    profile = replace(
        read_framework("megatron-core"),
        dropout=True,
        flash_attention=False,
        norm_saved_bytes=4,
        plain_activation_saved=2,
    )
    levels = (LinkLevel("nvlink", 8, 300e9, 0.6e-6), LinkLevel("infiniband", UNBOUNDED, 25e9, 2.7e-6))
    cluster = Cluster("selene", A100, 8 * pp, 8, levels)
    return Job(gpt(heads, hidden, layers), cluster, Workload(batch, SEQ_LEN), profile, Calibration.spec_sheet())


def kept_bytes(name: str, **axes: int | bool) -> float:
    """Activation bytes of the first pipeline stage."""
    _, _, _, pp, vpp, _, micro_batch = CONFIGURATIONS[name]
    schedule = Schedule.INTERLEAVED if vpp > 1 else Schedule.ONE_F_ONE_B
    plan = samples.plan(tp=8, pp=pp, vpp=vpp, micro_batch=micro_batch, schedule=schedule, **axes)
    return float(price(paper_job(name), plan).memory.activations.max())


def paper_bytes(name: str, per_layer: float) -> float:
    """The paper's first stage: L·(1 + (p-1)/(p·m)) layers of `per_layer` times s·b·h bytes (section 4.2.3)."""
    _, hidden, layers, pp, vpp, _, micro_batch = CONFIGURATIONS[name]
    filling = 1 + (pp - 1) / (pp * vpp) if vpp > 1 else 1.0
    return SEQ_LEN * micro_batch * hidden * layers * per_layer * filling


def scores(name: str) -> float:
    """5·a·s/h of the paper."""
    heads, hidden = CONFIGURATIONS[name][:2]
    return 5 * heads * SEQ_LEN / hidden


SELECTIVE = {"recompute": Recompute.SELECTIVE, "recompute_modules": RecomputeModules.CORE_ATTN}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_activations_are_those_of_table_2(name: str) -> None:
    """Tensor parallelism, with sequence parallelism, with selective and with full recomputation: arXiv:2205.05198."""
    t, core = 8, scores(name)
    layers = CONFIGURATIONS[name][2] // CONFIGURATIONS[name][3]
    everything = {"recompute": Recompute.FULL, "recompute_layers": layers}
    cases = [
        (10 + 24 / t + core / t, kept_bytes(name)),
        (34 / t + core / t, kept_bytes(name, sequence_parallel=True)),
        (10 + 24 / t, kept_bytes(name, **SELECTIVE)),
        (34 / t, kept_bytes(name, sequence_parallel=True, **SELECTIVE)),
        (2.0, kept_bytes(name, **everything)),
    ]
    for per_layer, ours in cases:
        assert ours == pytest.approx(paper_bytes(name, per_layer), rel=0.01)


@pytest.mark.parametrize(("name", "saved"), [("175B", 0.70), ("530B", 0.65)])
def test_recomputing_attention_saves_what_the_paper_says(name: str, saved: float) -> None:
    """Section 5 of arXiv:2205.05198: for GPT-3 and MT-NLG selective recomputation saves 70 % and 65 % of a layer."""
    kept = kept_bytes(name, sequence_parallel=True, **SELECTIVE) / kept_bytes(name, sequence_parallel=True)
    assert 1 - kept == pytest.approx(saved, abs=0.01)


@pytest.mark.parametrize(("precision", "kept", "shared"), [("bf16", 6, 12), ("fp32", 8, 8)])
@pytest.mark.parametrize("dp", [2, 8, 64])
def test_state_bytes_are_those_of_megatrons_distributed_optimizer(
    precision: str, kept: int, shared: int, dp: int
) -> None:
    """Megatron Core developer guide, "Distributed Optimizer": bytes a parameter, whole and over d ranks."""
    job = paper_job("22B")
    cluster = replace(job.cluster, num_devices=dp, devices_per_node=min(dp, 8))
    job = replace(job, cluster=cluster, workload=Workload(64, SEQ_LEN, precision=precision))
    parameters = total_parameters(job.architecture)
    zero1 = samples.plan(dp=dp, sharding=Sharding.ZERO1, shard_group=dp)
    assert state_bytes(job, samples.plan(dp=dp)) / parameters == pytest.approx(kept + shared)
    assert state_bytes(job, zero1) / parameters == pytest.approx(kept + shared / dp)


def state_bytes(job: Job, plan: Candidates) -> float:
    memory = price(job, plan).memory
    return float((memory.parameters + memory.gradients + memory.optimizer).max())


def test_every_parameter_is_on_one_stage() -> None:
    """Six equal inner stages, the first with the embedding, the last with the output layer: the whole model."""
    job = paper_job("175B")
    groups = np.unique(price(job, samples.plan(pp=8, dp=8)).memory.parameters[0]) / 2
    inner, *ends = groups
    assert len(ends) == 2
    assert 6 * inner + sum(ends) == pytest.approx(total_parameters(job.architecture))
