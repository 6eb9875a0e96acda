"""Rows with gaps and other spellings: what fills them, and what stays unknown."""

from dataclasses import replace

import pytest

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.parameters import total_parameters
from meshwright.planner.runs import Run, predict_runs
from meshwright.planner.runs.architecture import run_architecture
from meshwright.planner.runs.completion import completed_run
from meshwright.planner.runs.sizes import known_model
from meshwright.planner.runs.spelling import spelled_out

LLAMA = Run(
    run_id="llama", model="llama-2-7b", family="dense", n_layers=32, hidden=4096, n_heads=32, n_kv_heads=32,
    ffn_hidden=11008, gated_mlp=True, tied_embeddings=False, vocab=32000, seq_len=4096, params_b=6.738,
    accelerator="a100-80gb", n_gpus=16, gpus_per_node=8, precision="bf16", framework="Megatron-LM", task="pretrain",
    global_batch=64, micro_batch=1, dp=8, tp=2, pp=1, sharding="zero1", recompute="none",
)  # fmt: skip
SPEC_SHEET = Calibration.spec_sheet()


def predicted(run: Run) -> tuple[float | None, float | None, str]:
    """Step time, memory and reason."""
    (prediction,) = predict_runs([run], SPEC_SHEET)
    return prediction.step_time_s, prediction.peak_memory_gib, prediction.reason


@pytest.mark.parametrize(
    ("column", "written", "word"),
    [
        ("precision", "BF16-mixed", "bf16"),
        ("precision", "fp8_mx", "mxfp8"),
        ("precision", "AMP", "fp16"),
        ("precision", "fp8-delayed", "fp8"),
        ("precision", "NF4 4-bit", "bf16"),
        ("sharding", "FSDP2 full_shard", "zero3"),
        ("sharding", "fsdp2", "fsdp"),
        ("sharding", "ZeRO-1", "zero1"),
        ("sharding", "deepspeed stage 2", "zero2"),
        ("sharding", "HYBRID_SHARD", "hsdp"),
        ("sharding", "DDP", "none"),
        ("sharding", "distributed optimizer", "zero1"),
        ("recompute", "True", "full"),
        ("recompute", "off", "none"),
        ("recompute", "selective:core_attn", "selective"),
        ("recompute", "full(uniform,1)", "full"),
        ("task", "full finetune", "sft"),
        ("task", "QLoRA", "qlora"),
        ("task", "continued pretraining", "pretrain"),
        ("sharding", "zero9", ""),
        ("recompute", "dots_saveable", "selective"),
        ("recompute", "whatever", ""),
        ("task", "distill", "distill"),
    ],
)
def test_other_spellings_mean_the_tables_words(column: str, written: str, word: str) -> None:
    assert getattr(spelled_out(replace(LLAMA, **{column: written})), column) == word


def test_a_whole_row_stays_as_it_is() -> None:
    assert completed_run(LLAMA) == LLAMA


def test_the_words_of_the_table_stay_as_they_are() -> None:
    for sharding in ("", "none", "zero1", "zero2", "zero3", "fsdp", "hsdp"):
        assert spelled_out(replace(LLAMA, sharding=sharding)).sharding == sharding


def test_a_row_with_a_name_alone_is_the_catalogs_model() -> None:
    named = replace(
        LLAMA,
        n_layers=None,
        hidden=None,
        n_heads=None,
        ffn_hidden=None,
        gated_mlp=None,
        tied_embeddings=None,
        vocab=None,
    )
    assert predicted(named)[:2] == pytest.approx(predicted(LLAMA)[:2], rel=1e-3)


def test_a_hybrid_is_the_catalogs_model_of_that_depth_or_nothing() -> None:
    hybrid = replace(LLAMA, model="nemotron-h-8b", family="hybrid", n_layers=52, hidden=None, n_heads=None)
    assert run_architecture(completed_run(hybrid)).num_layers == 52
    assert "hybrid" in predicted(replace(hybrid, n_layers=30))[2]


def test_depth_or_width_follow_from_the_parameters() -> None:
    """12 · layers · width² (arXiv:2001.08361): Llama-2 7B comes out within two layers and 128 of width."""
    unknown = replace(LLAMA, model="nobody-knows-7b")
    assert completed_run(replace(unknown, n_layers=None)).n_layers == pytest.approx(32, abs=2)
    assert completed_run(replace(unknown, hidden=None)).hidden == pytest.approx(4096, abs=128)


def test_a_model_of_which_only_the_size_is_known_is_like_others_of_that_size() -> None:
    """7 billion parameters are shaped like Llama-2's; what an unheard-of size looks like isn't guessed."""
    sized = replace(
        LLAMA, model="", n_layers=None, hidden=None, n_heads=None, n_kv_heads=None, ffn_hidden=None, vocab=None
    )
    assert predicted(sized)[:2] == pytest.approx(predicted(LLAMA)[:2], rel=0.05)
    assert "architecture unknown" in predicted(replace(sized, params_b=5000.0))[2]


