"""Time, parameters and activation bytes of every pipeline stage, once for each distinct stage problem."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.moments import StageMoments, Units, stage_moments, units
from meshwright.cost_models.stage_model import StageModel, StageTable, stage_model

__all__ = ["StageCosts", "StageModel", "stage_costs", "stage_model"]


@dataclass(frozen=True)
class StageCosts:
    """Costs of every group of equal stages; (num_problems, num_groups) unless said otherwise.

    Attributes:
        forward_s: Forward time of one micro-batch.
        backward_s: Backward time of one micro-batch, recomputation included.
        weight_s: Of the backward time, that of weight gradients.
        recompute_s: Of the backward time, that of recomputation.
        dense_parameters: Parameters on a device without routed experts.
        expert_parameters: Routed experts' parameters on a device.
        adapter_parameters: What trains beside a frozen base on a device: low-rank adapters, and copies of the tables if
            they train, too.
        table_parameters: Embedding and output tables on a device.
        activation_bytes: Kept by one micro-batch in flight.
        boundary_bytes: (num_problems,) message between neighbouring stages.
        first_index: Earliest stage of the group.
        num_stages: Stages of the group.
        model: What they were added up from.
    """

    forward_s: StageTable
    backward_s: StageTable
    weight_s: StageTable
    recompute_s: StageTable
    dense_parameters: StageTable
    expert_parameters: StageTable
    adapter_parameters: StageTable
    table_parameters: StageTable
    activation_bytes: StageTable
    boundary_bytes: FloatColumn
    first_index: StageTable
    num_stages: StageTable
    model: StageModel

    @cached_property
    def units(self) -> Units:
        """What is gathered and reduced at once."""
        return units(self.model)

    def moments(self, present: frozenset[int]) -> StageMoments:
        """Bytes beside the states at every moment that may be the peak, for the `Gathering` values present."""
        return stage_moments(self.model, present)


def stage_costs(model: StageModel) -> StageCosts:
    """Costs of every group of equal stages, for every distinct problem."""
    problems = model.problems
    forward, backward, recomputed = stage_times(model)
    dense, expert, adapter, tables = stage_parameters(model)
    return StageCosts(
        forward_s=forward,
        backward_s=backward + recomputed,
        weight_s=weight_times(model),
        recompute_s=recomputed,
        dense_parameters=dense,
        expert_parameters=expert,
        adapter_parameters=adapter + tables * model.job.workload.lora_tables,
        table_parameters=tables,
        activation_bytes=model.kept_bytes,
        boundary_bytes=model.memory.boundary[problems.shape],
        first_index=problems.layouts.first_index[problems.layout],
        num_stages=problems.layouts.num_stages[problems.layout],
        model=model,
    )


def stage_times(model: StageModel) -> tuple[StageTable, StageTable, StageTable]:
    """Forward, backward and recomputation seconds of one micro-batch."""
    times, shape = model.times, model.problems.shape
    ends = (times.embedding, model.has_embedding), (times.output, model.output_passes)
    layers_forward = model.per_stage(times.forward.sum(axis=1))
    forward = layers_forward + sum(end.forward.sum(axis=0)[shape, None] * on_stage for end, on_stage in ends)
    repeated = model.per_stage(times.repeated_forward) * model.repeated_share
    backward = model.per_stage(times.backward.sum(axis=1))
    backward = backward + sum(end.backward.sum(axis=0)[shape, None] * on_stage for end, on_stage in ends)
    return forward, backward, repeated + model.module_s


def weight_times(model: StageModel) -> StageTable:
    """Weight-gradient seconds of one micro-batch."""
    output = np.asarray(model.times.output.weight_gradient)[model.problems.shape, None]
    return np.asarray(model.per_stage(model.times.weight_gradient) + output * model.output_passes)


def stage_parameters(model: StageModel) -> tuple[StageTable, StageTable, StageTable, StageTable]:
    """Dense, expert and adapter parameters on a device, and what of the dense ones are vocabulary tables."""
    parameters, shape = model.parameters, model.problems.shape
    has_output = model.problems.layouts.has_output[model.problems.layout]
    together = np.minimum(model.has_embedding, has_output)
    output = parameters.output[shape, None] * (has_output - together)
    output += parameters.tied_output[shape, None] * together
    tables = parameters.embedding[shape, None] * model.has_embedding + output
    dense = model.per_stage(parameters.dense) + tables
    mtp_projections = 2 * model.job.architecture.hidden**2 * len(model.job.architecture.mtp_layers)
    adapter = model.per_stage(parameters.adapter)
    dense = dense + has_output * mtp_projections
    copies = model.problems.layouts.copies[model.problems.layout]
    return copies * dense, copies * model.per_stage(parameters.expert), copies * adapter, copies * tables
