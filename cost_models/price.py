"""The price of every plan in a table: step time by term, peak memory by class and stage, energy and money."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import BoolColumn, Candidates, FloatColumn, IntColumn
from meshwright.cost_models.data_parallel import DataParallelTime, StageWork, data_parallel_time
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.memory import MemoryBreakdown, memory_breakdown
from meshwright.cost_models.off_device import tier_share
from meshwright.cost_models.offload_time import offload_time_s
from meshwright.cost_models.optimizer import optimizer_time_s
from meshwright.cost_models.pipeline import bubble_s, num_micro_batches, pipeline_comm_s, stage_passes
from meshwright.cost_models.stage_costs import StageCosts, StageModel, stage_costs, stage_model
from meshwright.cost_models.state_bytes import adapter_extents, shard_extents
from meshwright.cost_models.terms import NUM_LAYER_TERMS, LayerTerm


class StepTerm(IntEnum):
    """What a step's time is made of; the terms add up to the step time."""

    MATMUL = 0
    ATTENTION = 1
    ELEMENTWISE = 2
    TENSOR_COMM = 3
    CONTEXT_COMM = 4
    EXPERT_COMM = 5
    HOST = 6
    RECOMPUTE = 7
    GRADIENT_ACCUMULATION = 8
    PIPELINE_COMM = 9
    BUBBLE = 10
    DATA_COMM = 11
    OPTIMIZER = 12
    OVERHEAD = 13
    OFFLOAD = 14


COMMUNICATION_TERMS = (
    StepTerm.TENSOR_COMM, StepTerm.CONTEXT_COMM, StepTerm.EXPERT_COMM, StepTerm.PIPELINE_COMM, StepTerm.DATA_COMM,
)  # fmt: skip
HOST_TERMS = (StepTerm.HOST, StepTerm.OVERHEAD)


@dataclass(frozen=True)
class Costs:
    """What a table of plans costs.

    Attributes:
        step_time_s: (num_candidates,) one optimizer step.
        terms: (num_terms, num_candidates) seconds by `StepTerm`; the first eight belong to the slowest stage.
        memory: Peak bytes by class, (num_candidates, num_groups) of equal stages.
        num_micro_batches: (num_candidates,) micro-batches a step and data-parallel rank.
        hidden_comm_s: (num_candidates,) data-parallel communication that runs beside compute.
        tier_share: (num_candidates,) share of its part of the memory outside that the fullest device takes.
    """

    step_time_s: FloatColumn
    terms: NDArray[np.float64]
    memory: MemoryBreakdown
    num_micro_batches: IntColumn
    hidden_comm_s: FloatColumn
    tier_share: FloatColumn

    def __getitem__(self, rows: IntColumn | BoolColumn) -> "Costs":
        return Costs(
            self.step_time_s[rows], self.terms[:, rows], self.memory[rows], self.num_micro_batches[rows],
            self.hidden_comm_s[rows], self.tier_share[rows],
        )  # fmt: skip

    def updated(self, rows: IntColumn, times: "Costs") -> "Costs":
        """The same with the step times of some rows replaced; bytes stay."""
        step_time_s, terms, hidden_s = self.step_time_s.copy(), self.terms.copy(), self.hidden_comm_s.copy()
        step_time_s[rows], terms[:, rows], hidden_s[rows] = times.step_time_s, times.terms, times.hidden_comm_s
        return replace(self, step_time_s=step_time_s, terms=terms, hidden_comm_s=hidden_s)

    def share(self, group: Sequence[StepTerm]) -> FloatColumn:
        """(num_candidates,) share of the step that some of its terms take."""
        return np.asarray(self.terms[list(group)].sum(axis=0) / self.step_time_s)

    @cached_property
    def peak_memory_bytes(self) -> FloatColumn:
        """(num_candidates,) bytes that the fullest device must have."""
        return np.asarray(self.memory.total.max(axis=1))

    @cached_property
    def allocated_bytes(self) -> FloatColumn:
        """(num_candidates,) bytes that the allocator of the fullest device hands out."""
        return np.asarray(self.memory.allocated.max(axis=1))


