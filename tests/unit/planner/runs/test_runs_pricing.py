"""From a row to architecture, plan, job and prediction."""

from dataclasses import replace

import pytest

from meshwright.cost_models.architecture import Attention, DenseMlp, LatentAttention, MoeMlp
from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.candidates import Recompute, RecomputeModules, Schedule, Sharding
from meshwright.errors import AxisError, ModelError
from meshwright.planner.frameworks import match_framework, read_framework
from meshwright.planner.runs import Run, predict_runs
from meshwright.planner.runs.architecture import run_architecture
from meshwright.planner.runs.completion import completed_run
from meshwright.planner.runs.job import LONGEST_EXAMPLE, run_job
from meshwright.planner.runs.plan import run_plan
from meshwright.planner.runs.sizes import known_model

LLAMA = Run(
    run_id="llama", source="lab", model="llama-2-7b", family="dense", n_layers=32, hidden=4096, n_heads=32,
    ffn_hidden=11008, gated_mlp=True, tied_embeddings=False, vocab=32000, seq_len=4096, attention="mha",
    accelerator="a100-80gb", n_gpus=8, gpus_per_node=8, precision="bf16", framework="Megatron-LM",
    task="pretrain",
    global_batch=64, micro_batch=1, dp=4, tp=2, pp=1, sharding="zero1", recompute="none",
)  # fmt: skip
DEEPSEEK = replace(
    LLAMA, family="moe", n_experts=64, moe_topk=6, moe_ffn_hidden=1408, shared_experts=2, n_dense_layers=1,
    attention="mla", arch_extra="q_lora=1536;kv_lora=512;qk_nope=128;qk_rope=64;v_dim=128;mtp=1", ep=4,
)  # fmt: skip
MEGATRON = read_framework("megatron-core")


def test_a_dense_row_is_as_many_equal_layers():
    architecture = run_architecture(LLAMA)
    assert architecture.num_layers == 32
    (kind,) = architecture.layer_kinds
    assert isinstance(kind.mixer, Attention)
    assert (kind.mixer.head_dim, kind.mlp) == (128, DenseMlp(11008))


def test_mla_leading_dense_layers_shared_experts_and_mtp_are_read():
    architecture = run_architecture(DEEPSEEK)
    first, second = architecture.layers[:2]
    assert isinstance(first.mlp, DenseMlp)
    assert isinstance(second.mlp, MoeMlp)
    assert second.mlp.shared_ffn_hidden == 2 * 1408
    assert isinstance(second.mixer, LatentAttention)
    assert second.mixer.q_lora_rank == 1536
    assert len(architecture.mtp_layers) == 1


def test_windows_and_interleaved_experts_follow_their_period():
    run = replace(
        LLAMA,
        n_experts=8,
        moe_topk=1,
        moe_ffn_hidden=64,
        arch_extra="moe_every=2;sliding_window=512;window_every=2",
    )
    layers = run_architecture(run).layers[:4]
    assert [isinstance(layer.mlp, MoeMlp) for layer in layers] == [False, True, False, True]
    assert [layer.mixer.window for layer in layers if isinstance(layer.mixer, Attention)] == [
        512,
        None,
        512,
        None,
    ]


@pytest.mark.parametrize(
    ("printed", "gated", "tied"), [(6.738, True, False), (6.607, True, True), (5.295, False, False)]
)
def test_what_a_row_leaves_out_follows_from_its_printed_parameters(printed, gated, tied):
    architecture = run_architecture(replace(LLAMA, gated_mlp=None, tied_embeddings=None, params_b=printed))
    (kind,) = architecture.layer_kinds
    assert isinstance(kind.mlp, DenseMlp)
    assert (kind.mlp.gated, architecture.tied_embeddings) == (gated, tied)


def test_missing_widths_are_all_named():
    with pytest.raises(ModelError, match="ffn_hidden, vocab"):
        run_architecture(replace(LLAMA, model="nobody-knows-7b", ffn_hidden=None, vocab=None))


def test_missing_widths_are_those_of_the_catalog_where_depth_and_width_agree():
    """A row without them is the same as one that has them; another depth is another model."""
    without = completed_run(replace(LLAMA, ffn_hidden=None, vocab=None))
    assert run_architecture(without) == run_architecture(LLAMA)
    assert known_model(replace(LLAMA, n_layers=30)) is None


def test_unpacked_fine_tuning_is_as_long_as_its_longest_example():
    """The limit of 4,096 tokens says nothing about batches that are padded to their own longest example."""
    tuned = replace(LLAMA, task="sft", note="no packing: variable lengths up to max_length")
    assert run_job(tuned, Calibration.spec_sheet())[0].workload.seq_len == LONGEST_EXAMPLE
    assert run_job(replace(tuned, note="packed"), Calibration.spec_sheet())[0].workload.seq_len == 4096


