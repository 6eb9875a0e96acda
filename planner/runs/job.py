"""The job of a run: architecture, cluster, workload, framework."""

import re
from dataclasses import replace

from meshwright.cost_models.architecture import Architecture
from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.candidates import Sharding
from meshwright.cost_models.framework import FrameworkProfile
from meshwright.cost_models.job import Job
from meshwright.cost_models.workload import PRECISIONS, TASKS, Workload
from meshwright.errors import MeshwrightError, WorkloadError
from meshwright.planner.clusters import typical_cluster
from meshwright.planner.runs.architecture import run_architecture
from meshwright.planner.runs.devices import run_cluster
from meshwright.planner.runs.framework import run_framework
from meshwright.planner.runs.plan import is_quantised, run_sharding
from meshwright.planner.runs.run import Run
from meshwright.planner.runs.techniques import document_tokens, is_compiled, techniques, with_techniques

STAND_IN = "a100-80gb"
"""Device on which memory is computed where a run's own isn't in the catalog: bytes don't depend on it."""


def run_job(run: Run, calibration: Calibration) -> tuple[Job, str]:
    """The job of a run, and why its step time can't be told ("" if it can).

    Raises:
        MeshwrightError: Not even its memory can be told.
    """
    profile = _by_recipe(_overlapped(_compiled(run_framework(run), run), run.note), run)
    profile = _by_optimizer(_by_precision(_by_adapter(profile, run), run), run)
    profile = with_techniques(profile, techniques(run))
    architecture = _as_trained(run_architecture(run), profile)
    workload, cluster, reason = _workload(run, profile), None, ""
    try:
        cluster = run_cluster(run, profile, workload.precision)
        if run.global_batch is None:
            reason = "global batch unknown"
    except MeshwrightError as error:
        reason = str(error)
        cluster = typical_cluster(STAND_IN, 8, 8)
        workload = _workload(run, profile, precision="bf16" if workload.activation_bytes == 2 else "fp32")
    return Job(architecture, cluster, workload, profile, calibration), reason


def _as_trained(architecture: Architecture, profile: FrameworkProfile) -> Architecture:
    """The architecture as a framework holds it."""
    return replace(architecture, tied_embeddings=False) if profile.published.unties_embeddings else architecture


EAGER_TRAFFIC = 2.0
"""HBM traffic of a Llama layer's norms, rotary embedding, SwiGLU and residuals as separate PyTorch operators, over
fused ones: an estimate, as in the profiles of frameworks that run them so."""
COMPILED_TRAFFIC = 1.0
EAGER_NORM_TRAFFIC = 10.0
"""HBM traffic of an RMS norm that casts to fp32 as separate operators, over a fused one. Counted in PaddleNLP's
LlamaRMSNorm, bytes an element: cast 6, square 8, mean 4, scale 8, cast back 6, weight 4, and 68
backward; fused 4 and 6."""
FUSED_NORM_SAVED = 4
"""Bytes an element that a fused norm keeps: its input and its output (arXiv:2205.05198, section 4.1)."""
FUSED_GATED_SAVED = 3
"""Tensors that a compiled SwiGLU keeps: gate, up output and their product; what activates the gate runs again."""


def _compiled(profile: FrameworkProfile, run: Run) -> FrameworkProfile:
    """The profile with memory-bound operators fused, or not, as far as the row's note says which."""
    note = run.note
    if "use_fused_rms_norm=" in note:
        fused = "use_fused_rms_norm=True" in note
        saved = FUSED_NORM_SAVED if fused else profile.norm_saved_bytes
        profile = replace(profile, norm_traffic=1.0 if fused else EAGER_NORM_TRAFFIC, norm_saved_bytes=saved)
    if is_compiled(run):
        return replace(
            profile,
            elementwise_traffic=COMPILED_TRAFFIC,
            norm_saved_bytes=min(FUSED_NORM_SAVED, profile.norm_saved_bytes),
            gated_activation_saved=min(FUSED_GATED_SAVED, profile.gated_activation_saved),
        )
    words = note.lower().replace(";", " ").replace(",", " ").split()
    return replace(profile, elementwise_traffic=EAGER_TRAFFIC) if "eager" in words else profile


def _overlapped(profile: FrameworkProfile, note: str) -> FrameworkProfile:
    """The profile with expert all-to-all beside the other direction's compute, where the row's note says so.

    Two micro-batches run layer by layer, one forward, one backward, so that each one's exchange has the other's compute
    beside it (Megatron-Core, `--overlap-moe-expert-parallel-comm`).
    """
    return replace(profile, overlap_expert=1.0) if "ep_a2a_overlap" in note else profile


def _by_recipe(profile: FrameworkProfile, run: Run) -> FrameworkProfile:
    """The profile with the states of its own recipe, where a row on one device tells nothing that differs from it."""
    if (
        profile.published.recipe_states is None
        or run.recompute
        or run.sharding not in ("", "none")
        or (run.n_gpus or 1) > 1
    ):
        return profile
    return replace(
        profile, states=profile.published.recipe_states, adapter_states=profile.adapter_states or profile.states
    )


MUON_STATES = 8
"""Master weight and one momentum in fp32 (Muon, arXiv:2502.16982, section 2.1), where Adam has two moments."""


