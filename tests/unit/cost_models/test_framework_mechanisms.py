"""What frameworks really do shows in a step's time: each mechanism alone, on against off."""

from dataclasses import replace

import numpy as np
import pytest
import samples

from meshwright.cost_models.candidates import Recompute, Sharding
from meshwright.cost_models.expert_time import domains_reached
from meshwright.cost_models.framework import SendStall
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.price import Costs, StepTerm, price


def with_profile(job: Job, **changes: object) -> Job:
    return replace(job, framework=replace(job.framework, **changes))


def on_kind(job: Job, kind: str) -> Job:
    return replace(job, cluster=replace(job.cluster, accelerator=replace(job.cluster.accelerator, kind=kind)))


def term(costs: Costs, name: StepTerm) -> float:
    return float(costs.terms[name][0])


@pytest.mark.parametrize(("kind", "slower"), [("nvidia-hopper", 648 / 370), ("nvidia-ampere", 1.0)])
def test_portable_attention_is_slower_on_hopper_alone(kind, slower):
    """FlashAttention-3, fig. 5: FlashAttention-2 reaches 370 of 648 TFLOP/s on an H100."""
    job, plan = on_kind(samples.job(), kind), samples.plan(dp=8)
    native, portable = (price(with_profile(job, native_attention=own), plan) for own in (True, False))
    assert term(portable, StepTerm.ATTENTION) == pytest.approx(slower * term(native, StepTerm.ATTENTION))


def test_recomputation_that_stops_early_leaves_out_the_last_product():
    """Of a layer's forward pass, all but the down projection runs again."""
    job = samples.job()
    plan = samples.plan(dp=8, recompute=int(Recompute.FULL), recompute_layers=8)
    whole, early = (price(with_profile(job, recompute_stops_early=stops), plan) for stops in (False, True))
    down = KernelCalls(job).linear(np.array([2048.0]), 8192.0, 2048.0).forward[0]
    spared = term(whole, StepTerm.RECOMPUTE) - term(early, StepTerm.RECOMPUTE)
    assert spared == pytest.approx(8 * 8 * down)  # layers, micro-batches


def test_a_gather_more_for_recomputation():
    """ZeRO-Infinity, §4.1: parameters load for the forward pass, for recomputation and for the backward pass."""
    job = with_profile(samples.job(devices=16), overlap_fsdp=False)
    plan = samples.plan(
        dp=16, sharding=int(Sharding.ZERO3), shard_group=16, recompute=int(Recompute.FULL), recompute_layers=8
    )
    twice, thrice = (
        term(price(with_profile(job, recompute_gathers=again, fsdp_reduce_each_micro_batch=False), plan),
             StepTerm.DATA_COMM)
        for again in (False, True)
    )  # fmt: skip
    plain = term(
        price(with_profile(job, recompute_gathers=True), samples.plan(dp=16, sharding=3, shard_group=16)),
        StepTerm.DATA_COMM,
    )
    assert thrice > twice
    assert thrice < 1.5 * twice
    assert plain > 0


def test_tokens_cross_to_a_node_once():
    """Of 8 copies to 8 experts on 2 nodes, 2 · (1 - (1/2)^8) leave: a quarter of the all-to-all, nearly."""
    job = samples.job(samples.moe(experts=16, top_k=8), devices=16)
    plan = samples.plan(dp=16, ep=16)
    every, once = (
        term(price(with_profile(job, expert_copies_once=copies), plan), StepTerm.EXPERT_COMM)
        for copies in (False, True)
    )
    assert 0.2 < once / every < 0.5