def price(job: Job, candidates: Candidates) -> Costs:
    """Prices every plan of a table. A plan's price doesn't depend on the others in the table."""
    model, problem = stage_model(job, candidates)
    stages = stage_costs(model)
    calls = KernelCalls(job)
    micro_batches = num_micro_batches(job, candidates)
    memory = memory_breakdown(job, candidates, stages, problem)
    slowest = np.argmax(stages.forward_s + stages.backward_s, axis=1)
    data = data_parallel_time(job, calls, candidates, stage_work(job, stages, problem), micro_batches)
    terms = np.zeros((len(StepTerm), len(candidates)))
    terms[: StepTerm.RECOMPUTE + 1] = slowest_stage_terms(model, slowest)[:, problem] * micro_batches
    terms[StepTerm.GRADIENT_ACCUMULATION] = micro_batches * accumulation_s(job, calls, stages)[problem]
    terms[StepTerm.PIPELINE_COMM] = pipeline_comm_s(
        job, calls, candidates, micro_batches, stages.boundary_bytes[problem]
    )
    terms[StepTerm.BUBBLE] = bubble_s(candidates, micro_batches, stage_passes(stages), problem)
    terms[StepTerm.DATA_COMM] = data.exposed_s + calls.training.overlap_slowdown * data.hidden_s
    update = optimizer_time_s(job, calls, candidates, most_owned(job, candidates, stages, problem))
    terms[StepTerm.OPTIMIZER] = update + gradient_buffer_s(job, calls, stages)[problem]
    terms[StepTerm.OVERHEAD] = calls.training.step_overhead_s
    terms[StepTerm.OFFLOAD] = offload_time_s(job, candidates, stages, problem, micro_batches)
    full = tier_share(job.cluster, candidates, memory.off_device)
    return Costs(terms.sum(axis=0), terms, memory, micro_batches, data.hidden_s, full)


def slowest_stage_terms(model: StageModel, slowest: IntColumn) -> NDArray[np.float64]:
    """(8, num_problems) seconds of one micro-batch on the slowest stage: the layer terms, then recomputation."""
    rows, shape = np.arange(len(slowest)), model.problems.shape
    times, counts = model.times, model.layer_counts[rows, slowest]
    both = times.forward + times.backward
    terms = np.zeros((NUM_LAYER_TERMS + 1, len(slowest)))
    terms[:-1] = np.einsum("vk,ktv->tv", counts, both[:, :, shape])
    terms[:-1] += (times.embedding.forward + times.embedding.backward)[:, shape] * model.has_embedding[rows, slowest]
    terms[:-1] += (times.output.forward + times.output.backward)[:, shape] * model.output_passes[rows, slowest]
    repeated = model.per_stage(times.repeated_forward) * model.repeated_share
    terms[-1] = (repeated + model.module_s)[rows, slowest]
    return terms


def accumulation_s(job: Job, calls: KernelCalls, stages: StageCosts) -> FloatColumn:
    """(num_problems,) time of adding one micro-batch's gradients to the buffer, where the GEMM doesn't do it."""
    if job.workload.trains_adapters:
        return np.zeros(len(stages.boundary_bytes))
    layouts = stages.model.problems
    copies = layouts.layouts.copies[layouts.layout]  # a micro-batch meets one
    owned = ((stages.dense_parameters + stages.expert_parameters) / copies).max(axis=1)
    return calls.elementwise(owned * job.framework.accumulate_bytes_at(job.workload.precision), excess=1.0)


def gradient_buffer_s(job: Job, calls: KernelCalls, stages: StageCosts) -> FloatColumn:
    """(num_problems,) time of what a step does with the whole gradient buffer: zeroing, checking, scaling."""
    held = stages.dense_parameters + stages.expert_parameters
    trained = stages.adapter_parameters if job.workload.trains_adapters else held
    return calls.stream(trained.max(axis=1) * job.framework.gradient_buffer_bytes)


def stage_work(job: Job, stages: StageCosts, problem: IntColumn) -> StageWork:
    """What the data-parallel communication of the fullest stage runs beside."""
    frozen = job.workload.trains_adapters
    dense = stages.dense_parameters.max(axis=1)[problem]
    expert = stages.expert_parameters.max(axis=1)[problem]
    layers = job.architecture.num_layers / stages.num_stages.sum(axis=1)[problem]
    return StageWork(
        forward_s=stages.forward_s.max(axis=1)[problem],
        backward_s=stages.backward_s.max(axis=1)[problem],
        dense_parameters=stages.adapter_parameters.max(axis=1)[problem] if frozen else dense,
        expert_parameters=np.zeros_like(expert) if frozen else expert,
        gathered_dense=dense + (expert if frozen else 0.0),
        num_layers=layers,
    )


def most_owned(job: Job, candidates: Candidates, stages: StageCosts, problem: IntColumn) -> FloatColumn:
    """(num_candidates,) parameters whose optimizer states the fullest device holds."""
    if job.workload.trains_adapters:
        own = adapter_extents(job, shard_extents(candidates)).optimizer[:, 0]
        return np.asarray(stages.adapter_parameters.max(axis=1)[problem] / own)
    extents = shard_extents(candidates)
    dense = stages.dense_parameters.max(axis=1)[problem] / extents.optimizer[:, 0]
    return np.asarray(dense + stages.expert_parameters.max(axis=1)[problem] / extents.expert_optimizer[:, 0])


__all__ = ["Costs", "DataParallelTime", "LayerTerm", "StepTerm", "price"]
