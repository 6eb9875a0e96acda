"""What rows of fine-tuning say about adapters, precision and sharding on one device."""

from dataclasses import replace

import pytest

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.candidates import Sharding
from meshwright.planner.frameworks import read_framework
from meshwright.planner.runs import Run, predict_runs
from meshwright.planner.runs.job import LONGEST_EXAMPLE, STRUNG_EXAMPLE, run_job
from meshwright.planner.runs.plan import run_sharding
from meshwright.planner.runs.techniques import INSTRUCTION_TOKENS

QWEN = Run(
    run_id="qwen", source="lab", model="qwen-7b", family="dense", n_layers=32, hidden=4096, n_heads=32,
    ffn_hidden=11008, gated_mlp=True, tied_embeddings=True, vocab=151936, seq_len=1024, attention="mha",
    accelerator="a100-80gb", n_gpus=1, precision="bf16", framework="HF Trainer + DeepSpeed", task="lora",
    global_batch=8, micro_batch=1, dp=1, tp=1, pp=1, sharding="none",
)  # fmt: skip


@pytest.mark.parametrize(
    ("task", "note", "sharding"),
    [("lora", "", Sharding.NONE), ("lora", "quantised base int4", Sharding.ZERO2), ("sft", "", Sharding.ZERO3)],
)
def test_scripts_pass_deepspeed_configurations_on_one_device_too(task: str, note: str, sharding: Sharding):
    """Qwen's finetune_*.sh; without one, autocast casts logits to fp32."""
    run = replace(QWEN, task=task, note=note)
    job, _ = run_job(run, Calibration.spec_sheet())
    assert run_sharding(run, job.framework) is sharding
    assert job.framework.logits_saved_bytes == (14 if sharding is Sharding.NONE else 8)


def test_rank_is_what_the_note_says_or_the_framework_takes():
    told, usual = (run_job(replace(QWEN, note=note), Calibration.spec_sheet())[0] for note in ("LoRA rank 32", ""))
    rank = read_framework("qwen-finetune").published.adapter_rank
    assert (told.workload.lora_rank, usual.workload.lora_rank) == (32, rank)


def test_litgpt_unties_tables_and_reads_other_kinds_of_adapters():
    """Adapters of version 2 scale every linear layer's output; those of version 1 touch none."""
    run = replace(QWEN, framework="litgpt")
    first, second = (
        run_job(replace(run, note=f"C: task {name}; x"), Calibration.spec_sheet())[0]
        for name in ("adapter", "adapter_v2")
    )
    assert not first.architecture.tied_embeddings
    assert first.framework.adapter_output_bytes == 0
    assert second.framework.adapter_output_bytes > 0
    assert second.framework.adapters_train_norms


def test_fine_tuning_that_tells_no_batch_accumulates_gradients():
    """Two micro-batches for every rank: gradients exist beside all activations."""
    job, reason = run_job(replace(QWEN, global_batch=None), Calibration.spec_sheet())
    assert job.workload.global_batch == 2
    assert "batch" in reason


def test_examples_that_are_not_packed_are_padded_or_strung_together():
    """Hugging Face's collator pads to the longest example; Megatron-SWIFT is free of padding."""
    run = replace(QWEN, seq_len=2048, micro_batch=4, global_batch=8, note="no packing: variable lengths")
    padded, strung, packed = (
        run_job(replace(run, framework=name, note=note), Calibration.spec_sheet())[0].workload.seq_len
        for name, note in (
            ("ms-swift (HF)", run.note),
            ("Megatron-SWIFT", run.note),
            ("Megatron-SWIFT", "packing=true"),
        )
    )
    assert (padded, strung, packed) == (LONGEST_EXAMPLE, STRUNG_EXAMPLE, 2048)
    long, _ = run_job(replace(run, framework="ms-swift", seq_len=65536), Calibration.spec_sheet())
    assert long.workload.seq_len == 65536 / 4


def test_packed_rows_keep_attention_within_documents_that_grow_with_the_limit():
    """Not all of the sequence, and no less than an example of instructions."""
    run = replace(QWEN, framework="Megatron-SWIFT", note="packing=true (full sequences)")
    short, long = (
        run_job(replace(run, seq_len=limit), Calibration.spec_sheet())[0].workload.document_len
        for limit in (1024, 16384)
    )
    assert short == INSTRUCTION_TOKENS
    assert long is not None
    assert INSTRUCTION_TOKENS < long < 16384


def test_memory_that_a_framework_prints_is_read_as_it_measures():
    """ms-swift prints what the allocator reserves: less than nvidia-smi shows, unless the row says otherwise."""
    run = replace(QWEN, framework="ms-swift (HF)", peak_mem_gib=20.0, mem_basis="unknown-basis")
    printed, seen = (
        predict_runs([replace(run, mem_basis=basis)], Calibration.spec_sheet())[0].peak_memory_gib
        for basis in ("unknown-basis", "nvidia-smi")
    )
    assert printed is not None
    assert seen is not None
    assert printed < seen


def test_routers_of_published_fine_tuning_are_uneven_over_expert_ranks():
    """Megatron-SWIFT's runs train on real data; pre-training benchmarks, and one rank, stay even."""
    moe = replace(
        QWEN, framework="Megatron-SWIFT", n_gpus=8, dp=8, ep=8, n_experts=64, moe_topk=8, moe_ffn_hidden=768,
        global_batch=64,
    )  # fmt: skip
    uneven, even, alone = (
        run_job(run, Calibration.spec_sheet())[0].workload.moe_imbalance
        for run in (moe, replace(moe, task="pretrain"), replace(moe, ep=1))
    )
    assert uneven > 1.0
    assert even == alone == 1.0


def test_muon_has_one_moment_less():
    """A third of Adam's master weight and two moments."""
    own, muon = (
        run_job(replace(QWEN, framework="Megatron-LM", task="sft", note=note), Calibration.spec_sheet())[0]
        for note in ("", "assumed: x | Muon optimizer; y")
    )
    assert (own.framework.states.optimizer, muon.framework.states.optimizer) == (12, 8)
