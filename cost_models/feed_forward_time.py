"""Forward and backward time of dense feed-forward blocks."""

from dataclasses import replace

import numpy as np

from meshwright.cost_models.architecture import DenseMlp
from meshwright.cost_models.block_time import BlockTime, linear_block, norm_and_residual
from meshwright.cost_models.candidates import FloatColumn, RecomputeModules
from meshwright.cost_models.kernel_calls import KernelCalls, LinearTime
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import term_table


def activation_passes(*, gated: bool) -> tuple[float, float]:
    """Tensors of the inner width that an activation function reads and writes: forward, backward."""
    return (3.0, 5.0) if gated else (2.0, 3.0)


def feed_forward(
    calls: KernelCalls,
    tokens: FloatColumn,
    ffn: FloatColumn,
    *,
    gated: bool,
    groups: FloatColumn | int = 1,
) -> tuple[LinearTime, LinearTime, FloatColumn, FloatColumn]:
    """Up (with gate) and down projections on `tokens` rows a group, and both passes of the activation function."""
    hidden = calls.job.architecture.hidden
    everywhere = calls.job.framework.adapts_all_linears
    up = calls.linear(tokens, hidden, ffn * (2 if gated else 1), groups, adapts=everywhere)
    down = calls.linear(tokens, ffn, hidden, groups, adapts=everywhere)
    forward_passes, backward_passes = activation_passes(gated=gated)
    inner_bytes = tokens * np.asarray(groups) * ffn * calls.width
    return up, down, calls.elementwise(forward_passes * inner_bytes), calls.elementwise(backward_passes * inner_bytes)


def dense_feed_forward(calls: KernelCalls, shapes: Shapes, ffn_hidden: int, *, gated: bool) -> BlockTime:
    """A tensor-parallel feed-forward block without norm and residual."""
    ffn = ffn_hidden / shapes.tp
    up, down, activation, activation_backward = feed_forward(calls, shapes.tokens, ffn, gated=gated)
    size = len(shapes)
    hidden, up_dim = calls.job.architecture.hidden, ffn * (2 if gated else 1)
    products = linear_block(
        calls, shapes, up, down, shapes.tokens * (hidden + ffn), shapes.tokens * (hidden + up_dim), 2 if gated else 1
    )  # fmt: skip
    return products + BlockTime(
        forward=term_table(size, elementwise=activation),
        backward=term_table(size, elementwise=activation_backward),
        modules={
            RecomputeModules.MLP_ACT: activation,
            RecomputeModules.MLP: up.forward + down.forward + activation,
            # Of gate, up and down, operators 5 to 7, the up projection runs again; of up and down, 5 and 6, the last.
            RecomputeModules.OP: activation + (up.forward / 2 if gated else down.forward),
        },
    )


def dense_time(block: DenseMlp, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """A dense feed-forward block with its norm and residual."""
    down = calls.linear(shapes.tokens, block.ffn_hidden / shapes.tp, calls.job.architecture.hidden)
    block_s = dense_feed_forward(calls, shapes, block.ffn_hidden, gated=block.gated)
    return norm_and_residual(calls, shapes) + replace(block_s, unread_forward=down.forward)
