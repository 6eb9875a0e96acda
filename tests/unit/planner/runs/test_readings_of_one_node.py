"""Memory that was read on one node."""

from dataclasses import replace

from meshwright.cost_models.calibration import Calibration
from meshwright.planner.runs import Run, predict_runs

# Two stages on a node each; the last one has the logits of a vocabulary of 250,000.
RUN = Run(
    run_id="row", family="dense", attention="mha", n_layers=8, hidden=1024, n_heads=16, ffn_hidden=4096,
    gated_mlp=False, tied_embeddings=True, vocab=250_000, seq_len=2048, accelerator="v100-32gb", n_gpus=8,
    gpus_per_node=4, precision="fp16", framework="Megatron-DeepSpeed", task="pretrain", global_batch=64,
    micro_batch=4, dp=4, tp=1, pp=2, sharding="zero1", recompute="full", mem_basis="nvidia-smi",
)  # fmt: skip
FULLEST = "nvidia-smi snapshot of the most loaded node"


def peak(run: Run) -> float:
    (prediction,) = predict_runs([run], Calibration("spec"))
    assert prediction.peak_memory_gib, prediction.reason
    return prediction.peak_memory_gib


def test_nvidia_smi_shows_the_first_node_unless_the_row_says_the_most_loaded():
    """The first node doesn't see the logits of the last stage."""
    assert peak(RUN) < 0.8 * peak(replace(RUN, note=FULLEST))


def test_on_one_node_every_stage_is_seen():
    """With both stages on a node, the reading is of the fullest, whatever the row says."""
    one = replace(RUN, n_gpus=4, dp=2)
    assert peak(one) == peak(replace(one, note=FULLEST))


def test_an_allocator_knows_every_rank():
    """What the framework reports of itself isn't tied to a node."""
    allocated = replace(RUN, mem_basis="allocated")
    assert peak(allocated) == peak(replace(allocated, note=FULLEST))
