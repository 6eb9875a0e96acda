"""Time of every kind of layer for every distinct shape: what stages add up."""

from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.architecture import (
    Attention,
    DenseMlp,
    LatentAttention,
    Layer,
    Mixer,
    Mlp,
    MoeMlp,
    StateSpace,
)
from meshwright.cost_models.block_time import BlockTime, exposed_host_time
from meshwright.cost_models.candidates import FloatColumn, RecomputeModules
from meshwright.cost_models.expert_time import expert_time
from meshwright.cost_models.feed_forward_time import dense_time
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.mixer_time import attention_time, latent_attention_time, state_space_time
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import TermTable, term_table
from meshwright.cost_models.vocabulary_time import embedding_time, output_time

EXPERT_KERNELS = 2.0
"""Kernels of a MoE layer relative to a dense one: router, top-k, permutes and exchanges come on top. An estimate,
not counted."""
MODULES = tuple(RecomputeModules)


@dataclass(frozen=True)
class LayerTimes:
    """Seconds for one micro-batch.

    Attributes:
        forward: (num_kinds, num_terms, num_shapes).
        backward: (num_kinds, num_terms, num_shapes), without recomputation.
        repeated_forward: (num_kinds, num_shapes) forward seconds that full recomputation repeats.
        module_forward: (num_modules, num_kinds, num_shapes) forward seconds that selective recomputation repeats, by
            module in the order of `MODULES`.
        weight_gradient: (num_kinds, num_shapes) of the backward seconds those of weight gradients.
        embedding: Forward and backward of the input embedding.
        output: Forward and backward of final norm, output layer and loss.
    """

    forward: TermTable
    backward: TermTable
    repeated_forward: TermTable
    module_forward: TermTable
    weight_gradient: TermTable
    embedding: BlockTime
    output: BlockTime


def layer_times(calls: KernelCalls, shapes: Shapes) -> LayerTimes:
    """Time of every kind of layer, of the embedding and of the output layer, for every shape."""
    kinds = [_layer_time(calls, shapes, kind) for kind in calls.job.architecture.layer_kinds]
    no_time, early = np.zeros(len(shapes)), calls.job.framework.recompute_stops_early
    return LayerTimes(
        forward=np.stack([kind.forward for kind in kinds]),
        backward=np.stack([kind.backward for kind in kinds]),
        repeated_forward=np.stack([kind.forward.sum(axis=0) - early * kind.unread_forward for kind in kinds]),
        module_forward=np.stack([[kind.modules.get(m, no_time) for kind in kinds] for m in MODULES]),
        weight_gradient=np.stack([kind.weight_gradient + no_time for kind in kinds]),
        embedding=embedding_time(calls, shapes),
        output=output_time(calls, shapes),
    )


def block_time(block: Mixer | Mlp | None, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """Time of one mixer or feed-forward block with its norm and residual; None takes no time."""
    match block:
        case Attention():
            return attention_time(block, calls, shapes)
        case LatentAttention():
            return latent_attention_time(block, calls, shapes)
        case StateSpace():
            return state_space_time(block, calls, shapes)
        case DenseMlp():
            return dense_time(block, calls, shapes)
        case MoeMlp():
            return expert_time(block, calls, shapes)
        case None:
            return BlockTime(term_table(len(shapes)), term_table(len(shapes)))


def _layer_time(calls: KernelCalls, shapes: Shapes, layer: Layer) -> BlockTime:
    profile = calls.job.framework
    blocks = block_time(layer.mixer, calls, shapes) + block_time(layer.mlp, calls, shapes)
    halves = ((layer.mixer is not None) + (layer.mlp is not None)) / 2
    launched = profile.kernels_per_layer * halves * (EXPERT_KERNELS if isinstance(layer.mlp, MoeMlp) else 1.0)
    per_layer_s = launched * profile.host_launch_s
    collectives_s = halves * profile.kernels_per_collective * forward_collectives(shapes) * profile.host_launch_s
    hooks_s = halves * profile.shard_hooks_s * shapes.hooked.astype(np.float64)
    host_s = (per_layer_s + collectives_s + hooks_s) * calls.training.host_launch_ratio
    waits = host_s + halves * stall_s(calls, shapes)
    return exposed_host_time(blocks, waits, blocking=profile.blocking_launches)


def forward_collectives(shapes: Shapes) -> FloatColumn:
    """(num_shapes,) tensor-parallel collectives of a layer's forward pass: two, or four under SP."""
    return np.where(shapes.tp > 1, np.where(shapes.sequence_parallel, 4.0, 2.0), 0.0)


def stall_s(calls: KernelCalls, shapes: Shapes) -> FloatColumn:
    """(num_shapes,) host time by which a layer's forward collectives are held up."""
    collectives = forward_collectives(shapes) * shapes.tp * shapes.stages_apart
    return np.asarray(collectives * calls.job.framework.collective_stall_s, dtype=np.float64)


def recomputed_module_time(times: LayerTimes, modules: int) -> FloatColumn:
    """Forward seconds (num_kinds, num_shapes) that one set of `RecomputeModules` bits repeats."""
    if modules & (RecomputeModules.MLP | RecomputeModules.MOE):
        modules &= ~RecomputeModules.MLP_ACT  # contained in them
    chosen = [index for index, module in enumerate(MODULES) if modules & module]
    return np.asarray(times.module_forward[chosen].sum(axis=0))
