"""Activation bytes of every kind of layer for every distinct shape."""

from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.architecture import Layer
from meshwright.cost_models.block_memory import BlockMemory, block_memory, gathered_bytes, norm_bytes, stream_bytes
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
        backward: (num_kinds, num_shapes) alive on top of that while a layer's backward pass runs, beside the gradient
            of the residual stream.
        last_projection: (num_kinds, num_shapes) parameters whose gradients exist at that moment.
        unread: (num_kinds, num_shapes) of what selection by operator keeps, bytes that the backward pass doesn't read.
        forward: (num_shapes,) alive on top at the end of a layer's forward pass.
        boundary: (num_shapes,) a layer's input: all that full recomputation keeps.
        head: (num_shapes,) kept by the final norm and the output layer.
        logits: (num_shapes,) alive at the loss.
        logits_gradient: (num_shapes,) of them, what the output layer's backward pass reads.
    """

    saved: TermTable
    module_saved: TermTable
    backward: TermTable
    last_projection: TermTable
    unread: TermTable
    forward: FloatColumn
    boundary: FloatColumn
    head: FloatColumn
    logits: FloatColumn
    logits_gradient: FloatColumn


def layer_memory(job: Job, shapes: Shapes) -> LayerMemory:
    """Activation bytes of every kind of layer and of the loss, for every shape."""
    kinds = job.architecture.layer_kinds
    blocks = [(block_memory(kind.mixer, job, shapes), block_memory(kind.mlp, job, shapes)) for kind in kinds]
    nothing = np.zeros(len(shapes))

    def module_bytes(module: RecomputeModules) -> list[FloatColumn]:
        return [sum((part.modules.get(module, nothing) for part in pair), nothing) for pair in blocks]

    logits = shapes.tokens * (job.architecture.vocab / shapes.tp)
    return LayerMemory(
        saved=np.stack([_saved(job, shapes, kind, pair) for kind, pair in zip(kinds, blocks, strict=True)]),
        module_saved=np.stack([module_bytes(module) for module in MODULES]),
        # The mixer's backward pass runs when all that the feed-forward block kept is gone.
        backward=np.stack([np.maximum(mlp.peak, mixer.peak - mlp.saved) for mixer, mlp in blocks]),
        last_projection=np.stack([mlp.last_projection + nothing for _, mlp in blocks]),
        unread=np.stack([mixer.unread + mlp.unread + nothing for mixer, mlp in blocks]),
        forward=_forward(job, shapes),
        boundary=stream_bytes(job, shapes),
        head=norm_bytes(job, shapes),
        logits=logits * np.where(shapes.tp > 1, parallel_logit_bytes(job), job.framework.logits_saved_bytes),
        logits_gradient=logits * job.workload.activation_bytes,
    )


def parallel_logit_bytes(job: Job) -> float:
    """Bytes per logit alive at the loss where tensor parallelism divides the vocabulary."""
    own = job.framework.parallel_logits_saved_bytes
    return job.framework.logits_saved_bytes if own is None else own


def _saved(job: Job, shapes: Shapes, kind: Layer, blocks: tuple[BlockMemory, BlockMemory]) -> FloatColumn:
    """What both blocks keep, and the inputs of norms beyond one a block (on the blocks' outputs)."""
    mixer, mlp = blocks
    more_norms = max(kind.num_norms - (kind.mixer is not None) - (kind.mlp is not None), 0)
    return mixer.saved + mlp.saved + more_norms * stream_bytes(job, shapes)


def _forward(job: Job, shapes: Shapes) -> FloatColumn:
    """A block's output and the residual stream after it; sequence parallelism scatters the output first.

    DTensor copies the output in the order of the ranks before that, and the caller still has the block's divided input.
    """
    stream, whole = stream_bytes(job, shapes), gathered_bytes(job, shapes)
    scattered = 2.0 * whole + stream if job.framework.keeps_gathered_sequence else whole
    return stream + np.where(shapes.sequence_parallel, scattered, stream)


def kept_bytes(memory: LayerMemory, modules: int) -> TermTable:
    """Bytes (num_kinds, num_shapes) that a layer keeps when `modules` (bits) are recomputed.

    Modules that contain each other (the activation within the feed-forward block) are not subtracted twice.
    """
    if modules & (RecomputeModules.MLP | RecomputeModules.MOE):
        modules &= ~RecomputeModules.MLP_ACT
    chosen = [index for index, module in enumerate(MODULES) if modules & module]
    dropped = memory.module_saved[chosen].sum(axis=0) if chosen else 0.0
    return np.maximum(memory.saved - dropped, memory.boundary)
