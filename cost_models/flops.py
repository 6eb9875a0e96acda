"""Model FLOPs: what the mathematics needs, whatever the plan. MFU is these over time and peak."""

from functools import lru_cache

from meshwright.cost_models.architecture import Architecture, Attention, LatentAttention, MoeMlp
from meshwright.cost_models.mixer_time import score_fraction
from meshwright.cost_models.parameters import block_parameters, layer_parameters
from meshwright.cost_models.workload import Workload


@lru_cache(maxsize=256)
def forward_flops_per_token(architecture: Architecture, seq_len: int) -> float:
    """FLOPs of one token's forward pass: two per multiplied weight, and causal attention scores and values.

    PaLM's count (arXiv:2204.02311, appendix B) with attention halved for causality; norms, activations and the
    embedding look-up don't count, the output layer does.
    """
    hidden = architecture.hidden
    total = 2.0 * hidden * architecture.vocab * (1 + len(architecture.mtp_layers))
    for layer in (*architecture.layers, *architecture.mtp_layers):
        count = layer_parameters(layer, hidden)
        weights = float(count.total - layer.norm_params)
        if isinstance(layer.mlp, MoeMlp):
            expert = block_parameters(layer.mlp, hidden).expert
            weights -= expert - expert * layer.mlp.top_k / layer.mlp.num_experts
        total += 2.0 * weights
        if isinstance(layer.mixer, Attention):
            mixer = layer.mixer
            total += 4.0 * mixer.query_dim * seq_len * score_fraction(mixer.window, seq_len)
        elif isinstance(layer.mixer, LatentAttention):
            dims = layer.mixer.num_heads * (layer.mixer.qk_head_dim + layer.mixer.v_head_dim)
            total += 2.0 * dims * seq_len * score_fraction(None, seq_len)
    return total


def step_flops(architecture: Architecture, workload: Workload) -> float:
    """FLOPs of one training step: forward, and twice as much backward (once, where the base model is frozen)."""
    passes = 2.0 if workload.trains_adapters else 3.0
    return passes * workload.tokens * forward_flops_per_token(architecture, workload.seq_len)
