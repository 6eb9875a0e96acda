"""What a published run's note says about its plan, where the table has no column for it."""

from dataclasses import replace

from meshwright.cost_models.calibration import Calibration
from meshwright.planner.frameworks import read_framework
from meshwright.planner.runs.job import run_job
from meshwright.planner.runs.plan import run_plan
from meshwright.planner.runs.run import Run

MOE = Run(
    "moe", model="moe", n_layers=4, hidden=1024, n_heads=8, ffn_hidden=4096, vocab=32000, seq_len=2048, n_experts=8,
    moe_topk=2, moe_ffn_hidden=4096, accelerator="h100-80gb", n_gpus=16, precision="bf16", framework="Megatron-Bridge",
    global_batch=32, micro_batch=1, dp=8, tp=2, pp=1, ep=4, etp=1, sharding="zero1",
)  # fmt: skip


def test_expert_tensor_parallelism_that_was_assumed_is_the_frameworks_default() -> None:
    """Megatron-Core divides experts like dense layers unless told otherwise."""
    profile = read_framework("megatron-core")
    assert run_plan(MOE, profile, 8).etp == 1
    assert run_plan(replace(MOE, note="assumed: etp assumed 1; x"), profile, 8).etp == 2


def test_overlapped_expert_exchange_is_read_from_the_note() -> None:
    """Recipes that hide the all-to-all say so."""
    told = replace(MOE, note="[dispatcher=deepep,ep_a2a_overlap,cuda_graph=none]")
    jobs = [run_job(run, Calibration.spec_sheet())[0] for run in (MOE, told)]
    assert [job.framework.overlap_expert for job in jobs] == [0.0, 1.0]


def test_shard_group_is_read_from_the_note() -> None:
    """InternEvo's zero1.size, where -1 is the whole data-parallel group."""
    profile = read_framework("internevo")
    groups = [run_plan(replace(MOE, note=f"zero1 group size={size}"), profile, 8).shard_group for size in (-1, 4)]
    assert groups == [8, 4]


def test_llama_3_ran_one_layer_a_chunk() -> None:
    """126 layers, embedding and output on 16 stages: eight chunks each, the first and the last one without a layer."""
    run = replace(MOE, n_layers=126, n_experts=None, tp=8, pp=16, dp=1, ep=1, n_gpus=128, etp=None)
    assert run_plan(run, read_framework("llama3"), 8).vpp == 8
    assert run_plan(replace(run, vpp=4), read_framework("llama3"), 8).vpp == 4
    assert run_plan(run, read_framework("megatron-core"), 8).vpp == 1
