"""Which framework profile a run is read with."""

from dataclasses import replace

import pytest

from meshwright.planner.runs import Run
from meshwright.planner.runs.framework import PURE_16_BIT, run_framework

RUN = Run(run_id="run", accelerator="h100-80gb", n_gpus=64, precision="bf16", task="pretrain", sharding="fsdp", dp=64)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"framework": "NeMo 25.07"}, "nemo"),
        ({"framework": "OLMo-core"}, "torchtitan"),
        ({"framework": "Megatron-LLaMA"}, "megatron-core"),
        ({"framework": "an in-house trainer"}, "pytorch-eager"),
        ({"framework": "PyTorch DDP"}, "pytorch-eager"),
        ({"framework": ""}, "pytorch-eager"),
        ({"framework": "", "accelerator": "tpu-v4"}, "maxtext"),
        ({"framework": "", "precision": "fp8"}, "generic"),
    ],
)
def test_a_run_is_read_with_its_framework_or_the_likely_one(change: dict[str, str], name: str) -> None:
    assert run_framework(replace(RUN, **change)).name == name  # type: ignore[arg-type]


def test_old_matrix_units_have_no_flash_attention() -> None:
    """FlashAttention needs Turing or later, whoever wrote the training loop."""
    assert run_framework(RUN).flash_attention
    assert not run_framework(replace(RUN, accelerator="v100-32gb")).flash_attention


def test_fine_tuning_without_sharding_keeps_everything_in_16_bits() -> None:
    """Masters in fp32 come with pre-training, or with sharding by DeepSpeed or FSDP."""
    tuned = replace(RUN, task="sft", sharding="none", n_gpus=1, dp=1)
    assert run_framework(tuned).states == PURE_16_BIT
    assert run_framework(replace(tuned, task="pretrain")).states != PURE_16_BIT
    assert run_framework(replace(tuned, precision="fp16")).states != PURE_16_BIT
