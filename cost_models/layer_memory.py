"""Activation bytes of every kind of layer for every distinct shape."""

from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.block_memory import block_memory
from meshwright.cost_models.candidates import FloatColumn, RecomputeModules
from meshwright.cost_models.job import Job
from meshwright.cost_models.layer_time import MODULES
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import TermTable


@dataclass(frozen=True)
class LayerMemory:
    """Bytes for one micro-batch.

    Attributes:
        saved: (num_kinds, num_shapes) kept without recomputation.
        module_saved: (num_modules, num_kinds, num_shapes) not kept if the module is recomputed, in order of `MODULES`.
        peak: (num_kinds, num_shapes) gradients alive at once during a layer's backward pass.
        boundary: (num_shapes,) a layer's input: all that full recomputation keeps.
        logits: (num_shapes,) alive at the loss.
    """

    saved: TermTable
    module_saved: TermTable
    peak: TermTable
    boundary: FloatColumn
    logits: FloatColumn


def layer_memory(job: Job, shapes: Shapes) -> LayerMemory:
    """Activation bytes of every kind of layer and of the loss, for every shape."""
    blocks = [
        (block_memory(kind.mixer, job, shapes), block_memory(kind.mlp, job, shapes))
        for kind in job.architecture.layer_kinds
    ]
    nothing = np.zeros(len(shapes))

    def module_bytes(module: RecomputeModules) -> list[FloatColumn]:
        return [sum((part.modules.get(module, nothing) for part in pair), nothing) for pair in blocks]

    return LayerMemory(
        saved=np.stack([mixer.saved + mlp.saved for mixer, mlp in blocks]),
        module_saved=np.stack([module_bytes(module) for module in MODULES]),
        peak=np.stack([np.maximum(mixer.peak, mlp.peak) + nothing for mixer, mlp in blocks]),
        boundary=shapes.stream_tokens * job.architecture.hidden * job.workload.activation_bytes,
        logits=shapes.tokens * (job.architecture.vocab / shapes.tp) * job.framework.logits_saved_bytes,
    )


def kept_bytes(memory: LayerMemory, modules: int) -> TermTable:
    """Bytes (num_kinds, num_shapes) that a layer keeps when `modules` (bits) are recomputed.

    Modules that contain each other (the activation within the feed-forward block) are not subtracted twice.
    """
    if modules & (RecomputeModules.MLP | RecomputeModules.MOE):
        modules &= ~RecomputeModules.MLP_ACT
    chosen = [index for index, module in enumerate(MODULES) if modules & module]
    dropped = memory.module_saved[chosen].sum(axis=0) if chosen else 0.0
    return np.maximum(memory.saved - dropped, memory.boundary)
