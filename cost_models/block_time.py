"""Forward and backward time of a block on one device: what all kinds of blocks share.

A block is a column-parallel linear in front, a row-parallel one behind, and what lies between
(Megatron-LM, arXiv:1909.08053, §3; with sequence parallelism arXiv:2205.05198, §4.2).
"""

from dataclasses import dataclass, field

import numpy as np

from meshwright.cost_models.candidates import FloatColumn, RecomputeModules
from meshwright.cost_models.kernel_calls import KernelCalls, LinearTime
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import LayerTerm, TermTable, term_table

NORM_FORWARD_PASSES = 2.0
"""Reads and writes of the stream by one norm: read x, write y."""
NORM_BACKWARD_PASSES = 3.0
"""Read x and dy, write dx."""
RESIDUAL_PASSES = 3.0
"""Read both summands, write the sum (backward: the two gradients likewise)."""


@dataclass(frozen=True)
class BlockTime:
    """Seconds of one block for one micro-batch.

    Attributes:
        forward: (num_terms, num_shapes).
        backward: (num_terms, num_shapes), without recomputation.
        modules: Forward seconds (num_shapes,) of each module that selective recomputation can repeat.
        unread_forward: Of the forward seconds, (num_shapes,) those of a last product that no backward pass reads.
        weight_gradient: Of the backward seconds, (num_shapes,) those that nothing but the optimizer waits for.
    """

    forward: TermTable
    backward: TermTable
    modules: dict[RecomputeModules, FloatColumn] = field(default_factory=dict)
    weight_gradient: FloatColumn | float = 0.0
    unread_forward: FloatColumn | float = 0.0

    def __add__(self, other: "BlockTime") -> "BlockTime":
        return BlockTime(
            self.forward + other.forward,
            self.backward + other.backward,
            _summed(self.modules, other.modules),
            self.weight_gradient + other.weight_gradient,
            self.unread_forward + other.unread_forward,
        )


def _summed(
    one: dict[RecomputeModules, FloatColumn], other: dict[RecomputeModules, FloatColumn]
) -> dict[RecomputeModules, FloatColumn]:
    """Modules of both; a module that both have, such as the norm, takes both times."""
    both = {module: one[module] + other[module] for module in one.keys() & other.keys()}
    return one | other | both


def norm_and_residual(calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """The norm before a block and the residual addition behind it."""
    stream_bytes = shapes.stream_tokens * calls.job.architecture.hidden * calls.width
    excess = calls.job.framework.norm_traffic
    norm = calls.elementwise(NORM_FORWARD_PASSES * stream_bytes, excess)
    residual = calls.elementwise(RESIDUAL_PASSES * stream_bytes)
    backward = residual + calls.elementwise(NORM_BACKWARD_PASSES * stream_bytes, excess)
    return BlockTime(
        forward=term_table(len(shapes), elementwise=norm + residual),
        backward=term_table(len(shapes), elementwise=backward),
        modules={RecomputeModules.LAYERNORM: norm, RecomputeModules.OP: norm},
    )


def tensor_exchange(calls: KernelCalls, shapes: Shapes, first: LinearTime, readers: int = 1) -> BlockTime:
    """Tensor-parallel communication around a block whose column-parallel linear is `first`.

    Forward: all-reduce of the output, or with sequence parallelism all-gather of the input and reduce-scatter of the
    output. Backward: the same volume, and with sequence parallelism one more all-gather for the weight gradient.
    What runs beside products slows them. Without sequence parallelism, products that read the same input may each
    all-reduce a gradient of it (`separate_input_gradients`). Rings over several nodes are held up at every node
    (`collective_stall_s`).
    """
    hidden_bytes = shapes.tokens * calls.job.architecture.hidden * calls.width
    one = np.ones_like(shapes.tp)
    sp = shapes.sequence_parallel
    gather = np.where(sp, calls.all_gather(hidden_bytes, shapes.tp, one), 0.0)
    scatter = np.where(
        sp, calls.reduce_scatter(hidden_bytes, shapes.tp, one), calls.all_reduce(hidden_bytes, shapes.tp, one)
    )
    stall_s = border_stall_s(calls, shapes)
    gather, scatter = gather + sp * stall_s, scatter + stall_s
    profile = calls.job.framework
    slowdown = calls.training.overlap_slowdown
    exposed_share = 1.0 - (1.0 - slowdown) * profile.overlap_tensor_forward
    forward = (gather + scatter) * exposed_share
    if profile.overlap_tensor_backward:
        beside = np.maximum(gather - first.input_gradient, 0.0) + np.maximum(scatter - first.weight_gradient, 0.0)
        backward = gather * exposed_share + beside + slowdown * (gather + scatter - beside)
    else:
        backward = (1.0 if profile.keeps_gathered_sequence else 2.0) * gather + scatter
    backward = backward + np.where(sp, 0.0, (readers - 1) * profile.separate_input_gradients * scatter)
    size = len(shapes)
    return BlockTime(term_table(size, tensor_comm=forward), term_table(size, tensor_comm=backward))


def border_stall_s(calls: KernelCalls, shapes: Shapes) -> FloatColumn:
    """(num_shapes,) time by which nodes hold up one tensor-parallel collective; 0 where it stays within one."""
    nodes = shapes.tp / calls.job.cluster.devices_per_node
    return np.where(nodes > 1, nodes, 0.0) * calls.job.framework.collective_stall_s


def linear_block(
    calls: KernelCalls,
    shapes: Shapes,
    first: LinearTime,
    second: LinearTime,
    quantised: FloatColumn,
    quantised_backward: FloatColumn,
    readers: int = 1,
) -> BlockTime:
    """The two linears of a block, quantisation of their inputs and output gradients, and tensor-parallel exchange.

    Where a framework doesn't fuse them, `readers` products make up the first.
    """
    size = len(shapes)
    cast, cast_backward = calls.quantise(quantised), calls.quantise(quantised_backward)
    exchange = tensor_exchange(calls, shapes, first, readers)
    return exchange + BlockTime(
        forward=term_table(size, matmul=first.forward + second.forward, elementwise=cast),
        backward=term_table(size, matmul=first.backward + second.backward, elementwise=cast_backward),
        weight_gradient=first.weight_gradient + second.weight_gradient,
    )


def exposed_host_time(block: BlockTime, forward_host_s: FloatColumn, *, blocking: bool = False) -> BlockTime:
    """Adds the time that the device waits for the host to launch kernels.

    The host runs ahead, so that the device waits where launching is slower than running; or, `blocking`, it waits for
    every kernel, so that the device waits for each launch. The backward pass launches about one and a half times as
    many kernels and collectives: two products for each linear, one kernel for each other operation.
    """
    for terms, host_s in ((block.forward, forward_host_s), (block.backward, 1.5 * forward_host_s)):
        terms[LayerTerm.HOST] += host_s if blocking else np.maximum(host_s - terms.sum(axis=0), 0.0)
    return block
