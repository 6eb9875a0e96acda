"""Time, parameters and activation bytes of every pipeline stage, once for each distinct stage problem.

A stage problem is a shape, a layout and a recompute choice. A table of a hundred thousand candidates has a few
thousand of them: what remains (data parallelism, sharding, schedule) is cheap to vary.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import Candidates, FloatColumn, IntColumn, Recompute
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.layer_memory import LayerMemory, kept_bytes, layer_memory
from meshwright.cost_models.layer_parameters import LayerParameters, device_parameters, largest_gathered_unit
from meshwright.cost_models.layer_time import LayerTimes, layer_times, recomputed_module_time
from meshwright.cost_models.shapes import Shapes, distinct_rows, distinct_shapes
from meshwright.cost_models.stages import StackedLayouts, stacked_stage_layouts
from meshwright.cost_models.terms import TermTable

StageTable = NDArray[np.float64]


@dataclass(frozen=True)
class StageProblems:
    """The distinct stage problems of a table; (num_problems,) columns.

    Attributes:
        shape: Index into `shapes`.
        layout: Index into `layouts`.
        recompute: A `Recompute` value.
        modules: `RecomputeModules` bits.
        recompute_layers: Layers of a stage that full recomputation repeats.
    """

    shapes: Shapes
    layouts: StackedLayouts
    shape: IntColumn
    layout: IntColumn
    recompute: IntColumn
    modules: IntColumn
    recompute_layers: IntColumn


def stage_problems(job: Job, candidates: Candidates) -> tuple[StageProblems, IntColumn]:
    """The distinct stage problems of a table, and each row's index into them."""
    c = candidates
    shapes, shape = distinct_shapes(job, c)
    layouts, layout = stacked_stage_layouts(
        job.architecture, c.pp, c.vpp, by_cost=job.framework.stages_by_cost
    )
    first, index = distinct_rows(shape, layout, c.recompute, c.recompute_modules, c.recompute_layers)
    problems = StageProblems(
        shapes, layouts, shape[first], layout[first], c.recompute[first], c.recompute_modules[first],
        c.recompute_layers[first],
    )  # fmt: skip
    return problems, index


@dataclass(frozen=True)
class StageCosts:
    """Costs of every group of equal stages; (num_problems, num_groups) unless said otherwise.

    Attributes:
        forward_s: Forward time of one micro-batch.
        backward_s: Backward time of one micro-batch, recomputation included.
        dense_parameters: Parameters on a device without routed experts.
        expert_parameters: Routed experts' parameters on a device.
        adapter_parameters: Low-rank adapters on a device.
        table_parameters: Embedding and output tables on a device.
        activation_bytes: Kept by one micro-batch in flight.
        working_bytes: Alive on top while the backward pass (or the loss) of one micro-batch runs.
        boundary_bytes: (num_problems,) message between neighbouring stages.
        gathered_parameters: (num_problems,) largest unit that ZeRO-3 gathers at once.
        first_index: Earliest stage of the group.
        num_stages: Stages of the group.
    """

    forward_s: StageTable
    backward_s: StageTable
    dense_parameters: StageTable
    expert_parameters: StageTable
    adapter_parameters: StageTable
    table_parameters: StageTable
    activation_bytes: StageTable
    working_bytes: StageTable
    boundary_bytes: FloatColumn
    gathered_parameters: FloatColumn
    first_index: StageTable
    num_stages: StageTable


@dataclass(frozen=True)
class StageModel:
    """Layer costs by shape, and the distinct problems that add them up to stages."""

    job: Job
    problems: StageProblems
    times: LayerTimes
    memory: LayerMemory
    parameters: LayerParameters

    @cached_property
    def layer_counts(self) -> NDArray[np.float64]:
        """(num_problems, num_groups, num_kinds) layers of each kind on a stage."""
        return self.problems.layouts.layer_counts[self.problems.layout]

    @cached_property
    def has_embedding(self) -> StageTable:
        """(num_problems, num_groups) 1 where the stage holds the embedding."""
        return self.problems.layouts.has_embedding[self.problems.layout]

    @cached_property
    def output_passes(self) -> StageTable:
        """(num_problems, num_groups) passes of the output layer: one, and one for each multi-token prediction."""
        passes = 1 + len(self.job.architecture.mtp_layers)
        return self.problems.layouts.has_output[self.problems.layout] * passes

    def per_stage(self, by_kind: TermTable) -> StageTable:
        """Adds up a (num_kinds, num_shapes) quantity over the layers of every stage."""
        return np.asarray(np.einsum("vrk,kv->vr", self.layer_counts, by_kind[:, self.problems.shape]))

    @cached_property
    def repeated_share(self) -> StageTable:
        """(num_problems, num_groups) share of a stage's layers that full recomputation repeats."""
        layers = np.maximum(self.layer_counts.sum(axis=2), 1.0)
        share = np.minimum(self.problems.recompute_layers[:, None] / layers, 1.0)
        return np.where(self.problems.recompute[:, None] == Recompute.FULL, share, 0.0)

    def by_modules(self, quantity: str) -> StageTable:
        """Per-stage module time or kept bytes under each problem's own selective recomputation."""
        result = np.zeros(self.layer_counts.shape[:2])
        selected = np.where(self.problems.recompute == Recompute.SELECTIVE, self.problems.modules, 0)
        for modules in np.unique(selected):
            rows = selected == modules
            if quantity == "time":
                by_kind = recomputed_module_time(self.times, int(modules))
            else:
                by_kind = kept_bytes(self.memory, int(modules))
            result[rows] = np.einsum("vrk,kv->vr", self.layer_counts[rows], by_kind[:, self.problems.shape[rows]])
        return result