def test_empty_cells_get_the_documented_defaults():
    plan = run_plan(replace(LLAMA, dp=None), MEGATRON, fast_domain=8)
    assert (plan.dp, plan.vpp, plan.cp, plan.ep, plan.sequence_parallel) == (4, 1, 1, 1, False)
    assert run_plan(replace(LLAMA, dp=None), read_framework("torchtitan"), fast_domain=8).sequence_parallel
    assert (plan.sharding, plan.shard_group, plan.schedule) == (Sharding.ZERO1, 4, Schedule.ONE_F_ONE_B)


def test_experts_divide_like_dense_layers_where_the_framework_knows_no_other_way():
    run = replace(DEEPSEEK, ep=1, etp=1)
    assert run_plan(run, MEGATRON, 8).etp == 1
    assert run_plan(run, read_framework("megatron-core-2024"), 8).etp == 2


def test_hsdp_shards_within_the_fast_domain_by_default():
    run = replace(LLAMA, dp=64, tp=2, n_gpus=128, sharding="hsdp")
    assert run_plan(run, MEGATRON, fast_domain=8).shard_group == 4
    assert run_plan(replace(run, shard_group=16), MEGATRON, fast_domain=8).shard_group == 16


def test_recompute_detail_chooses_modules_or_layers():
    selective = replace(LLAMA, recompute="selective", recompute_detail="selective:mla_up_proj+mlp")
    plan = run_plan(selective, MEGATRON, 8)
    assert plan.recompute_modules == RecomputeModules.MLA_UP_PROJ | RecomputeModules.MLP
    half = run_plan(replace(selective, recompute_detail="selective(every-other-layer)"), MEGATRON, 8)
    assert (half.recompute, half.recompute_layers) == (Recompute.FULL, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dp": 3}, "must be n_gpus"),
        ({"micro_batch": None}, "micro-batch unknown"),
        ({"global_batch": 30}, "must be 0"),
        ({"sharding": "zero9"}, "unknown sharding"),
        ({"dp": None, "pp": None}, "parallelism unknown"),
        ({"sharding": ""}, "sharding unknown"),
    ],
)
def test_contradictory_or_incomplete_plans_say_why(change, message):
    with pytest.raises(AxisError, match=message):
        run_plan(replace(LLAMA, **change), MEGATRON, 8)


@pytest.mark.parametrize(
    ("description", "profile"),
    [
        ("NeMo 25.07", "nemo"),
        ("NeMo AutoModel (PyTorch)", "nemo-automodel"),
        ("Megatron-LM 2021", "megatron-lm-2021"),
        ("Megatron-LM (TE)", "megatron-core"),
        ("ms-swift (HF+DeepSpeed)", "ms-swift"),
        ("DeepSpeed 0.11.1", "deepspeed"),
        ("nanotron v0.5", "nanotron-2024"),
        ("nanotron", "nanotron"),
        ("Something New 1.0", "generic"),
    ],
)
def test_free_form_framework_names_find_the_longest_match(description, profile):
    assert match_framework(description) == profile


def test_a_row_that_cannot_be_priced_gets_the_reason_and_memory_where_it_can():
    runs = (
        LLAMA,
        replace(LLAMA, run_id="new", accelerator="abacus-1"),
        replace(LLAMA, run_id="bad", seq_len=None),
    )
    good, unknown_device, bad = predict_runs(runs, Calibration.spec_sheet())
    assert good.step_time_s
    assert not good.reason
    assert unknown_device.step_time_s is None
    assert "abacus-1" in unknown_device.reason
    assert unknown_device.peak_memory_gib == pytest.approx(good.peak_memory_gib)
    assert (bad.step_time_s, bad.peak_memory_gib) == (None, None)


def test_terms_of_a_prediction_sum_to_its_step_time():
    (prediction,) = predict_runs((LLAMA,), Calibration.spec_sheet())
    assert sum(prediction.terms_s) == pytest.approx(prediction.step_time_s)


def test_nvidia_smi_sees_more_than_reserved_and_reserved_more_than_allocated():
    bases = ("allocated", "reserved", "nvidia-smi")
    runs = [replace(LLAMA, run_id=basis, mem_basis=basis) for basis in bases]
    allocated, reserved, total = (p.peak_memory_gib or 0.0 for p in predict_runs(runs, Calibration.spec_sheet()))
    assert allocated < reserved < total
