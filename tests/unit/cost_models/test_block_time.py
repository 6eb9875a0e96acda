"""How the time of a layer follows its shape, its precision and the way it is divided."""

from dataclasses import replace
from typing import Any

import pytest
import samples

from meshwright.cost_models.architecture import Architecture, LatentAttention, Layer, StateSpace
from meshwright.cost_models.candidates import Candidates
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import StepTerm, price
from meshwright.planner.frameworks import read_framework

WIDE = samples.dense(layers=4, hidden=8192, heads=64, kv_heads=8, vocab=1024)


def seconds(job: Job, term: StepTerm, plan: Candidates | None = None) -> float:
    return float(price(job, plan or samples.plan()).terms[term, 0])


def one(architecture: Architecture = WIDE, **more: Any) -> Job:
    """One device, eight sequences."""
    return samples.job(architecture, **({"devices": 1, "global_batch": 8, "seq_len": 4096} | more))


def under(job: Job, **facts: Any) -> Job:
    return replace(job, framework=replace(read_framework("generic"), **facts))


def test_products_take_time_by_the_token() -> None:
    """Twice the sequence, twice the matrix products."""
    short, long = (seconds(one(seq_len=seq), StepTerm.MATMUL) for seq in (4096, 8192))
    assert long == pytest.approx(2 * short, rel=0.05)


def test_attention_takes_time_by_the_square_of_the_sequence() -> None:
    """Four times the scores of a sequence twice as long; with a window only twice."""
    full = [seconds(one(seq_len=seq), StepTerm.ATTENTION) for seq in (16384, 32768)]
    assert full[1] == pytest.approx(4 * full[0], rel=0.1)
    windowed = samples.dense(layers=4, hidden=8192, heads=64, window=2048, vocab=1024)
    near = [seconds(one(windowed, seq_len=seq), StepTerm.ATTENTION) for seq in (16384, 32768)]
    assert near[1] == pytest.approx(2 * near[0], rel=0.1)
    assert near[1] < full[1] / 3


def test_tensor_and_context_parallelism_divide_the_work() -> None:
    """Two ranks do half of each micro-batch's products and attention each."""
    alone, parallel = one(seq_len=16384), samples.job(WIDE, devices=2, global_batch=8, seq_len=16384)
    for plan in (samples.plan(tp=2), samples.plan(cp=2)):
        for term in (StepTerm.MATMUL, StepTerm.ATTENTION):
            assert seconds(parallel, term, plan) == pytest.approx(seconds(alone, term) / 2, rel=0.1)


def test_sequence_parallelism_gathers_once_more() -> None:
    """All-gather and reduce-scatter move what an all-reduce does, and the backward pass gathers the input again:
    five half all-reduces instead of four (arXiv:2205.05198, section 4.2.2)."""
    job = under(
        samples.job(WIDE, devices=8, global_batch=8, seq_len=8192),
        overlap_tensor_backward=False,
        overlap_tensor_forward=0.0,
    )
    whole, divided = (
        seconds(job, StepTerm.TENSOR_COMM, samples.plan(tp=8, sequence_parallel=on)) for on in (False, True)
    )
    assert divided == pytest.approx(whole * 5 / 4, rel=0.1)


def test_overlap_hides_tensor_parallel_communication() -> None:
    job = samples.job(WIDE, devices=8, global_batch=8, seq_len=8192)
    plan = samples.plan(tp=8, sequence_parallel=True)
    waits = [
        seconds(under(job, overlap_tensor_backward=back, overlap_tensor_forward=front), StepTerm.TENSOR_COMM, plan)
        for back, front in ((False, 0.0), (True, 0.0), (True, 0.5))
    ]
    assert waits[0] > waits[1] > waits[2] > 0


def test_eight_bits_take_half_the_time_for_products_and_more_for_casts() -> None:
    """Twice the peak, and every input is quantised first; the output layer stays in 16 bits."""
    job = one()
    device = replace(job.cluster.accelerator, peak_flops=dict(job.cluster.accelerator.peak_flops) | {"fp8": 2e15})
    job = replace(job, cluster=replace(job.cluster, accelerator=device))
    low = replace(job, workload=replace(job.workload, precision="fp8"))
    assert seconds(low, StepTerm.MATMUL) == pytest.approx(seconds(job, StepTerm.MATMUL) / 2, rel=0.15)
    assert seconds(low, StepTerm.ELEMENTWISE) > seconds(job, StepTerm.ELEMENTWISE)


def test_a_frozen_base_has_no_weight_gradients() -> None:
    """Two products instead of three for each weight (arXiv:2106.09685)."""
    full, lora = (seconds(one(task=task), StepTerm.MATMUL) for task in ("sft", "lora"))
    assert lora == pytest.approx(full * 2 / 3, rel=0.1)


def test_small_kernels_wait_for_the_host() -> None:
    """A narrow model on short sequences runs no faster than its kernels are launched; a wide one doesn't notice."""
    narrow = samples.dense(layers=4, hidden=256, heads=4, kv_heads=4)
    assert seconds(one(narrow, seq_len=128), StepTerm.HOST) > 0
    assert seconds(one(), StepTerm.HOST) == 0
    captured = under(one(narrow, seq_len=128), host_launch_s=0.0)
    assert seconds(captured, StepTerm.HOST) == 0


def test_unfused_attention_passes_over_the_scores() -> None:
    """Without a fused kernel the score matrix goes through memory (arXiv:2205.14135)."""
    fused, unfused = (seconds(under(one(), flash_attention=on), StepTerm.ATTENTION) for on in (True, False))
    assert unfused > 1.5 * fused


def test_experts_take_the_time_of_the_tokens_that_visit_them() -> None:
    """Four experts a token do about twice the products of two; sixteen experts that two visit do no more than eight."""
    two, four = (seconds(one(samples.moe(top_k=k)), StepTerm.MATMUL) for k in (2, 4))
    assert 1.5 < four / two < 2
    wider = seconds(one(samples.moe(experts=16)), StepTerm.MATMUL)
    assert wider == pytest.approx(two, rel=0.2)


@pytest.mark.parametrize(
    "mixer",
    [
        LatentAttention(64, 1536, 512, 128, 64, 128),
        LatentAttention(64, None, 512, 128, 64, 128),
        StateSpace(num_heads=128, head_dim=64, state_size=128, num_groups=8, conv_kernel=4),
    ],
)
def test_every_mixer_divides_over_tensor_parallel_ranks(mixer: LatentAttention | StateSpace) -> None:
    """Latent attention and state space: eight ranks take less time and hold fewer activations than one each."""
    layer = Layer(mixer, WIDE.layers[0].mlp, norm_params=2 * 8192)
    model = Architecture("mixer", 8192, 1024, (layer,) * 4, final_norm_params=8192)
    alone = price(one(model), samples.plan())
    divided = price(
        samples.job(model, devices=8, global_batch=8, seq_len=4096), samples.plan(tp=8, sequence_parallel=True)
    )
    compute = (StepTerm.MATMUL, StepTerm.ATTENTION, StepTerm.ELEMENTWISE)
    assert sum(divided.terms[t, 0] for t in compute) < 0.3 * sum(alone.terms[t, 0] for t in compute)
    assert divided.memory.activations.max() < 0.3 * alone.memory.activations.max()
