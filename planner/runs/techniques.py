"""Which techniques a row's note names, directly or as a step of a table that adds them one by one."""

from dataclasses import replace
from math import log

from meshwright.cost_models.framework import FrameworkProfile
from meshwright.planner.runs.run import Run

CUMULATIVE = (
    "Packed",
    "Compile",
    "Chunked CE",
    "Activation Checkpointing",
    "Optimizer in backward",
    "Activation Offloading",
    "8-bit AdamW",
    "LoRA",
    "QLoRA",
)
"""The order of torchtune's table of techniques, each on top of those before (README.md, "Optimization flags")."""
INSTRUCTION_TOKENS = 512
"""Tokens that hardly any example of instructions exceeds; their mean is lower, but attention within them costs little
either way."""
LONG_SHARE = 2 / log(100)
"""Length of the document that a token lies in over the limit of a sequence, on average: for lengths that fall off
exponentially, of which the limit cuts one in a hundred. An assumption, for rows that don't tell their data."""
WHOLE_LOSS_BYTES, COMPILED_LOSS_BYTES = 14.0, 10.0
"""Bytes per logit of a loss that isn't cut to chunks: 16-bit logits, their fp32 copy, its log-softmax and its gradient;
compiled, without the log-softmax."""


def techniques(run: Run) -> frozenset[str]:
    """Those of `CUMULATIVE` that a row was measured with, as far as its note tells."""
    named = [index for index, name in enumerate(CUMULATIVE) if name in run.note.split("(cumulative)")[0]]
    if not named or "(cumulative)" not in run.note:
        return frozenset()
    return frozenset(CUMULATIVE[: max(named) + 1])


def with_techniques(profile: FrameworkProfile, used: frozenset[str]) -> FrameworkProfile:
    """The profile of a row that says which of its framework's techniques it was measured with, and which not."""
    if not used:
        return profile
    if "Chunked CE" not in used:
        loss = COMPILED_LOSS_BYTES if "Compile" in used else WHOLE_LOSS_BYTES
        profile = replace(profile, logits_saved_bytes=loss)
    trains_all = "LoRA" not in used
    states = replace(profile.states, gradient=0.0) if trains_all and "Optimizer in backward" in used else profile.states
    states = replace(states, optimizer=2.0) if trains_all and "8-bit AdamW" in used else states
    return replace(profile, states=states)


def is_compiled(run: Run) -> bool:
    """Whether `torch.compile` fused the memory-bound operators."""
    words = run.note.lower().replace(";", " ").replace(",", " ").split()
    return "torch.compile" in run.note or "compile" in words or "Compile" in techniques(run)


def document_tokens(run: Run) -> int | None:
    """Tokens of one document where examples are packed and attention stays within each; None if it doesn't."""
    if run.task in ("", "pretrain") or run.seq_len is None:
        return None
    if "packing=true" in run.note:
        return round(max(INSTRUCTION_TOKENS, LONG_SHARE * run.seq_len))
    packed = "packed" in run.note.lower().split() or "Packed" in techniques(run)
    return min(run.seq_len, INSTRUCTION_TOKENS) if packed else None
