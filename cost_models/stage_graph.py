"""The operations of one micro-batch on one device, with the tensors that they make and read.

Each layer's forward pass, the loss, and the backward pass in the order in which autograd runs it: of a linear layer the
gradient of its input first, then that of its weight. The tensors between the passes are those that `block_memory`
counts, one by one; those within a pass are the inputs and outputs of its kernels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from meshwright.cost_models.architecture import Attention, DenseMlp, Layer
from meshwright.cost_models.block_memory import STATISTIC_BYTES, gathered_bytes, scores_memory, stream_bytes
from meshwright.cost_models.frozen_memory import norm_element_bytes
from meshwright.cost_models.job import Job
from meshwright.cost_models.layer_memory import layer_memory
from meshwright.cost_models.shapes import Shapes
from meshwright.errors import MissingDataError


@dataclass(frozen=True, slots=True)
class Operation:
    """One kernel, or a few that never run apart.

    Attributes:
        name: Such as `layer 3 attention` or `layer 3 up weight gradient`.
        reads: Tensors that must be there.
        makes: Tensors that are there afterwards.
    """

    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]


@dataclass
class StageGraph:
    """Operations in the framework's own order.

    Attributes:
        operations: In an order that may run.
        size_bytes: Of each tensor.
        given: Tensors that are there from the start.
        kept: Tensors that must be there at the end.
    """

    operations: list[Operation] = field(default_factory=list)
    size_bytes: dict[str, float] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def run(self, name: str, reads: str, makes: Mapping[str, float]) -> None:
        """Appends an operation that reads tensors (names between commas) and makes others of these sizes."""
        self.operations.append(Operation(name, tuple(each.strip() for each in reads.split(",")), tuple(makes)))
        self.size_bytes.update(makes)


def stage_graph(job: Job, shapes: Shapes, layers: tuple[Layer, ...], *, with_loss: bool) -> StageGraph:
    """The operations of a stage.

    Args:
        job: The job.
        shapes: One shape.
        layers: The stage's layers.
        with_loss: Whether the output layer and the loss follow them; else a gradient comes from the next stage.

    Raises:
        MissingDataError: A layer isn't attention with a dense feed-forward block.
    """
    graph = StageGraph()
    passes = [_LayerPass(job, shapes, graph, number, layer) for number, layer in enumerate(layers)]
    stream = float(stream_bytes(job, shapes)[0])
    graph.given.append("x0")
    graph.size_bytes["x0"] = stream
    for each in passes:
        each.forward()
    if with_loss:
        _add_loss(job, shapes, graph, len(layers))
    else:
        graph.given.append(f"x{len(layers)}'")
        graph.size_bytes[f"x{len(layers)}'"] = stream
    for each in reversed(passes):
        each.backward()
    graph.kept.append("x0'")
    return graph


def _add_loss(job: Job, shapes: Shapes, graph: StageGraph, last: int) -> None:
    memory = layer_memory(job, shapes)
    normed, stream = _normed_bytes(job, shapes), float(stream_bytes(job, shapes)[0])
    rows = float(shapes.stream_tokens[0]) * STATISTIC_BYTES
    graph.run("final norm", f"x{last}", {"normed": normed, "normed stat": rows})
    graph.run("output layer", "normed", {"logits": float(memory.logits[0])})
    graph.run("loss", "logits", {"logits'": float(memory.logits_gradient[0])})
    graph.run("output layer gradient", "logits'", {"normed'": float(gathered_bytes(job, shapes)[0])})
    table = job.architecture.vocab / float(shapes.tp[0]) * job.architecture.hidden
    _add_weight_gradient(job, graph, "output layer", "logits', normed", table)
    graph.run("final norm gradient", f"normed', x{last}, normed stat", {f"x{last}'": stream})


def _normed_bytes(job: Job, shapes: Shapes) -> float:
    output = gathered_bytes if job.framework.keeps_gathered_sequence else stream_bytes
    return float(output(job, shapes)[0])


def _add_weight_gradient(job: Job, graph: StageGraph, name: str, reads: str, parameters: float) -> None:
    """The weight gradient, and where it isn't fused the addition to the buffer that all micro-batches share."""
    if job.framework.gradient_accumulate_bytes:
        made = {f"{name} w'": parameters * job.workload.activation_bytes}
        graph.run(f"{name} weight gradient", reads, made)
        graph.run(f"{name} accumulate", f"{name} w'", {})
    else:
        graph.run(f"{name} weight gradient", reads, {})


