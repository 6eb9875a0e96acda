"""What experts and their gradients really cost: each mechanism alone, on against off."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import samples

from meshwright.cost_models.architecture import MoeMlp
from meshwright.cost_models.candidates import Candidates, Sharding
from meshwright.cost_models.expert_time import permutation
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.price import StepTerm, price
from meshwright.cost_models.shapes import distinct_shapes
from meshwright.cost_models.training_rates import OVERLAP_SLOWDOWN


def under(job: Job, **facts: Any) -> Job:
    return replace(job, framework=replace(job.framework, **facts))


def seconds(job: Job, plan: Candidates, term: StepTerm) -> float:
    return float(price(job, plan).terms[term, 0])


def test_one_kernel_an_expert_fills_waves_worse() -> None:
    """Tiles of all experts share waves in a grouped product; by themselves, small experts leave cores idle."""
    job, plan = samples.job(samples.moe(experts=64, top_k=2)), samples.plan(dp=8, ep=8)
    grouped, each = (seconds(under(job, grouped_matmul=one), plan, StepTerm.MATMUL) for one in (True, False))
    assert each > grouped


def test_one_expert_is_one_kernel_either_way() -> None:
    """With one local expert a grouped product is a plain one."""
    calls = [KernelCalls(under(samples.job(), grouped_matmul=one)) for one in (True, False)]
    sizes = (np.array([512.0]), 1024.0, 2048.0)
    assert calls[0].matmul(*sizes) == calls[1].matmul(*sizes)


def test_eight_bit_experts_are_quantised() -> None:
    """Inputs of experts' products are cast like those of dense ones: more memory-bound time than at 16 bits."""
    job, plan = samples.job(samples.moe(experts=8, top_k=2)), samples.plan(dp=8, ep=8)
    device = replace(job.cluster.accelerator, peak_flops={**job.cluster.accelerator.peak_flops, "fp8": 2e15})
    low = replace(
        job, workload=replace(job.workload, precision="fp8"), cluster=replace(job.cluster, accelerator=device)
    )
    assert seconds(low, plan, StepTerm.ELEMENTWISE) > 1.1 * seconds(job, plan, StepTerm.ELEMENTWISE)


def reordering_s(job: Job, plan: Candidates) -> float:
    shapes, _ = distinct_shapes(job, plan)
    experts = job.architecture.layers[0].mlp
    assert isinstance(experts, MoeMlp)
    return float(permutation(KernelCalls(job), shapes, experts)[0][0])


def test_copies_are_sorted_again_only_where_a_device_holds_several_experts() -> None:
    """One expert a device: what arrives is its own. Several: sorted twice more, before and after them."""
    one, several = (samples.job(samples.moe(experts=experts, top_k=2)) for experts in (8, 16))
    plan = samples.plan(dp=8, ep=8)
    assert reordering_s(several, plan) > 1.5 * reordering_s(one, plan)
    assert reordering_s(under(several, expert_copies_once=True), plan) < reordering_s(several, plan)


def test_exchange_beside_compute_costs_what_it_slows() -> None:
    """All of the all-to-all hidden leaves the compute that it takes from the kernels beside it."""
    job, plan = samples.job(samples.moe(experts=8, top_k=2)), samples.plan(dp=8, ep=8)
    alone, hidden = (seconds(under(job, overlap_expert=share), plan, StepTerm.EXPERT_COMM) for share in (0.0, 1.0))
    assert hidden == pytest.approx(OVERLAP_SLOWDOWN * alone)


@pytest.mark.parametrize("tensors", [0, 9])
def test_broadcasts_go_round_the_ring_once_each(tensors: int) -> None:
    """Whole tensors dealt out to 512 ranks: as many bytes as one gather, but the ring's latency for each tensor."""
    job = under(
        samples.job(devices=512, global_batch=512), broadcast_tensors_per_layer=tensors, overlap_parameter_gather=False
    )
    plan = samples.plan(dp=512, sharding=Sharding.ZERO1, shard_group=512)
    gathered = seconds(under(job, broadcast_tensors_per_layer=0), plan, StepTerm.DATA_COMM)
    waits = seconds(job, plan, StepTerm.DATA_COMM)
    assert waits > 2 * gathered if tensors else waits == gathered


