"""Forward and backward time of mixtures of experts: router, exchange, reordering and the experts themselves."""

from dataclasses import replace

import numpy as np

from meshwright.cost_models.architecture import MoeMlp
from meshwright.cost_models.block_time import BlockTime, norm_and_residual
from meshwright.cost_models.candidates import FloatColumn, RecomputeModules
from meshwright.cost_models.feed_forward_time import dense_feed_forward, feed_forward
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import term_table


def copies_sent(calls: KernelCalls, shapes: Shapes, block: MoeMlp) -> FloatColumn:
    """Share of a token's top_k copies that leave its domain where each domain gets one at most.

    DeepEP sends a token once to every node that holds some of its experts, where NVLink passes it on, and within a node
    once to every device.
    """
    extent = calls.job.cluster.filled_levels[0].extent if calls.job.cluster.levels else 1
    nodes = np.maximum(shapes.ep * shapes.etp / extent, 1.0)
    domains = np.where(nodes > 1.0, nodes, shapes.ep)
    if calls.job.workload.routing == "consecutive":
        return np.maximum(domains / block.num_experts, 1.0 / block.top_k)
    return np.asarray(domains_reached(domains, block) / block.top_k)


def domains_reached(domains: FloatColumn, block: MoeMlp) -> FloatColumn:
    """How many of d domains, over which the experts are spread, hold some of a token's.

    Of k experts drawn evenly from d domains d·(1 - (1 - 1/d)^k) are distinct. Where a token stays within g of G groups
    of experts, those lie in as many domains at most, or k/g of its experts are drawn from the domains of each group.
    """

    def distinct(extent: FloatColumn, drawn: float) -> FloatColumn:
        return np.asarray(extent * (1.0 - (1.0 - 1.0 / extent) ** drawn))

    groups, chosen = block.num_groups, block.top_k_groups
    per_group = np.maximum(domains / groups, 1.0)
    limited = np.where(
        domains >= groups, chosen * distinct(per_group, block.top_k / chosen), distinct(domains, float(chosen))
    )
    return limited if groups > chosen else distinct(domains, float(block.top_k))


def expert_exchange(calls: KernelCalls, shapes: Shapes, block: MoeMlp) -> FloatColumn:
    """Dispatch and combine of one pass: all-to-all over expert ranks, gather and scatter over expert-tensor ranks.

    An all-gather dispatcher gives all tokens to all of these ranks instead, and adds up what comes back.
    """
    profile, one = calls.job.framework, np.ones_like(shapes.etp)
    token_bytes = shapes.expert_tokens * calls.job.architecture.hidden * calls.width
    if profile.gathers_tokens:
        ranks = shapes.ep * shapes.etp
        return calls.all_gather(token_bytes * ranks, ranks, one) + calls.reduce_scatter(token_bytes * ranks, ranks, one)
    local_bytes = token_bytes * block.top_k * calls.job.workload.moe_imbalance
    copies = copies_sent(calls, shapes, block) if profile.expert_copies_once else 1.0
    exchange = 2 * calls.all_to_all(local_bytes * copies, shapes.ep, shapes.etp)
    gathered = local_bytes * shapes.etp
    tensor = calls.all_gather(gathered, shapes.etp, one) + calls.reduce_scatter(gathered, shapes.etp, one)
    overlap = 1.0 if calls.fuses_experts else profile.overlap_expert
    hidden_share = (1.0 - calls.training.overlap_slowdown) * overlap
    return exchange * (1.0 - hidden_share) + tensor


GATHERED_FORWARD_PASSES = (14.0, 3.0)
"""Passes over the copies that a device's experts take, and over its tokens, of Megatron-Core's all-gather dispatcher
(0.8, token_dispatcher.py), which is made of operators: gather by device 2, gather by expert 2, zeros 1, scatter into a
copy of them 4, scores 2, scatter-add 3; zeros and their copy 3."""
GATHERED_BACKWARD_PASSES = (17.0, 1.0)
"""The same backward: of the scatter-add 2, of scores and their sum 6, of the scatter 2, of the two gathers zeros 1 and
scatter-adds 6; zeros 1."""


def permutation(calls: KernelCalls, shapes: Shapes, block: MoeMlp) -> tuple[FloatColumn, FloatColumn]:
    """Reordering of routed copies by expert and back, in the forward and in the backward pass.

    Fused kernels read and write once each: a token is read for its top_k copies, and what arrives, from all ranks that
    divide the experts' tensors, is sorted once more by local expert. Dispatchers that send a token once (DeepEP) leave
    one reordering: of what arrived, to one copy for every expert.
    """
    top_k, profile = block.top_k, calls.job.framework
    copies = shapes.expert_tokens * top_k * calls.job.workload.moe_imbalance
    copy_bytes = copies * calls.job.architecture.hidden * calls.width
    if profile.gathers_tokens:
        taken_bytes = copy_bytes * shapes.etp
        forward, backward = (
            calls.stream((of_copies + of_tokens / top_k) * taken_bytes)
            for of_copies, of_tokens in (GATHERED_FORWARD_PASSES, GATHERED_BACKWARD_PASSES)
        )
        return forward, backward
    if profile.expert_copies_once:
        passes = 1.0 + copies_sent(calls, shapes, block)
    else:
        arrives = (shapes.ep * shapes.etp > 1) & (block.num_experts > shapes.ep)
        passes = 1.0 + 1.0 / top_k + np.where(arrives, 2.0 * shapes.etp, 0.0)
    either_way = calls.elementwise(2.0 * passes * copy_bytes)
    return either_way, either_way


def expert_time(block: MoeMlp, calls: KernelCalls, shapes: Shapes) -> BlockTime:
    """A mixture of experts with its norm and residual."""
    hidden, size = calls.job.architecture.hidden, len(shapes)
    local_experts = block.num_experts / shapes.ep
    routed = shapes.expert_tokens * shapes.etp * block.top_k * calls.job.workload.moe_imbalance
    ffn = block.expert_ffn_hidden / shapes.etp
    up, down, activation, activation_backward = feed_forward(
        calls, routed / local_experts, ffn, gated=block.gated,
        groups=local_experts,
    )  # fmt: skip
    router = calls.linear(
        shapes.expert_tokens, hidden, float(block.num_experts), precision="bf16", adapts=False, is_quantised=False
    )
    permute, permute_backward = permutation(calls, shapes, block)
    cast_apart = routed * (not calls.fuses_experts)
    cast = calls.quantise(cast_apart * (hidden + ffn))
    cast_backward = calls.quantise(cast_apart * (hidden + ffn * (2 if block.gated else 1)))
    exchange = expert_exchange(calls, shapes, block)
    expert_forward = up.forward + down.forward + activation
    experts = BlockTime(
        forward=term_table(
            size,
            matmul=up.forward + down.forward + router.forward,
            elementwise=activation + permute + cast,
            expert_comm=exchange,
        ),
        backward=term_table(
            size,
            matmul=up.backward + down.backward + router.backward,
            elementwise=activation_backward + permute_backward + cast_backward,
            expert_comm=exchange,
        ),
        modules={
            RecomputeModules.MLP_ACT: activation,
            RecomputeModules.MOE: expert_forward + permute + cast + exchange,
        },
        weight_gradient=up.weight_gradient + down.weight_gradient + router.weight_gradient,
    )
    total = norm_and_residual(calls, shapes) + experts
    if block.shared_ffn_hidden:
        shared = dense_feed_forward(calls, shapes, block.shared_ffn_hidden, gated=block.gated)
        total += replace(shared, modules={})
    return total