class _LayerPass:
    """Both passes of one layer; tensors are named after it, gradients with a dash."""

    def __init__(self, job: Job, shapes: Shapes, graph: StageGraph, number: int, layer: Layer) -> None:
        if not isinstance(layer.mixer, Attention) or not isinstance(layer.mlp, DenseMlp):
            what = f"{type(layer.mixer).__name__} with {type(layer.mlp).__name__}"
            raise MissingDataError(f"no operation graph of {what} ({job.architecture.name}, layer {number})")
        self.job, self.graph, self.number = job, graph, number
        self.attention, self.mlp = layer.mixer, layer.mlp
        tp, width, tokens = float(shapes.tp[0]), job.workload.activation_bytes, float(shapes.tokens[0])
        self.stream, self.gathered = float(stream_bytes(job, shapes)[0]), float(gathered_bytes(job, shapes)[0])
        self.normed = _normed_bytes(job, shapes)
        width = job.workload.activation_bytes
        self.upcast = self.stream * max(norm_element_bytes(job) - width, 0.0) / width
        self.statistic = float(shapes.stream_tokens[0]) * STATISTIC_BYTES
        heads = self.attention.num_heads / tp
        key = tokens * max(self.attention.num_kv_heads / tp, 1.0) * self.attention.head_dim * width
        self.query = tokens * heads * self.attention.head_dim * width
        self.qkv = self.query * (2 if self.attention.output_gate else 1) + 2 * key
        self.qk_normed = self.query + key if self.attention.qk_norm_params else 0.0
        self.scores = float(scores_memory(job, shapes, np.full(1, heads))[0])
        self.inner = tokens * self.mlp.ffn_hidden / tp * width
        self.weights = self._weights(tp)

    def _weights(self, tp: float) -> dict[str, float]:
        """Parameters of each matrix on one device."""
        hidden, attention = self.job.architecture.hidden, self.attention
        up = self.mlp.ffn_hidden * (2 if self.mlp.gated else 1)
        return {
            "qkv": hidden * (attention.query_dim + 2 * attention.kv_dim) / tp,
            "projection": hidden * attention.query_dim / tp,
            "up": hidden * up / tp,
            "down": hidden * self.mlp.ffn_hidden / tp,
        }

    def _run(self, name: str, reads: str, **makes: float) -> None:
        """An operation of this layer; `@` in a tensor's name stands for the layer, a trailing `_` for a dash."""
        named = {self._named(tensor): size for tensor, size in makes.items() if size}
        known = [self._named(each.strip()) for each in reads.split(",")]
        sizes = self.graph.size_bytes
        self.graph.run(f"layer {self.number} {name}", ", ".join(each for each in known if each in sizes), named)

    def _named(self, tensor: str) -> str:
        name = tensor.replace("_", "'")
        if name.startswith("next"):
            return f"x{self.number + 1}{name[4:]}"
        return f"x{self.number}{name[1:]}" if name.startswith("x") else f"{name} {self.number}"

    def _linear_gradient(self, matrix: str, output: str, read: str, **makes: float) -> None:
        """The gradient of a linear layer's input, then that of its weight."""
        self._run(f"{matrix} gradient", output, **makes)
        reads = f"{self._named(output)}, {self._named(read)}"
        _add_weight_gradient(self.job, self.graph, f"layer {self.number} {matrix}", reads, self.weights[matrix])

    def forward(self) -> None:
        """The forward pass."""
        mask = self.stream / self.job.workload.activation_bytes if self.job.framework.dropout else 0.0
        kept, gated = self.job.framework.gated_activation_saved, self.mlp.gated
        self._run("norm", "x", n=self.normed, nstat=self.statistic, nup=self.upcast)
        self._run("qkv", "n", qkv=self.qkv)
        if self.qk_normed:
            self._run("qk norm", "qkv", qknormed=self.qk_normed)
        self._run("attention", "qkv, qknormed", o=self.query, ostat=self.scores)
        self._run("projection", "o", p=self.stream)
        self._run("add", "x, p", y=self.stream, pmask=mask)
        self._run("feed-forward norm", "y", m=self.normed, mstat=self.statistic, mup=self.upcast)
        self._run("up", "m", u=self.inner * (2 if gated else 1))
        self._run("activation", "u", a=self.inner, silu=self.inner if gated and kept >= 4 else 0.0)
        self._run("down", "a", d=self.stream)
        self._run("feed-forward add", "y, d", next=self.stream, dmask=mask)

    def backward(self) -> None:
        """The backward pass: the gradient of `next` comes in, that of `x` goes out."""
        self._linear_gradient("down", "next_", "a", a_=self.inner)
        self._run("activation gradient", "a_, u, silu", u_=self.inner * (2 if self.mlp.gated else 1))
        self._linear_gradient("up", "u_", "m", m_=self.gathered)
        self._run("feed-forward norm gradient", "m_, y, mstat, mup, next_, dmask", y_=self.stream)
        self._linear_gradient("projection", "y_", "o", o_=self.query)
        self._run("attention gradient", "o_, qkv, qknormed, o, ostat", qkv_=self.qkv)
        self._linear_gradient("qkv", "qkv_", "n", n_=self.gathered)
        self._run("norm gradient", "n_, x, nstat, nup, y_, pmask", x_=self.stream)