def _by_optimizer(profile: FrameworkProfile, run: Run) -> FrameworkProfile:
    """The profile with the states of Muon, where a row's note names it.

    Tables and norms keep Adam's; they are counted like the rest.
    """
    if "Muon" not in run.note.split():
        return profile
    states, fsdp = (
        replace(one, optimizer=min(one.optimizer, MUON_STATES)) for one in (profile.states, profile.fsdp_states)
    )
    return replace(profile, states=states, fsdp_states=fsdp)


def _by_precision(profile: FrameworkProfile, run: Run) -> FrameworkProfile:
    """The profile with the loss of automatic mixed precision where a fine-tuning row isn't sharded."""
    cast = profile.published.autocast_logits_bytes
    if cast is None or run.task in ("", "pretrain") or run_sharding(run, profile) > Sharding.NONE:
        return profile
    return replace(profile, logits_saved_bytes=cast)


USUAL_EXAMPLE = 512
"""Tokens that hardly any two successive micro-batches of instructions exceed; longer examples come one by one."""


def _by_adapter(profile: FrameworkProfile, run: Run) -> FrameworkProfile:
    """The profile with the kind of adapters that a row's note names: LLaMA-Adapter (arXiv:2303.16199) or its version 2.

    The first adds prompts to attention and touches no product; the second (arXiv:2304.15010, §3) scales and shifts the
    output of every linear layer, whose gradients need that output, and trains the norms.
    """
    previous = min(1.0, USUAL_EXAMPLE / (run.seq_len or USUAL_EXAMPLE)) * (profile.quantised_inputs - 1.0)
    profile = replace(profile, quantised_inputs=1.0 + previous) if profile.quantised_inputs > 1 else profile
    if run.model.lower().startswith(profile.published.adapts_all_linears_of):
        profile = replace(profile, adapts_all_linears=True, adapter_output_bytes=0)
    words = run.note.replace(";", " ").split()
    if "adapter" in words or "qadapter" in words:
        return replace(profile, adapter_input_bytes=0, adapter_output_bytes=0)
    if "adapter_v2" in words or "qadapter_v2" in words:
        return replace(
            profile, adapts_all_linears=True, adapter_input_bytes=0, adapter_output_bytes=2, adapters_train_norms=True
        )
    return profile


def _task(run: Run) -> str:
    """The row's task; the table files a LoRA on a quantised base under `lora` and says so in the note."""
    return "qlora" if run.task == "lora" and is_quantised(run) else run.task or "pretrain"


LONGEST_EXAMPLE = 1304
"""Tokens of the longest example of Alpaca with Llama's tokenizer (LitGPT, "Resource tables"): what fine-tuning without
packing takes at most, whatever the limit, where the data isn't told."""
LONG_PART = 0.25
"""Of the limit that the longest example takes at least: who allows many times that of instructions trains on longer
ones. An assumption."""
STRUNG_EXAMPLE = 256
"""Tokens of an example of instructions where a micro-batch of several has no padding: the mean of theirs, a little over
that of all (Alpaca's answers by GPT-4 have about 200)."""
FINE_TUNING_PASSES = 2
"""Micro-batches a step where a fine-tuning run doesn't tell its batch: scripts accumulate gradients by default, and for
memory one pass more is as good as sixteen."""
UNPACKED = ("no packing", "unpacked")


def _sequence(run: Run, profile: FrameworkProfile) -> int | None:
    """Tokens of a sequence: without packing those of the longest example, which pads the others, or of a usual one."""
    unpacked = run.task != "pretrain" and any(words in run.note for words in UNPACKED)
    if not unpacked or not run.seq_len:
        return run.seq_len
    longer = max(LONG_PART * run.seq_len / LONGEST_EXAMPLE, 1.0)
    return min(run.seq_len, int(longer * (LONGEST_EXAMPLE if profile.published.pads_batches else STRUNG_EXAMPLE)))


def _workload(run: Run, profile: FrameworkProfile, precision: str | None = None) -> Workload:
    precision, task = precision or run.precision or "bf16", _task(run)
    if precision not in PRECISIONS:
        raise WorkloadError(f"unknown precision {precision!r}; known are {', '.join(PRECISIONS)}")
    if task not in TASKS:
        raise WorkloadError(f"unknown task {task!r}; known are {', '.join(TASKS)}")
    seq_len = _sequence(run, profile)
    if seq_len is None:
        raise WorkloadError("sequence length unknown")
    passes = max(run.pp or 1, FINE_TUNING_PASSES * (task != "pretrain"))
    global_batch = run.global_batch or (run.micro_batch or 1) * (run.dp or 1) * passes
    tables = "trained embedding" in run.note
    return Workload(
        global_batch=global_batch, seq_len=seq_len, precision=precision, task=task, lora_tables=tables,
        moe_imbalance=profile.published.imbalance if task != "pretrain" and (run.ep or 1) > 1 else 1.0,
        lora_rank=_adapter_rank(run) or profile.published.adapter_rank,
        document_len=document_tokens(run) if profile.published.masks_documents else None,
        routing=profile.published.routing,
    )  # fmt: skip


def _adapter_rank(run: Run) -> int | None:
    """The rank that a row's note tells, as in `LoRA rank 32`."""
    found = re.search(r"rank (\d+)", run.note)
    return int(found[1]) if found else None