def stage_model(job: Job, candidates: Candidates) -> tuple[StageModel, IntColumn]:
    """Everything needed to add up stages, and each candidate's index into the distinct problems."""
    problems, index = stage_problems(job, candidates)
    calls, shapes = KernelCalls(job), problems.shapes
    model = StageModel(
        job, problems, layer_times(calls, shapes), layer_memory(job, shapes), device_parameters(job, shapes)
    )
    return model, index


def stage_costs(model: StageModel) -> StageCosts:
    """Costs of every group of equal stages, for every distinct problem."""
    problems = model.problems
    forward, backward, recomputed = stage_times(model)
    dense, expert, adapter, tables = stage_parameters(model)
    return StageCosts(
        forward_s=forward,
        backward_s=backward + recomputed,
        dense_parameters=dense,
        expert_parameters=expert,
        adapter_parameters=adapter,
        table_parameters=tables,
        activation_bytes=stage_activation_bytes(model),
        working_bytes=stage_working_bytes(model),
        boundary_bytes=model.memory.boundary[problems.shape],
        gathered_parameters=largest_gathered_unit(model.job.architecture, model.parameters)[problems.shape],
        first_index=problems.layouts.first_index[problems.layout],
        num_stages=problems.layouts.num_stages[problems.layout],
    )


def stage_times(model: StageModel) -> tuple[StageTable, StageTable, StageTable]:
    """Forward, backward and recomputation seconds of one micro-batch."""
    times, shape = model.times, model.problems.shape
    ends = (times.embedding, model.has_embedding), (times.output, model.output_passes)
    layers_forward = model.per_stage(times.forward.sum(axis=1))
    forward = layers_forward + sum(end.forward.sum(axis=0)[shape, None] * on_stage for end, on_stage in ends)
    backward = model.per_stage(times.backward.sum(axis=1))
    backward = backward + sum(end.backward.sum(axis=0)[shape, None] * on_stage for end, on_stage in ends)
    return forward, backward, layers_forward * model.repeated_share + model.by_modules("time")


def stage_parameters(model: StageModel) -> tuple[StageTable, StageTable, StageTable, StageTable]:
    """Dense, expert and adapter parameters on a device, and what of the dense ones are vocabulary tables."""
    parameters, shape = model.parameters, model.problems.shape
    has_output = model.problems.layouts.has_output[model.problems.layout]
    together = model.has_embedding * has_output
    output = parameters.output[shape, None] * (has_output - together)
    output += parameters.tied_output[shape, None] * together
    tables = parameters.embedding[shape, None] * model.has_embedding + output
    dense = model.per_stage(parameters.dense) + tables
    mtp_projections = 2 * model.job.architecture.hidden**2 * len(model.job.architecture.mtp_layers)
    adapter = np.einsum("vrk,k->vr", model.layer_counts, parameters.adapter)
    return dense + has_output * mtp_projections, model.per_stage(parameters.expert), adapter, tables


def stage_activation_bytes(model: StageModel) -> StageTable:
    """Bytes that one micro-batch in flight keeps: whole layers, what selective recomputation keeps, or boundaries."""
    repeated = model.repeated_share
    layers = model.layer_counts.sum(axis=2)
    boundaries = model.memory.boundary[model.problems.shape, None] * layers
    return np.asarray(model.by_modules("bytes") * (1.0 - repeated) + boundaries * repeated)


def stage_working_bytes(model: StageModel) -> StageTable:
    """Bytes alive on top of what is kept: a layer's gradients, a recomputed layer's activations, or the logits."""
    shape, repeated = model.problems.shape, model.repeated_share
    selected = model.problems.recompute == Recompute.SELECTIVE
    present = model.layer_counts > 0
    peak = np.max(present * model.memory.peak[:, shape].T[:, None, :], axis=2)
    whole = np.max(present * model.memory.saved[:, shape].T[:, None, :], axis=2)
    again = np.where((repeated > 0) | selected[:, None], whole, 0.0)
    has_output = model.problems.layouts.has_output[model.problems.layout]
    return np.asarray(np.maximum(peak + again, has_output * model.memory.logits[shape, None]))
