"""The framework of a run: the profile that its description means, or what such runs most likely use."""

from dataclasses import replace

from meshwright.cost_models.framework import FrameworkProfile
from meshwright.cost_models.parameter_bytes import StateBytes
from meshwright.planner.clusters import accelerator
from meshwright.planner.clusters.catalog import nearest_accelerator
from meshwright.planner.frameworks import EAGER, GENERIC, STAND_INS, match_framework, read_framework
from meshwright.planner.runs.run import Run

COMPILED = "maxtext"
FUSING_PRECISIONS = ("fp8", "mxfp8", "nvfp4")
"""Trained in with fused kernels only: Transformer Engine, or compilation."""
WITHOUT_FLASH = ("nvidia-volta", "nvidia-pascal")
"""Kinds that FlashAttention doesn't run on (Dao-AILab/flash-attention: Turing and later)."""
PURE_16_BIT = StateBytes(parameter=2, gradient=2, optimizer=4, optimizer_temporary=4)
"""Parameters, gradients and both moments of AdamW in bf16, as torchtune, LitGPT (`bf16-true`) and models that Hugging
Face's trainer gets in `torch_dtype=bfloat16` have them; fp32 masters come with DeepSpeed, FSDP or Megatron."""


def run_framework(run: Run) -> FrameworkProfile:
    """The profile that a row's description means; where none is known, the likely one (`likely_framework`)."""
    name = match_framework(run.framework, run.model)
    return read_framework(name) if name not in STAND_INS else likely_framework(run)


def likely_framework(run: Run) -> FrameworkProfile:
    """What a run uses whose framework nobody has described: plain PyTorch, but for what its other cells tell.

    TPUs are programmed through XLA; 8-bit products come with fused kernels; old matrix units have no flash attention;
    and without sharding models are fine-tuned in the 16 bits that they are loaded in.
    """
    kind = _kind(run)
    if kind.startswith("google"):
        return read_framework(COMPILED)
    if run.precision in FUSING_PRECISIONS:
        return read_framework(GENERIC)
    profile = read_framework(EAGER)
    if kind in WITHOUT_FLASH:
        profile = replace(profile, flash_attention=False, dropout=True)
    if run.task == "sft" and run.sharding in ("", "none") and run.precision in ("", "bf16"):
        profile = replace(profile, states=PURE_16_BIT)
    return profile


def _kind(run: Run) -> str:
    """Kind of a row's accelerator; none where it isn't known."""
    name = nearest_accelerator(run.accelerator)
    return accelerator(name).kind if name else ""