def test_collectives_stall_only_between_nodes():
    """Stages on one node, or none, aren't held up; the stall grows with tp and is the host's."""
    job = with_profile(samples.job(devices=16), collective_stall_s=1e-3)
    apart = [price(job, samples.plan(dp=8 // tp, tp=tp, pp=2)) for tp in (2, 4)]
    assert 0 < term(apart[0], StepTerm.HOST) < term(apart[1], StepTerm.HOST)
    near = with_profile(samples.job(devices=8), collective_stall_s=1e-3)
    alike = with_profile(near, collective_stall_s=0.0)
    plan = samples.plan(dp=2, tp=2, pp=2)
    assert term(price(near, plan), StepTerm.HOST) == term(price(alike, plan), StepTerm.HOST)
    without = samples.plan(dp=8, tp=2)
    assert term(price(job, without), StepTerm.HOST) == term(
        price(with_profile(job, collective_stall_s=0.0), without), StepTerm.HOST
    )


def test_rings_are_held_up_at_every_node():
    """A tensor-parallel group of two nodes is held up on the device, one inside a node isn't."""
    job = with_profile(samples.job(devices=16), collective_stall_s=1e-3)
    alike = with_profile(job, collective_stall_s=0.0)
    inside, across = samples.plan(dp=2, tp=8), samples.plan(tp=16)
    assert price(job, inside).step_time_s[0] == price(alike, inside).step_time_s[0]
    assert term(price(job, across), StepTerm.TENSOR_COMM) > term(price(alike, across), StepTerm.TENSOR_COMM)


@pytest.mark.parametrize(("stall", "is_held_up"), [((16, 64), True), ((32, 2), True), ((32, 4), False)])
def test_sends_are_held_up_in_large_jobs_or_wide_groups(stall: tuple[int, int], is_held_up: bool):
    """So many devices suffice, and so wide a tensor-parallel group; without either, messages take their link's time."""
    job = samples.job(devices=16)
    held_up = with_profile(job, send_stall=SendStall(0.1, *stall))
    plan = samples.plan(dp=4, tp=2, pp=2)
    waited_s = term(price(held_up, plan), StepTerm.PIPELINE_COMM) - term(price(job, plan), StepTerm.PIPELINE_COMM)
    assert (waited_s > 0.1) == is_held_up


def test_a_stage_in_the_middle_waits_for_both_neighbours():
    """Its messages are held up twice as long as those of two stages."""
    job = samples.job(devices=16)
    held_up = with_profile(job, send_stall=SendStall(1.0, 1, 1))
    two, four = (samples.plan(dp=16 // stages, pp=stages) for stages in (2, 4))
    waits = [
        term(price(held_up, plan), StepTerm.PIPELINE_COMM) - term(price(job, plan), StepTerm.PIPELINE_COMM)
        for plan in (two, four)
    ]
    assert waits[1] > 2 * waits[0] > 0


def test_adapters_cost_passes_over_what_their_layers_read_and_write():
    """Adapters beside all linear layers cost more than beside queries, keys and values alone, and neither is free."""
    job, plan = samples.job(task="lora"), samples.plan(dp=8)
    some, all_ = (
        term(price(with_profile(job, adapts_all_linears=everywhere), plan), StepTerm.MATMUL)
        for everywhere in (False, True)
    )
    assert all_ > some


def test_quantised_weights_are_written_out_for_every_product():
    """Forward and backward, whatever the tokens: 2 bytes written and 9/16 read for every weight of a layer."""
    plan = samples.plan(dp=8)
    times = {
        (task, tokens): term(price(samples.job(task=task, seq_len=tokens, global_batch=8), plan), StepTerm.MATMUL)
        for task in ("lora", "qlora")
        for tokens in (1024, 2048)
    }
    short, long = (times["qlora", tokens] - times["lora", tokens] for tokens in (1024, 2048))
    weights = 8 * (2048 * 2048 * 3 + 3 * 2048 * 8192)  # eight layers: queries, keys, values, output; gate, up, down
    assert short == pytest.approx(long)
    launches = 2 * 8 * 4  # both passes of a layer's four products
    assert short == pytest.approx(2 * weights * 2.5625 / (3e12 * 0.83) + launches * 3e-6, rel=0.01)


def test_hidden_tensor_exchange_slows_the_products_beside_it():
    """More overlap is never slower, and not free."""
    job, plan = samples.job(), samples.plan(tp=8, sequence_parallel=True)
    exposed, half, hidden = (
        term(price(with_profile(job, overlap_tensor_forward=share), plan), StepTerm.TENSOR_COMM)
        for share in (0.0, 0.5, 1.0)
    )
    assert exposed > half > hidden > 0


def test_remembered_shapes_know_where_stages_lie():
    """A job that has just priced a plan without stages prices one with stages as a fresh job does."""
    job = with_profile(samples.job(devices=16), collective_stall_s=1e-3)
    without, apart = samples.plan(dp=8, tp=2), samples.plan(dp=4, tp=2, pp=2)
    price(job, without)
    fresh = with_profile(samples.job(devices=16), collective_stall_s=1e-3)
    assert price(job, apart).step_time_s[0] == price(fresh, apart).step_time_s[0]


def test_slicing_costs_the_host_for_every_rank_and_layer():
    """8 ranks and 8 layers; without sharding nothing is sliced."""
    job = samples.job()
    sliced = with_profile(job, shard_slice_s=1e-3)
    zero1, none = samples.plan(dp=8, sharding=int(Sharding.ZERO1), shard_group=8), samples.plan(dp=8)
    longer = price(sliced, zero1).step_time_s[0] - price(job, zero1).step_time_s[0]
    assert longer == pytest.approx(8 * 8 * 1e-3)
    assert price(sliced, none).step_time_s[0] == price(job, none).step_time_s[0]


def test_collectives_on_the_compute_stream_overlap_nothing():
    """OneFlow: gradients reduce beside the backward pass without model parallelism, but not with it."""
    job = samples.job()
    in_line = with_profile(job, overlap_beside_model_parallel=False)
    alone, beside_tensors = samples.plan(dp=8), samples.plan(dp=4, tp=2)
    assert term(price(in_line, alone), StepTerm.DATA_COMM) == term(price(job, alone), StepTerm.DATA_COMM)
    assert term(price(in_line, beside_tensors), StepTerm.DATA_COMM) > term(
        price(job, beside_tensors), StepTerm.DATA_COMM
    )


def test_fp16_gradients_move_as_they_are_kept():
    """Megatron-LM keeps fp16 gradients in 16 bits by default: half the bytes to reduce, 6 of 10 to add up."""
    states = replace(samples.job().framework.states, gradient=4, gradient_fp16=2)
    profile = replace(samples.job().framework, states=states, gradient_reduce_bytes=4, gradient_accumulate_bytes=10)
    assert (profile.reduce_bytes_at("bf16"), profile.accumulate_bytes_at("bf16")) == (4, 10)
    assert (profile.reduce_bytes_at("fp16"), profile.accumulate_bytes_at("fp16")) == (2, 6)


def test_unfused_products_reduce_their_input_gradients_apart():
    """Forward two all-reduces; backward two, or with three readers in attention and two before SwiGLU five."""
    job, plan = with_profile(samples.job(), overlap_tensor_backward=False), samples.plan(dp=4, tp=2)
    fused, apart = (
        term(price(with_profile(job, separate_input_gradients=alone), plan), StepTerm.TENSOR_COMM)
        for alone in (False, True)
    )
    assert 1.5 < apart / fused < 7 / 4  # embedding and output layer have one each in both


def test_eager_norms_move_more_bytes():
    """What norms move beside one fused kernel shows, and nothing else does."""
    job, plan = with_profile(samples.job(), elementwise_traffic=1.0), samples.plan(dp=8)
    times = [term(price(with_profile(job, norm_traffic=n), plan), StepTerm.ELEMENTWISE) for n in (None, 1.0, 2.0, 3.0)]
    assert times[0] == pytest.approx(times[1])
    assert times[3] - times[2] == pytest.approx(times[2] - times[1], rel=0.05)


def test_collectives_take_the_host_time():
    """Launching two collectives of four kernels each: eight kernels more a layer, and only with tensor parallelism."""
    job = with_profile(samples.job(), kernels_per_layer=1000, host_launch_s=1e-3, kernels_per_collective=0)
    counted = with_profile(job, kernels_per_collective=4)
    alone, parallel = samples.plan(dp=8), samples.plan(dp=4, tp=2)
    assert term(price(counted, alone), StepTerm.HOST) == term(price(job, alone), StepTerm.HOST)
    host_s = [term(price(one, parallel), StepTerm.HOST) for one in (job, counted)]
    layers, micro_batches, passes = 8, 16, 2.5  # forward, and backward with half as many again
    launch_s = 1e-3 * job.calibration.training.host_launch_ratio
    assert host_s[1] - host_s[0] == pytest.approx(layers * micro_batches * passes * 8 * launch_s)


@pytest.mark.parametrize(
    ("domains", "groups", "chosen", "reached"),
    [(8.0, 1, 1, 8 * (1 - (7 / 8) ** 8)), (8.0, 8, 4, 4.0), (64.0, 8, 4, 4 * 8 * (1 - (7 / 8) ** 2)), (1.0, 8, 4, 1.0)],
)
def test_a_token_reaches_no_more_domains_than_its_groups_of_experts(
    domains: float, groups: int, chosen: int, reached: float
):
    """DeepSeek-V3 draws 8 experts from 4 of 8 groups: from 8 nodes it reaches 4, instead of 5.3."""
    block = replace(samples.moe(experts=256, top_k=8).layers[0].mlp, num_groups=groups, top_k_groups=chosen)
    assert domains_reached(np.array([domains]), block)[0] == pytest.approx(reached)


def test_experts_in_order_are_neighbours():
    """A benchmark's gate that deals experts out in order sends a token to one node, where drawn ones go to both."""
    job = with_profile(samples.job(samples.moe(experts=16, top_k=8), devices=16), expert_copies_once=True)
    plan = samples.plan(dp=16, ep=16)
    drawn, dealt = (
        term(price(replace(job, workload=replace(job.workload, routing=routing)), plan), StepTerm.EXPERT_COMM)
        for routing in ("even", "consecutive")
    )
    assert dealt < 0.6 * drawn


def test_hooks_of_zero_3_keep_small_layers_waiting_for_the_host():
    """On a device by itself, too; other shardings have no hooks."""
    job = samples.job(devices=1, global_batch=8, seq_len=128)
    hooked = with_profile(job, shard_hooks_s=1e-2)
    fully, zero1 = (samples.plan(sharding=int(way)) for way in (Sharding.ZERO3, Sharding.ZERO1))
    assert price(hooked, fully).step_time_s[0] > price(job, fully).step_time_s[0] + 8 * 8 * 1e-2
    assert price(hooked, zero1).step_time_s[0] == price(job, zero1).step_time_s[0]


def test_adding_up_gradients_moves_its_own_bytes():
    """The addition is one kernel, whatever else isn't fused."""
    job, plan = with_profile(samples.job(), gradient_accumulate_bytes=10), samples.plan(dp=8)
    fused, eager = (price(with_profile(job, elementwise_traffic=times), plan) for times in (1.0, 3.0))
    assert term(fused, StepTerm.GRADIENT_ACCUMULATION) == term(eager, StepTerm.GRADIENT_ACCUMULATION) > 0
