"""Parameters that one device holds of every kind of layer, of the embedding and of the output layer."""

from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.architecture import Attention, DenseMlp, LatentAttention, Layer, MoeMlp
from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.job import Job
from meshwright.cost_models.parameters import layer_parameters
from meshwright.cost_models.shapes import Shapes
from meshwright.cost_models.terms import TermTable


@dataclass(frozen=True)
class LayerParameters:
    """Parameters on one device.

    Attributes:
        dense: (num_kinds, num_shapes) all but routed experts.
        expert: (num_kinds, num_shapes) routed experts.
        adapter: (num_kinds, num_shapes) low-rank adapters, for LoRA; zero otherwise.
        embedding: (num_shapes,) input side.
        output: (num_shapes,) output side where it isn't tied, or where it lies on another stage than the embedding.
        tied_output: (num_shapes,) output side on the same device as a tied embedding.
    """

    dense: TermTable
    expert: TermTable
    adapter: TermTable
    embedding: FloatColumn
    output: FloatColumn
    tied_output: FloatColumn


def device_parameters(job: Job, shapes: Shapes) -> LayerParameters:
    """Parameters that one device holds, by kind of layer and shape."""
    arch = job.architecture
    counts = [layer_parameters(kind, arch.hidden) for kind in arch.layer_kinds]
    kv_ranks = [np.minimum(shapes.tp, _kv_heads(kind)) for kind in arch.layer_kinds]
    dense = [c.sharded / shapes.tp + c.kv / kv + c.replicated for c, kv in zip(counts, kv_ranks, strict=True)]
    expert = [c.expert / (shapes.ep * shapes.etp) for c in counts]
    multiple = job.framework.vocab_multiple
    vocab_rows = np.ceil(arch.vocab / (multiple * shapes.tp)) * multiple
    table = vocab_rows * arch.hidden
    replicated = arch.learned_positions * arch.hidden + arch.embedding_norm_params
    tied_output = np.full(len(shapes), float(arch.final_norm_params))
    return LayerParameters(
        dense=np.stack(dense),
        expert=np.stack(expert),
        adapter=np.stack([_adapter_parameters(job, shapes, kind) for kind in arch.layer_kinds]),
        embedding=table + replicated,
        output=table + tied_output,
        tied_output=tied_output if arch.tied_embeddings else table + tied_output,
    )


def _kv_heads(kind: Layer) -> int:
    return kind.mixer.num_kv_heads if isinstance(kind.mixer, Attention) else 1


def _adapter_parameters(job: Job, shapes: Shapes, kind: Layer) -> FloatColumn:
    """LoRA (arXiv:2106.09685): rank·(in + out) for every linear of the layer, of routed experts where they have any."""
    if not job.workload.trains_adapters:
        return np.zeros(len(shapes))
    hidden, dims = job.architecture.hidden, 0
    if isinstance(kind.mixer, Attention):
        inputs = 1 if job.framework.fused_values else 3
        dims += (1 + inputs) * hidden + 2 * kind.mixer.query_dim + 2 * kind.mixer.kv_dim
    elif isinstance(kind.mixer, LatentAttention):
        heads = kind.mixer.num_heads
        dims += 2 * hidden + kind.mixer.kv_lora_rank + (kind.mixer.q_lora_rank or 0)
        dims += heads * (kind.mixer.qk_head_dim + kind.mixer.qk_nope_head_dim + 2 * kind.mixer.v_head_dim)
    if isinstance(kind.mlp, DenseMlp):
        dims += kind.mlp.num_projections * (hidden + kind.mlp.ffn_hidden)
    experts = np.zeros(len(shapes))
    if isinstance(kind.mlp, MoeMlp) and job.framework.adapts_experts:
        gate_and_up = hidden + (kind.mlp.num_projections - 1) * kind.mlp.expert_ffn_hidden
        down = kind.mlp.expert_ffn_hidden + hidden
        experts = kind.mlp.num_experts / (shapes.ep * shapes.etp) * (gate_and_up + down)
    return np.asarray(job.workload.lora_rank * (dims + experts), dtype=np.float64)