def test_experts_make_up_the_printed_parameters() -> None:
    """Mixtral 8x7B has 46.7 billion parameters and experts 14,336 wide (arXiv:2401.04088, table 1)."""
    mixtral = replace(
        LLAMA, model="", family="moe", n_experts=8, moe_topk=None, ffn_hidden=None, n_kv_heads=8, params_b=46.7
    )
    whole = completed_run(mixtral)
    assert (whole.moe_topk, whole.moe_ffn_hidden) == (2, pytest.approx(14336, rel=0.05))


@pytest.mark.parametrize(
    "written", ["meta-llama-2-7b", "llama-2-7b-chat", "Llama-2-7B (benchmark)", "meta-llama/llama-2-7b-hf"]
)
def test_models_are_known_with_their_maker_stage_or_remarks(written: str) -> None:
    assert known_model(replace(LLAMA, model=written)) is not None


@pytest.mark.parametrize(
    ("model", "n_layers", "hidden", "n_heads", "billions"),
    [
        ("deepseek-v3", 61, 7168, 128, 671),  # arXiv:2412.19437
        ("llama-4-maverick", 48, 5120, 40, 401),  # its model card: experts in every second layer
        ("mixtral-8x7b", 32, 4096, 32, 46.7),  # arXiv:2401.04088
    ],
)
def test_experts_and_latent_attention_that_a_row_leaves_out_are_the_catalogs(
    model: str, n_layers: int, hidden: int, n_heads: int, billions: float
) -> None:
    bare = replace(
        LLAMA, model=model, n_layers=n_layers, hidden=hidden, n_heads=n_heads, n_kv_heads=None, ffn_hidden=None,
        vocab=None, params_b=None,
    )  # fmt: skip
    assert total_parameters(run_architecture(completed_run(bare))) == pytest.approx(billions * 1e9, rel=0.01)


def test_replicas_and_batch_follow_from_the_devices() -> None:
    whole = completed_run(replace(LLAMA, dp=4, micro_batch=None, global_batch=63))
    assert (whole.dp, whole.micro_batch, whole.global_batch) == (8, 1, 64)


@pytest.mark.parametrize(
    ("change", "sharding"),
    [
        ({"tp": 2}, "zero1"),
        ({"tp": 1, "dp": 16}, "zero1"),
        ({"tp": 1, "dp": 16, "params_b": 1.0}, "none"),
        ({"tp": 1, "dp": 16, "params_b": 60.0}, "zero3"),
        ({"tp": 1, "dp": 16, "task": "lora"}, ""),
    ],
)
def test_untold_sharding_is_the_least_that_fits(change: dict[str, object], sharding: str) -> None:
    assert completed_run(replace(LLAMA, sharding="", **change)).sharding == sharding  # type: ignore[arg-type]


@pytest.mark.parametrize(("framework", "is_needed"), [("an undescribed framework", True), (LLAMA.framework, False)])
def test_untold_recomputation_is_full_where_nobody_described_a_default(framework: str, is_needed: bool) -> None:
    long = replace(LLAMA, framework=framework, recompute="", seq_len=16384, micro_batch=2)
    told = predicted(replace(long, recompute="full"))
    assert (predicted(long) == told) is is_needed


def test_the_outcome_of_a_run_says_nothing_about_its_recomputation() -> None:
    long = replace(LLAMA, framework="an undescribed framework", recompute="", seq_len=16384, micro_batch=2)
    assert predicted(replace(long, failed=True)) == predicted(long)


@pytest.mark.parametrize(
    ("accelerator", "precision", "computed"),
    [("a100-80gb", "fp8", "bf16"), ("v100-32gb", "bf16", "fp16"), ("h100-80gb", "nvfp4", "fp8")],
)
def test_a_precision_that_a_device_lacks_is_computed_in_the_next(
    accelerator: str, precision: str, computed: str
) -> None:
    run = replace(LLAMA, accelerator=accelerator)
    lacking, nearest = (predicted(replace(run, precision=name))[0] for name in (precision, computed))
    assert lacking == pytest.approx(nearest, rel=0.1)


@pytest.mark.parametrize(("n_gpus", "per_node"), [(12, 8), (32, 16), (20, None)])
def test_nodes_are_equally_full_whatever_their_number(n_gpus: int, per_node: int | None) -> None:
    step_s, _, reason = predicted(replace(LLAMA, n_gpus=n_gpus, gpus_per_node=per_node, dp=n_gpus // 2))
    assert (bool(step_s), reason) == (True, "")


def test_nodes_of_unknown_host_memory_offload_as_usual_ones_do() -> None:
    """A plan with its optimizer states in host memory has a step time, slower than without."""
    plain = replace(LLAMA, accelerator="v100-32gb", precision="fp16")
    offloaded, _, reason = predicted(replace(plain, offload="optimizer_cpu"))
    assert reason == ""
    assert offloaded is not None
    assert offloaded > (predicted(plain)[0] or 0.0)


def test_an_accelerator_that_nobody_knows_has_memory_but_no_step_time() -> None:
    step_s, memory, reason = predicted(replace(LLAMA, accelerator="metax-c500"))
    assert (step_s, "metax-c500" in reason) == (None, True)
    assert memory == predicted(LLAMA)[1]
