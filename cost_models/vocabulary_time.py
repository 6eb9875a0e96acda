"""Forward and backward time of the ends of a model: embedding, and output layer with its loss."""

import numpy as np

from meshwright.cost_models.block_time import BlockTime, norm_and_residual
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import term_table


def output_time(calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """Final norm, output layer over the padded vocabulary's tp share, and the loss."""
    job, size = calls.job, len(shapes)
    vocab = job.architecture.vocab / shapes.tp
    precision = "bf16" if calls.is_low_precision else None
    head = calls.linear(
        shapes.tokens, job.architecture.hidden, vocab, precision=precision, adapts=False, is_quantised=False
    )
    hidden_bytes = shapes.tokens * job.architecture.hidden * calls.width
    gather = calls.all_gather(hidden_bytes, shapes.tp, np.ones_like(shapes.tp))
    loss = calls.elementwise(job.framework.loss_traffic_bytes / 2 * shapes.tokens * vocab)
    return norm_and_residual(calls, shapes) + BlockTime(
        forward=term_table(size, matmul=head.forward, elementwise=loss, tensor_comm=gather),
        backward=term_table(size, matmul=head.backward, elementwise=loss, tensor_comm=gather),
        weight_gradient=head.weight_gradient,
    )


def embedding_time(calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """Table look-up and its scattered gradient, with the tensor-parallel reduction of the looked-up rows."""
    hidden_bytes = shapes.tokens * calls.job.architecture.hidden * calls.width
    lookup = calls.elementwise(2 * hidden_bytes)
    reduce = calls.reduce_scatter(hidden_bytes, shapes.tp, np.ones_like(shapes.tp))
    table = term_table(len(shapes), elementwise=lookup, tensor_comm=reduce)
    return BlockTime(table, table.copy())
