"""Mechanisms of Megatron and DeepSpeed in 2021 and 2022: what is sent, gathered, accumulated and launched how."""

from dataclasses import replace

import numpy as np
import pytest
import samples

from meshwright.cost_models.candidates import Candidates, Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.parameter_bytes import StateBytes
from meshwright.cost_models.pipeline import message_s
from meshwright.cost_models.price import StepTerm, price


def with_profile(job: Job, **changes: object) -> Job:
    return replace(job, framework=replace(job.framework, **changes))


def term(job: Job, plan: Candidates, name: StepTerm) -> float:
    return float(price(job, plan).terms[name][0])


def message(plan: Candidates, *, scattered: bool) -> float:
    job = with_profile(samples.job(devices=64), scattered_sends=scattered)
    return float(message_s(KernelCalls(job), plan, np.array([64e6]))[0])


def test_scattered_sends_take_the_slow_links_for_a_share_and_the_fast_ones_for_the_rest():
    """arXiv:2104.04473, section 4.1: each of t ranks sends 1/t of the activations, the receivers gather them."""
    whole, scattered = (message(samples.plan(dp=4, tp=8, pp=2), scattered=one) for one in (False, True))
    job = samples.job(devices=64)
    gather = KernelCalls(job).all_gather(np.array([64e6]), np.array([8]), np.array([1]))[0]
    assert gather < scattered < 0.5 * whole


@pytest.mark.parametrize("plan", [{"dp": 32, "pp": 2}, {"dp": 4, "tp": 8, "pp": 2, "sequence_parallel": True}])
def test_what_no_other_rank_holds_is_sent_whole(plan):
    """Without tensor parallelism, or with a divided sequence, there is nothing to scatter."""
    row = samples.plan(**plan)
    assert message(row, scattered=True) == message(row, scattered=False)


def test_pieces_cost_the_host_a_time_for_each_rank_and_layer():
    """Twice as long a slice, and twice as many ranks, cost what they say: slices x ranks x layers x micro-batches."""
    for ranks in (16, 32):
        job = samples.job(devices=ranks)
        plan = samples.plan(dp=ranks, sharding=int(Sharding.ZERO3), shard_group=ranks)
        cut = term(with_profile(job, shard_slice_s=1e-3), plan, StepTerm.DATA_COMM)
        rounds = float(price(job, plan).num_micro_batches[0])
        layers = job.architecture.num_layers
        assert cut - term(job, plan, StepTerm.DATA_COMM) == pytest.approx(1e-3 * ranks * layers * rounds)


def test_copies_of_what_is_exchanged_grow_with_their_traffic():
    """Nothing is copied on one buffer; twice the traffic takes twice as long, but for the launches."""
    job = samples.job(devices=16)
    plan = samples.plan(dp=16, sharding=int(Sharding.ZERO3), shard_group=16)
    none, one, two = (
        term(with_profile(job, exchange_traffic=traffic), plan, StepTerm.DATA_COMM) for traffic in (0.0, 10.0, 20.0)
    )
    assert two - none == pytest.approx(2 * (one - none), rel=0.01)


@pytest.mark.parametrize(("precision", "read_and_written"), [("bf16", 10.0), ("fp16", 6.0), ("fp32", 10.0)])
def test_gradients_accumulate_in_buffers_of_their_own_width(precision, read_and_written):
    """bf16: a 16-bit gradient onto an fp32 buffer, 2 + 4 + 4 bytes; fp16: onto a 16-bit one, 2 + 2 + 2."""
    profile = samples.job().framework
    states = StateBytes(parameter=2, gradient=4, optimizer=12, gradient_fp16=2)
    kept = replace(profile, states=states, gradient_accumulate_bytes=10.0)
    assert kept.accumulate_bytes_at(precision) == read_and_written
    assert replace(kept, gradient_accumulate_bytes=0.0).accumulate_bytes_at(precision) == 0.0


def test_a_host_that_waits_for_every_kernel_adds_its_launches_to_the_step():
    """CUDA_LAUNCH_BLOCKING=1: of 35 kernels a layer, forward and half as many again backward, none is hidden."""
    job = with_profile(samples.job(), host_launch_s=1e-5, kernels_per_layer=35.0)
    plan = samples.plan(dp=8)
    hidden, waited = (term(with_profile(job, blocking_launches=one), plan, StepTerm.HOST) for one in (False, True))
    rounds = float(price(job, plan).num_micro_batches[0])
    assert hidden == 0.0
    assert waited == pytest.approx(2.5 * 35 * 1e-5 * job.architecture.num_layers * rounds)
