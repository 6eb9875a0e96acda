"""Where a step's seconds go: each kind of parallelism pays for its own communication, and for nothing else."""

import numpy as np
import pytest
import samples

from meshwright.cost_models.candidates import Candidates, Recompute, RecomputeModules, Schedule, Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import StepTerm, price
from meshwright.cost_models.spending import cost_usd, energy_j

WAITING = (
    StepTerm.TENSOR_COMM,
    StepTerm.CONTEXT_COMM,
    StepTerm.EXPERT_COMM,
    StepTerm.PIPELINE_COMM,
    StepTerm.BUBBLE,
    StepTerm.DATA_COMM,
)
PLANS = {
    "nothing": (1, samples.plan(), set()),
    "tp": (2, samples.plan(tp=2, etp=1), {StepTerm.TENSOR_COMM}),
    "cp": (2, samples.plan(cp=2), {StepTerm.CONTEXT_COMM, StepTerm.DATA_COMM}),
    "ep": (2, samples.plan(dp=2, ep=2), {StepTerm.EXPERT_COMM, StepTerm.DATA_COMM}),
    "pp": (2, samples.plan(pp=2), {StepTerm.PIPELINE_COMM, StepTerm.BUBBLE}),
    "dp": (2, samples.plan(dp=2), {StepTerm.DATA_COMM}),
    "zero3": (2, samples.plan(dp=2, sharding=Sharding.ZERO3, shard_group=2), {StepTerm.DATA_COMM}),
}


def seconds(job: Job, plan: Candidates, term: StepTerm) -> float:
    return float(price(job, plan).terms[term, 0])


@pytest.mark.parametrize("name", PLANS)
def test_only_what_is_parallel_waits(name: str) -> None:
    """A plan waits for the axes that it uses; a single device waits for nobody."""
    devices, plan, waits = PLANS[name]
    terms = price(samples.job(samples.moe(), devices=devices), plan).terms[:, 0]
    assert {term for term in WAITING if terms[term] > 0} == waits


def test_sequence_parallelism_divides_norms_not_products() -> None:
    """Norms and residuals run on 1/tp of the tokens; matrix products are the same (arXiv:2205.05198, section 4.2.2)."""
    job = samples.job(devices=8)
    without, with_it = (samples.plan(tp=8, sequence_parallel=on) for on in (False, True))
    assert seconds(job, with_it, StepTerm.MATMUL) == seconds(job, without, StepTerm.MATMUL)
    assert seconds(job, with_it, StepTerm.ELEMENTWISE) < 0.8 * seconds(job, without, StepTerm.ELEMENTWISE)


def test_full_recomputation_repeats_the_forward_pass() -> None:
    """One forward pass more where backward takes two: between a fifth and a half of the compute on top."""
    job = samples.job(devices=1)
    plan = samples.plan(recompute=Recompute.FULL, recompute_layers=8)
    compute = price(job, samples.plan()).terms[: StepTerm.RECOMPUTE, 0].sum()
    assert 0.2 < seconds(job, plan, StepTerm.RECOMPUTE) / compute < 0.5


def test_half_the_layers_take_half_the_recomputation() -> None:
    """k of n layers cost k/n of all."""
    job = samples.job(devices=1)
    half, all_ = (
        seconds(job, samples.plan(recompute=Recompute.FULL, recompute_layers=k), StepTerm.RECOMPUTE) for k in (4, 8)
    )
    assert half == pytest.approx(all_ / 2)


def test_recomputing_a_norm_costs_little() -> None:
    """Selective recomputation of what is cheap to repeat costs a few percent (arXiv:2205.05198, section 5)."""
    job = samples.job(devices=1)
    modules = RecomputeModules.LAYERNORM | RecomputeModules.MLP_ACT
    plan = samples.plan(recompute=Recompute.SELECTIVE, recompute_modules=modules)
    assert 0 < seconds(job, plan, StepTerm.RECOMPUTE) < 0.05 * price(job, plan).step_time_s[0]


def test_gpipe_and_1f1b_take_the_same_time() -> None:
    """They differ in what they hold, not in when stages idle (arXiv:2104.04473, section 2.2.1)."""
    job = samples.job(devices=4)
    gpipe, flush = (price(job, samples.plan(pp=4, schedule=s)) for s in (Schedule.GPIPE, Schedule.ONE_F_ONE_B))
    assert gpipe.step_time_s[0] == pytest.approx(flush.step_time_s[0])
    assert gpipe.peak_memory_bytes[0] > flush.peak_memory_bytes[0]


def test_sharded_optimizer_steps_take_less_time() -> None:
    """Each rank updates its own share of the parameters (arXiv:1910.02054)."""
    job = samples.job(devices=8)
    whole = seconds(job, samples.plan(dp=8), StepTerm.OPTIMIZER)
    shared = seconds(job, samples.plan(dp=8, sharding=Sharding.ZERO1, shard_group=8), StepTerm.OPTIMIZER)
    assert shared < whole / 4


def test_a_busier_expert_rank_sets_the_pace() -> None:
    """With twice the mean of tokens on the busiest rank, experts and their exchange take about twice as long."""
    plan = samples.plan(dp=8, ep=8)
    even, uneven = (samples.job(samples.moe(), moe_imbalance=f) for f in (1.0, 2.0))
    assert seconds(uneven, plan, StepTerm.EXPERT_COMM) > 1.5 * seconds(even, plan, StepTerm.EXPERT_COMM)
    assert price(uneven, plan).peak_memory_bytes[0] > price(even, plan).peak_memory_bytes[0]


def test_money_and_energy_follow_from_time() -> None:
    """Price and power of all devices, and of the nodes around them, over the seconds of the step."""
    cluster, hour = samples.cluster(16), np.array([3600.0])
    assert cost_usd(cluster, hour) == pytest.approx(16 * 2.0)
    assert energy_j(cluster, hour) == pytest.approx(3600 * (16 * 700.0 + 2 * 1000.0))
