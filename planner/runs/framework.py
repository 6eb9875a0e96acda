"""The framework of a run: the profile that its description means, or what such runs most likely use."""

from dataclasses import replace

from meshwright.cost_models.framework import FrameworkProfile, StateBytes
from meshwright.planner.clusters import accelerator
from meshwright.planner.clusters.catalog import nearest_accelerator
from meshwright.planner.frameworks import EAGER, GENERIC, STAND_INS, match_framework, read_framework
from meshwright.planner.runs.completion import FILLED, STATE_BYTES
from meshwright.planner.runs.run import Run

COMPILED = "maxtext"
FUSING_PRECISIONS = ("fp8", "mxfp8", "nvfp4")
"""Trained in with fused kernels only: Transformer Engine, or compilation."""
WITHOUT_FLASH = ("nvidia-volta", "nvidia-pascal")
"""Kinds that FlashAttention doesn't run on (Dao-AILab/flash-attention: Turing and later)."""
PURE_16_BIT = StateBytes(parameter=2, gradient=2, optimizer=4, optimizer_temporary=4)
"""Parameters, gradients and both moments of AdamW in bf16."""


def run_framework(run: Run) -> FrameworkProfile:
    """The profile that a row's description means; where none is known, the likely one (`likely_framework`)."""
    name = match_framework(run.framework, run.model)
    return read_framework(name) if name not in STAND_INS else likely_framework(run)


def likely_framework(run: Run) -> FrameworkProfile:
    """What a run uses whose framework nobody has described: plain PyTorch, but for what its other cells tell.

    TPUs are programmed through XLA; 8-bit products come with fused kernels; old matrix units have no flash attention;
    and one device that can't hold mixed-precision Adam is fine-tuned in pure 16 bits.
    """
    kind, memory_bytes = _device(run)
    if kind.startswith("google"):
        return read_framework(COMPILED)
    if run.precision in FUSING_PRECISIONS:
        return read_framework(GENERIC)
    profile = read_framework(EAGER)
    if kind in WITHOUT_FLASH:
        profile = replace(profile, flash_attention=False, dropout=True)
    alone = run.task == "sft" and run.sharding in ("", "none") and (run.n_gpus or 1) == 1
    if alone and (run.params_b or 0.0) * 1e9 * STATE_BYTES > FILLED * memory_bytes:
        profile = replace(profile, states=PURE_16_BIT)
    return profile


def _device(run: Run) -> tuple[str, float]:
    """Kind and bytes of a row's accelerator; no kind and all the memory there is where it isn't known."""
    name = nearest_accelerator(run.accelerator)
    found = accelerator(name) if name else None
    return (found.kind, found.memory_bytes) if found else ("", float("inf"))