def test_gradients_reduced_to_every_rank_move_twice() -> None:
    """An all-reduce is a reduce-scatter and a gather: about twice the time of the share that a rank needs."""
    alone = {"overlap_gradient_reduce": False, "overlap_parameter_gather": False, "gradient_reduce_bytes": 4}
    job, plan = under(samples.job(), **alone), samples.plan(dp=8, sharding=Sharding.ZERO1, shard_group=8)
    share, whole = (seconds(under(job, reduces_whole_gradients=all_of), plan, StepTerm.DATA_COMM)
                    for all_of in (False, True))  # fmt: skip
    assert share < whole < 2 * share


def test_kept_gathers_are_not_repeated() -> None:
    """DTensor keeps the gathered input for the weight gradient; Megatron gathers it again: four passes, not five."""
    job = under(samples.job(), overlap_tensor_backward=False)
    plan = samples.plan(dp=4, tp=2, sequence_parallel=True)
    again, kept = (
        seconds(under(job, keeps_gathered_sequence=keeps), plan, StepTerm.TENSOR_COMM) for keeps in (False, True)
    )
    assert kept == pytest.approx(0.8 * again, rel=0.02)


def test_zero2_that_accumulates_reduces_once() -> None:
    """Gradients summed up over micro-batches are exchanged as often as under ZeRO-1."""
    job = under(samples.job(), overlap_gradient_reduce=False, overlap_parameter_gather=False)
    two, one = (samples.plan(dp=8, sharding=level, shard_group=8) for level in (Sharding.ZERO2, Sharding.ZERO1))
    summed = under(job, fsdp_reduce_each_micro_batch=False)
    assert seconds(summed, two, StepTerm.DATA_COMM) == pytest.approx(seconds(job, one, StepTerm.DATA_COMM))
    assert seconds(job, two, StepTerm.DATA_COMM) > 4 * seconds(summed, two, StepTerm.DATA_COMM)


def test_fused_experts_cast_and_wait_less_at_mxfp8_alone() -> None:
    """One kernel for products, activation and casts, its exchange beside compute: nothing changes at 16 bits."""
    job, plan = samples.job(samples.moe(experts=16, top_k=2)), samples.plan(dp=8, ep=8)
    device = replace(job.cluster.accelerator, peak_flops={**job.cluster.accelerator.peak_flops, "mxfp8": 2e15})
    low = replace(
        job, workload=replace(job.workload, precision="mxfp8"), cluster=replace(job.cluster, accelerator=device)
    )
    for term in (StepTerm.MATMUL, StepTerm.ELEMENTWISE, StepTerm.EXPERT_COMM):
        apart, fused = (seconds(under(low, fuses_mxfp8_experts=on), plan, term) for on in (False, True))
        assert fused <= apart
        assert seconds(under(job, fuses_mxfp8_experts=True), plan, term) == seconds(job, plan, term)
    assert fused == pytest.approx(OVERLAP_SLOWDOWN * apart)


def test_gradient_buffers_are_handled_whole_once_a_step() -> None:
    """Zeroing and checking take all gradients of a device, however their states are sharded, and any micro-batches."""
    plan, sharded = (samples.plan(dp=8, sharding=level, shard_group=8) for level in (Sharding.NONE, Sharding.ZERO1))
    extra = [
        seconds(under(job, gradient_buffer_bytes=16), one, StepTerm.OPTIMIZER) - seconds(job, one, StepTerm.OPTIMIZER)
        for job, one in (
            (samples.job(), plan), (samples.job(), sharded), (samples.job(global_batch=512), sharded),
        )
    ]  # fmt: skip
    assert extra[0] > 0
    assert extra == pytest.approx([extra[0]] * 3)


def test_divided_experts_sort_what_their_ranks_gather() -> None:
    """Two ranks that divide the experts' tensors hold each other's copies, too: the second sorting doubles."""
    job = samples.job(samples.moe(experts=16, top_k=2))
    whole, divided = (reordering_s(job, samples.plan(dp=4, tp=2, ep=4, etp=etp)) for etp in (1, 2))
    assert 1.3 * whole < divided < 2 * whole


def test_gathered_tokens_move_once_and_are_sorted_by_many_operators() -> None:
    """An all-gather dispatcher sends no token twice, but its operators pass over the copies again and again."""
    job, plan = samples.job(samples.moe(experts=8, top_k=4)), samples.plan(dp=1, tp=8, etp=8)
    gathers = under(job, gathers_tokens=True)
    sent, gathered = (seconds(one, plan, StepTerm.EXPERT_COMM) for one in (job, gathers))
    assert gathered < 0.8 * sent
    assert reordering_s(gathers, plan) > 2 * reordering_s(job, plan)
