"""What fills a device: how each class of bytes follows the axes of a plan."""

from dataclasses import replace

import pytest
import samples

from meshwright.cost_models.architecture import Architecture
from meshwright.cost_models.candidates import Candidates, Recompute, RecomputeModules, Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.parameters import total_parameters
from meshwright.cost_models.price import price
from meshwright.planner.frameworks import read_framework


def filled(job: Job, plan: Candidates, name: str) -> float:
    """Bytes of one class on the fullest device."""
    return float(getattr(price(job, plan).memory, name).max())


def test_a_single_device_holds_every_parameter() -> None:
    """16-bit parameters, with nothing padded away or counted twice."""
    model = samples.dense()
    assert filled(samples.job(model, devices=1), samples.plan(), "parameters") == 2 * total_parameters(model)


def test_experts_divide_over_expert_ranks_and_the_rest_does_not() -> None:
    """ep of 8 holds one of 8 experts a layer and all of attention and embeddings."""
    job = samples.job(samples.moe())
    together, apart = (filled(job, samples.plan(dp=8, ep=ep), "parameters") for ep in (1, 8))
    experts = 8 * 8 * 3 * 2048 * 4096
    assert together - apart == 2 * experts * 7 / 8


def test_the_vocabulary_is_padded() -> None:
    """Rows of the tables divide into multiples of 128 on every rank (Megatron-LM, make-vocab-size-divisible-by)."""
    bytes_of = {v: filled(samples.job(samples.dense(vocab=v)), samples.plan(tp=8), "parameters") for v in (1, 1024)}
    assert bytes_of[1] == bytes_of[1024]


def test_key_value_heads_are_repeated_where_tensor_parallelism_exceeds_them() -> None:
    """No rank holds less than one key and one value head (arXiv:2305.13245)."""
    per_rank = {
        tp: filled(samples.job(samples.dense(kv_heads=2, vocab=4096), devices=tp), samples.plan(tp=tp), "parameters")
        for tp in (1, 2, 4)
    }
    replicated = 2 * 8 * (2 * 128 * 2048)  # bytes of one key and one value head in eight layers
    norms = 2 * (8 * 2 * 2048 + 2048)
    divided = (per_rank[1] - norms - 2 * replicated) / 4
    assert per_rank[4] == pytest.approx(divided + replicated + norms)


@pytest.mark.parametrize(
    ("level", "parameters", "gradients", "optimizer"),
    [
        (Sharding.NONE, 1, 1, 1),
        (Sharding.ZERO1, 1, 1, 8),
        (Sharding.ZERO2, 1, 8, 8),
        (Sharding.ZERO3, 8, 8, 8),
    ],
)
def test_zero_divides_one_class_more_with_every_level(
    level: Sharding, parameters: int, gradients: int, optimizer: int
) -> None:
    """Optimizer states, then gradients, then parameters (arXiv:1910.02054, figure 1)."""
    profile = read_framework("generic")
    job = replace(samples.job(), framework=replace(profile, fsdp_states=profile.states))
    plan = samples.plan(dp=8, sharding=level, shard_group=1 if level == Sharding.NONE else 8)
    whole = samples.plan(dp=8)
    for name, ranks in (("parameters", parameters), ("gradients", gradients), ("optimizer", optimizer)):
        assert filled(job, plan, name) == pytest.approx(filled(job, whole, name) / ranks)


def test_hsdp_shards_within_its_group_only() -> None:
    """A group of 8 of 16 ranks holds what ZeRO-3 over 8 ranks holds."""
    hybrid = samples.plan(dp=16, sharding=Sharding.HSDP, shard_group=8)
    whole = samples.plan(dp=8, sharding=Sharding.ZERO3, shard_group=8)
    wide, narrow = samples.job(devices=16), samples.job(devices=8)
    for name in ("parameters", "gradients", "optimizer"):
        assert filled(wide, hybrid, name) == filled(narrow, whole, name)


@pytest.mark.parametrize("architecture", [samples.dense(), samples.moe()])
def test_activations_follow_the_tokens_on_a_device(architecture: Architecture) -> None:
    """Twice the micro-batch keeps twice the bytes; two context-parallel ranks keep half of them each."""
    job = samples.job(architecture)
    base, twice, halved = (
        filled(job, plan, "activations")
        for plan in (samples.plan(dp=8), samples.plan(dp=8, micro_batch=2), samples.plan(dp=4, cp=2))
    )
    assert twice == pytest.approx(2 * base)
    assert halved == pytest.approx(base / 2)


def test_full_recomputation_keeps_the_input_of_every_layer() -> None:
    """2·s·b·h bytes a layer (arXiv:2205.05198, table 2)."""
    few, many = (
        filled(
            samples.job(samples.dense(layers), devices=1),
            samples.plan(recompute=Recompute.FULL, recompute_layers=layers),
            "activations",
        )
        for layers in (4, 8)
    )
    assert many - few == 4 * 2 * 2048 * 2048


def test_recomputing_modules_drops_what_they_keep() -> None:
    """The product of a gated block's activation is 2 bytes for each of 4h inner elements and token."""
    job = samples.job(devices=1)
    plan = samples.plan(recompute=Recompute.SELECTIVE, recompute_modules=RecomputeModules.MLP_ACT)
    saved = filled(job, samples.plan(), "activations") - filled(job, plan, "activations")
    assert saved == pytest.approx(8 * 2 * 2048 * 4 * 2048, rel=0.05)


def test_a_frozen_base_has_neither_gradients_nor_optimizer_states() -> None:
    """LoRA trains adapters of about rank/h of the parameters (arXiv:2106.09685)."""
    full, lora = (samples.job(devices=1, task=task) for task in ("sft", "lora"))
    for name in ("gradients", "optimizer"):
        assert filled(lora, samples.plan(), name) < 0.03 * filled(full, samples.plan(), name)
    assert filled(lora, samples.plan(), "parameters") > filled(full, samples.plan(), "parameters")


def test_a_long_vocabulary_fills_the_last_stage() -> None:
    """Logits of a large vocabulary are alive on top of what the other classes hold."""
    small, large = (
        filled(samples.job(samples.dense(vocab=vocab), devices=1), samples.plan(micro_batch=8), "working")
        for vocab in (1024, 128 * 1024)
    )
    assert large - small > 8 * 2048 * 100 * 1024 * 4
