"""What blocks keep when their own weights are frozen: laws, and bytes counted in a real framework."""

from dataclasses import replace

import pytest
import samples

from meshwright.cost_models.architecture import Architecture, Attention, DenseMlp, Layer
from meshwright.cost_models.candidates import Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.layer_memory import layer_memory
from meshwright.cost_models.price import price
from meshwright.cost_models.shapes import distinct_shapes

LLAMA_2_7B = Architecture(
    "llama-2-7b", 4096, 32000, (Layer(Attention(32, 32, 128), DenseMlp(11008), 8192),) * 2, final_norm_params=4096
)
MISTRAL_7B = Architecture(
    "mistral-7b", 4096, 32000, (Layer(Attention(32, 8, 128), DenseMlp(14336), 8192),) * 2, final_norm_params=4096
)


def kept(architecture: Architecture, task: str, framework: str = "litgpt", **changes: object) -> float:
    """Bytes that a layer keeps for a token and a hidden element."""
    job = samples.job(architecture, devices=1, framework=framework, task=task)
    job = replace(job, framework=replace(job.framework, **changes))
    shapes, _ = distinct_shapes(job, samples.plan())
    return float(layer_memory(job, shapes).saved[0, 0] / shapes.tokens[0] / architecture.hidden)


def test_kept_bytes_are_those_that_pytorch_saves_for_a_litgpt_layer():
    """Counted with saved-tensor hooks on litgpt 0.5.13's own modules; a GPU has one byte a mask and no copy."""
    assert kept(LLAMA_2_7B, "lora") == pytest.approx(44.26 - 1, rel=0.02)
    assert kept(MISTRAL_7B, "lora") == pytest.approx(43.74 - 1, rel=0.02)
    assert kept(LLAMA_2_7B, "sft") == pytest.approx(55.56 - 2, rel=0.02)
    wide = kept(MISTRAL_7B, "lora", adapts_all_linears=True, adapter_output_bytes=0)
    assert wide == pytest.approx(67.22 - 4 - 3.5, rel=0.03)


def test_frozen_layers_keep_less_than_trained_ones():
    """Adapters without dropout read what trained weights would have kept anyway."""
    for framework in ("generic", "deepspeed", "torchtune", "megatron-core"):
        trained, frozen = (kept(LLAMA_2_7B, task, framework) for task in ("sft", "lora"))
        assert frozen <= trained


def test_inputs_of_4_bit_products_count_as_often_as_they_are_kept():
    """Two micro-batches' inputs take twice what one's do."""
    none, one, two = (kept(LLAMA_2_7B, "qlora", quantised_inputs=number) for number in (0, 1, 2))
    assert none < one < two
    assert kept(LLAMA_2_7B, "lora", quantised_inputs=2) == pytest.approx(none)


def sharded_gradients(job: Job, **changes: object) -> float:
    """Bytes of gradients under ZeRO-3 on eight devices."""
    plan = samples.plan(dp=8, sharding=int(Sharding.ZERO3), shard_group=8)
    return float(price(replace(job, framework=replace(job.framework, **changes)), plan).memory.gradients[0, 0])


def test_gradients_that_reduce_once_a_step_are_whole_until_then():
    """Eight times a shard on eight devices, but not in a step of one micro-batch."""
    accumulates, single = samples.job(global_batch=64), samples.job(global_batch=8)
    each, once = (sharded_gradients(accumulates, fsdp_reduce_each_micro_batch=way) for way in (True, False))
    assert once == pytest.approx(8 * each)
    assert sharded_gradients(single, fsdp_reduce_each_micro_batch=False) == pytest.approx(each)


def test_flat_units_have_gradients_of_frozen_parameters():
    """Two bytes for every parameter of a layer, far more than adapters need."""
    job = samples.job(task="lora", lora_rank=8)
    own, flat = (sharded_gradients(job, flat_units=way) for way in (False, True))
    assert flat > 10 * own


def test_layer_norm_keeps_its_16_bit_input_in_every_framework():
    """RMSNorm written in operators keeps an fp32 one."""
    gpt = replace(LLAMA_2_7B, final_norm_params=2 * LLAMA_2_7B.hidden)
    assert kept(gpt, "sft", "deepspeed") < kept(LLAMA_2_7B, "sft", "deepspeed")


def test_adapters_of_routed_experts_divide_by_expert_parallelism():
    """Each expert has its own; four ranks hold a quarter each, and the router and attention's ones whole."""
    job = samples.job(samples.moe(experts=64), task="lora")
    job = replace(job, framework=replace(job.framework, adapts_experts=True))
    alone, apart = (price(job, samples.plan(dp=8, ep=ep)).memory.optimizer[0, 0] for ep in (1, 4))
    others = price(samples.job(samples.moe(experts=64), task="lora"), samples.plan(dp=8)).memory.optimizer[0, 0]
    assert apart - others == pytest.approx((alone - others) / 4)


def test_sharding_divides_what_adapters_train():
    """Moments of adapters under ZeRO-1 on eight devices: an eighth on each."""
    job = samples.job(task="lora")
    alone, apart = (
        price(job, samples.plan(dp=8, sharding=int(way), shard_group=group)).memory.optimizer[0, 0]
        for way, group in ((Sharding.NONE, 1), (Sharding.ZERO1, 8))
    )
    assert apart == pytest.approx(alone / 8)
