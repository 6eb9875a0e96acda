"""Megatron-Core's own configuration takes what we write for Megatron-LM and Megatron-Bridge, as it was meant."""

import warnings
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from launches import expressible, launches

from meshwright.planner.launchers import Launch, launcher
from meshwright.planner.launchers.megatron.bridge_fields import FIELDS
from meshwright.planner.launchers.megatron.flags import known_flags

pytestmark = [pytest.mark.launcher, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("megatron.core.transformer", exc_type=ImportError)
few = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
FIELD_OF = {
    "num-layers": "num_layers", "hidden-size": "hidden_size", "ffn-hidden-size": "ffn_hidden_size",
    "num-attention-heads": "num_attention_heads", "num-query-groups": "num_query_groups",
    "kv-channels": "kv_channels", "num-experts": "num_moe_experts", "moe-router-topk": "moe_router_topk",
    "moe-router-num-groups": "moe_router_num_groups", "moe-router-group-topk": "moe_router_group_topk",
    "moe-ffn-hidden-size": "moe_ffn_hidden_size", "fp8-format": "fp8", "fp8-recipe": "fp8_recipe",
}  # fmt: skip
"""Flags of the model that TransformerConfig has by another name or none that Megatron-Bridge overrides."""
NOT_IN_CORE = {"micro-batch-size", "global-batch-size", "seq-length", "ckpt-format"}
"""Fields of Megatron-Bridge's own sections."""


def keywords(launch: Launch) -> dict[str, Any]:
    """The flags of an export as TransformerConfig's keywords."""
    program = launcher("megatron-lm").export(launch).program
    assert program is not None
    found: dict[str, Any] = {"add_bias_linear": "--disable-bias-linear" not in program.argv}
    words, place = program.argv[1:], 0
    while place < len(words):
        name, place = words[place][2:], place + 1
        values = []
        while place < len(words) and not words[place].startswith("--"):
            values.append(int(words[place]) if words[place].isdigit() else words[place])
            place += 1
        bridge = FIELDS.get(name, "").removeprefix("model.")
        field = FIELD_OF.get(name) or (bridge if "." not in bridge else "")
        if field:
            several = known_flags()[name].kind == "values" and name != "cp-comm-type"
            found[field] = values if several else values[0] if values else not name.startswith("no-")
    return found


@few
@given(launch=launches())
def test_transformer_config_takes_every_plan(launch: Launch) -> None:
    """Its checks pass, and degrees, stages and recomputation are what the plan says."""
    import torch
    from megatron.core.transformer import TransformerConfig

    found = expressible(launcher("megatron-lm"), launch)
    assume(found is not None)
    axes, given_fields = found.axes, keywords(found)
    if axes.pp > 1:
        given_fields["pipeline_dtype"] = torch.bfloat16
    for needs_a_gpu in ("gradient_accumulation_fusion", "fp8", "fp8_recipe"):
        given_fields.pop(needs_a_gpu, None)
    config = TransformerConfig(**given_fields)
    assert config.tensor_model_parallel_size == axes.tp
    assert config.pipeline_model_parallel_size == axes.pp
    assert (config.virtual_pipeline_model_parallel_size or 1) == axes.vpp
    assert config.context_parallel_size == axes.cp
    assert config.sequence_parallel == axes.sequence_parallel
    assert (config.recompute_granularity or "none") == axes.recompute


def test_every_field_of_megatron_bridge_is_one_of_megatron_cores() -> None:
    """Overrides of model, ddp and optimizer name fields of the dataclasses that Megatron-Bridge extends."""
    from megatron.core.distributed import DistributedDataParallelConfig
    from megatron.core.optimizer import OptimizerConfig
    from megatron.core.transformer import TransformerConfig

    classes = {"model": TransformerConfig, "ddp": DistributedDataParallelConfig, "optimizer": OptimizerConfig}
    known = {f"{section}.{field.name}" for section, one in classes.items() for field in fields(one)}
    assert {field for flag, field in FIELDS.items() if flag not in NOT_IN_CORE} <= known


def test_core_lets_through_what_our_reader_catches() -> None:
    """Why the reader has checks of its own: layers that stages don't divide, experts, counts and recipes."""
    from megatron.core.transformer import TransformerConfig

    sizes = {"num_layers": 80, "hidden_size": 1024, "num_attention_heads": 16}
    recompute = {"recompute_granularity": "full", "recompute_method": "block", "recompute_num_layers": 99}
    try:
        TransformerConfig(**sizes, **recompute)
        TransformerConfig(**sizes, num_moe_experts=8, expert_model_parallel_size=3)
    except (ValueError, AssertionError):
        pytest.fail("Megatron-Core checks this now: the reference table of launchers can say so")
