"""Rows that say whether norms are one kernel are priced so."""

from meshwright.planner.calibrations import read_calibration
from meshwright.planner.runs import Run
from meshwright.planner.runs.job import run_job


def row(note: str) -> Run:
    return Run(
        "1", model="llama", n_layers=2, hidden=4096, n_heads=32, ffn_hidden=11008, gated_mlp=True, vocab=32000,
        seq_len=2048, accelerator="a100-80gb", n_gpus=8, precision="bf16", framework="PaddleNLP", global_batch=8,
        micro_batch=1, note=note,
    )  # fmt: skip


def test_a_note_on_norms_is_read():
    """PaddleNLP's use_fused_rms_norm: ten times the traffic without it, as ideal with it, an estimate where unsaid."""
    jobs = [run_job(row(note), read_calibration("kernels"))[0] for note in
            ("use_fused_rms_norm=False", "use_fused_rms_norm=True", "")]  # fmt: skip
    assert [job.framework.norm_traffic for job in jobs] == [10.0, 1.0, None]
    assert [job.framework.norm_saved_bytes for job in jobs] == [8, 4, 8]
