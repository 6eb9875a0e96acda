"""From plans to what the simulator must know about their steps: orders, and costs of every virtual stage."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.candidates import (
    OWN_SPLIT,
    SCHEDULE_NAMES,
    SPLIT_BACKWARD,
    VOCABULARY_PARALLEL,
    Candidates,
    FloatColumn,
    Recompute,
    Schedule,
    Sharding,
)
from meshwright.cost_models.data_parallel import StageWork, beside, exchange_times, reduces_beside
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernel_calls import KernelCalls
from meshwright.cost_models.layer_split import LayerSplit
from meshwright.cost_models.layer_time import recomputed_module_time
from meshwright.cost_models.off_device import activation_staging
from meshwright.cost_models.offload_time import OffloadCopies, offload_copies
from meshwright.cost_models.pipeline import message_s
from meshwright.cost_models.price import Costs, StepTerm, price
from meshwright.cost_models.schedules import Orders, PipelineShape
from meshwright.cost_models.schedules.registry import SCHEDULES
from meshwright.cost_models.simulated_offload import DividedStages, offload_times
from meshwright.cost_models.simulator import (
    DataParallelTimes,
    FinishTimes,
    OffloadTimes,
    PassTimes,
    StepBytes,
    StepCosts,
    TransferTimes,
)
from meshwright.cost_models.stage_costs import StageCosts, StageModel, stage_costs, stage_model
from meshwright.cost_models.stages import StageLayout, chunk_kinds, own_split, row_layout

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class StageExchange:
    """Data-parallel communication of every stage once a step; (num_candidates, num_groups) seconds.

    Attributes:
        reduce_s: Reduction of the gradients.
        gather_s: All-gather of the parameters.
        exposed_gather_s: What of it the first forward pass can't hide.
    """

    reduce_s: FloatArray
    gather_s: FloatArray
    exposed_gather_s: FloatArray


@dataclass(frozen=True)
class PlanSteps:
    """The steps of a table of plans with two pipeline stages or more.

    Data-parallel communication of ZeRO-2 and beyond comes with every micro-batch: it stays outside of the simulation,
    with its closed form.

    Attributes:
        job: The job.
        candidates: The plans.
        costs: Their closed-form prices.
        model: Their layers' costs.
        problem: (num_candidates,) index into the model's problems.
        fixed: Orders in place of those of the schedules; None for theirs.
    """

    job: Job
    candidates: Candidates
    costs: Costs
    model: StageModel
    problem: NDArray[np.int64]
    fixed: Orders | None = None

    @classmethod
    def of(
        cls, job: Job, candidates: Candidates, costs: Costs | None = None, fixed: Orders | None = None
    ) -> "PlanSteps":
        """The steps of a table; `costs` are its prices, if they are known."""
        model, problem = stage_model(job, candidates)
        return cls(job, candidates, price(job, candidates) if costs is None else costs, model, problem, fixed)

    @cached_property
    def calls(self) -> KernelCalls:
        """Kernels and collectives of the job."""
        return KernelCalls(self.job)

    @cached_property
    def stages(self) -> StageCosts:
        """Costs of every group of equal stages."""
        return stage_costs(self.model)

    @cached_property
    def message_s(self) -> FloatColumn:
        """(num_candidates,) one message between neighbouring stages."""
        return message_s(self.calls, self.candidates, self.stages.boundary_bytes[self.problem])

    @cached_property
    def is_overlapped(self) -> NDArray[np.bool_]:
        """(num_candidates,) whether stages send beside compute."""
        interleaved = self.candidates.schedule == Schedule.INTERLEAVED
        return np.asarray(self.job.framework.overlap_pipeline & interleaved)

    @cached_property
    def reduces_beside(self) -> NDArray[np.bool_]:
        """(num_candidates,) whether gradients reduce beside the backward pass."""
        return reduces_beside(self.job, self.candidates)

    @cached_property
    def exchanges_once(self) -> NDArray[np.bool_]:
        """(num_candidates,) whether data-parallel communication comes once a step, so that it is simulated."""
        return np.asarray(self.candidates.sharding <= Sharding.ZERO1)

    @cached_property
    def exchange(self) -> StageExchange:
        """Data-parallel communication of every stage."""
        stages, frozen = self.stages, self.job.workload.trains_adapters
        groups = stages.forward_s.shape[1]
        rows = np.repeat(np.arange(len(self.candidates)), groups)
        table = self.candidates[rows]
        dense = (stages.adapter_parameters if frozen else stages.dense_parameters)[self.problem].ravel()
        expert = np.zeros_like(dense) if frozen else stages.expert_parameters[self.problem].ravel()
        layers = np.maximum(self.model.layer_counts.sum(axis=2)[self.problem].ravel(), 1.0)
        work = StageWork(
            stages.forward_s[self.problem].ravel(),
            stages.backward_s[self.problem].ravel(),
            dense,
            expert,
            dense,
            layers,
        )
        times = exchange_times(self.job, self.calls, table, work)
        sharded = table.sharding >= Sharding.ZERO1
        gather = np.where(sharded, times.gather_s, 0.0)
        exposed = beside(gather, work.forward_s, layers, overlap=self.job.framework.overlap_parameter_gather)
        shape = (len(self.candidates), groups)
        reduce = times.reduce_s + np.where(sharded, times.scatter_s, 0.0)
        return StageExchange(reduce.reshape(shape), gather.reshape(shape), exposed.reshape(shape))

    @cached_property
    def copies(self) -> OffloadCopies:
        """Copies of every stage to and from the memory outside."""
        return offload_copies(self.job, self.candidates, self.stages, self.problem, self.costs.num_micro_batches)

    @cached_property
    def activation_staging(self) -> FloatArray:
        """(num_candidates, num_groups) bytes of the buffers of offloaded activations."""
        return activation_staging(self.candidates, self.stages, self.problem)

    def __getitem__(self, row: int) -> "PlanStep":
        return PlanStep(self, row)


@dataclass(frozen=True)
class PlanStep:
    """The step of one row of a table."""

    table: PlanSteps
    row: int

    @property
    def problem(self) -> int:
        """Its index into the model's problems."""
        return int(self.table.problem[self.row])

    @property
    def num_micro_batches(self) -> int:
        """Of the step and a data-parallel rank."""
        return int(self.table.costs.num_micro_batches[self.row])

    @property
    def exchanges_once(self) -> bool:
        """Whether data-parallel communication comes once a step."""
        return bool(self.table.exchanges_once[self.row])

    @cached_property
    def schedule(self) -> Schedule:
        """Its schedule."""
        return Schedule(int(self.table.candidates.schedule[self.row]))

    @cached_property
    def split(self) -> LayerSplit:
        """Layers of every virtual stage."""
        c, number = self.table.candidates, int(self.table.candidates.split[self.row])
        if number != OWN_SPLIT:
            return self.table.job.splits[number]
        return own_split(self.table.job, int(c.pp[self.row]), int(c.vpp[self.row]))

    @cached_property
    def layout(self) -> StageLayout:
        """Its stages."""
        return row_layout(self.table.job, self.table.candidates, self.row)

    @property
    def shares_vocabulary(self) -> bool:
        """Whether embedding and output layer are divided over the devices."""
        return self.schedule in VOCABULARY_PARALLEL

    @cached_property
    def chunk_device(self) -> NDArray[np.int64]:
        """(num_virtual_stages,) device of every virtual stage; shards of the output layer come last."""
        shards = np.arange(len(self.layout.group_of_stage) * self.shares_vocabulary)
        return np.concatenate([self.layout.chunk_device, shards])

    @cached_property
    def layer_counts(self) -> FloatArray:
        """(num_virtual_stages, num_kinds) layers of each kind, of every copy of the model in turn; shards have none."""
        counts = np.tile(chunk_kinds(self.table.job.architecture, self.split), (int(self.layout.copies[0]), 1))
        return np.concatenate([counts, np.zeros((len(self.chunk_device) - len(counts), counts.shape[1]))])

    @cached_property
    def ends(self) -> FloatArray:
        """(num_virtual_stages, 2) which part of the embedding and of the output layer a virtual stage runs."""
        at_ends, num_stages, pp = np.zeros((len(self.chunk_device), 2)), self.split.num_stages, self.split.num_stages
        if self.shares_vocabulary:
            at_ends[:pp, 0] = at_ends[pp:, 1] = 1.0 / pp
        else:
            at_ends[::num_stages, 0] = at_ends[self.split.output :: num_stages, 1] = 1.0
        return at_ends

    @cached_property
    def slowest_device(self) -> int:
        """The device whose layers a breakdown shows."""
        stages = self.table.stages
        busy_s = stages.forward_s[self.problem] + stages.backward_s[self.problem]
        return int(np.argmax(busy_s[self.layout.group_of_stage]))

    @cached_property
    def repeated_share(self) -> FloatArray:
        """(num_virtual_stages,) share of the layers that full recomputation repeats."""
        share = self.table.model.repeated_share[self.problem]
        return np.asarray(share[self.layout.group_of_stage[self.chunk_device]])

    @cached_property
    def layer_passes(self) -> PassTimes:
        """Passes of one layer by kind, (num_kinds,) each; recomputed are the selected modules."""
        times, problems = self.table.model.times, self.table.model.problems
        shape = int(problems.shape[self.problem])
        selective = problems.recompute[self.problem] == Recompute.SELECTIVE
        modules = recomputed_module_time(times, int(problems.modules[self.problem]) if selective else 0)
        again_s = np.broadcast_to(modules, times.weight_gradient.shape)[:, shape] if selective else 0.0
        weight_s, backward_s = times.weight_gradient[:, shape], times.backward[:, :, shape].sum(axis=1)
        return PassTimes(times.forward[:, :, shape].sum(axis=1), backward_s - weight_s, weight_s, again_s)

    @cached_property
    def repeated_layer_s(self) -> FloatArray:
        """(num_kinds,) seconds of one layer's forward pass that full recomputation repeats."""
        return self.table.model.times.repeated_forward[:, int(self.table.model.problems.shape[self.problem])]

    @cached_property
    def end_passes(self) -> PassTimes:
        """Passes of the embedding, and of the output layer with all its predictions, (2,) each."""
        times, shape = self.table.model.times, int(self.table.model.problems.shape[self.problem])
        passes = np.array([1.0, 1.0 + len(self.table.job.architecture.mtp_layers)])
        ends = (times.embedding, times.output)
        forward_s = passes * [end.forward[:, shape].sum() for end in ends]
        backward_s = passes * [end.backward[:, shape].sum() for end in ends]
        weight_s = passes * [0.0, np.broadcast_to(times.output.weight_gradient, times.output.forward.shape[1:])[shape]]
        return PassTimes(forward_s, backward_s - weight_s, weight_s)

    @cached_property
    def passes(self) -> PassTimes:
        """Passes of every virtual stage; gradient accumulation counts as a part of the weight gradients."""
        layers, ends, counts, at_ends = self.layer_passes, self.end_passes, self.layer_counts, self.ends
        forward_s, input_s, weight_s = (
            counts @ getattr(layers, name) + at_ends @ getattr(ends, name)
            for name in ("forward_s", "backward_input_s", "backward_weight_s")
        )
        again_s = (counts @ self.repeated_layer_s) * self.repeated_share
        again_s = again_s + counts @ np.broadcast_to(layers.recompute_s, counts.shape[1:])
        accumulated_s = self.table.costs.terms[StepTerm.GRADIENT_ACCUMULATION, self.row] / self.num_micro_batches
        chunks = len(counts) / self.layout.copies[0] / len(self.layout.group_of_stage)
        if self.schedule == Schedule.VOCAB_2:  # shards make the gradient of their input before the barrier
            on_shard = np.arange(len(counts)) >= self.split.num_stages
            forward_s, input_s = forward_s + np.where(on_shard, input_s, 0.0), np.where(on_shard, 0.0, input_s)
        return PassTimes(forward_s, input_s, weight_s + accumulated_s / chunks, again_s)

    @property
    def barrier_s(self) -> float:
        """All-reduce of the gradient of the output layer's input, where all devices share the layer."""
        if not self.shares_vocabulary:
            return 0.0
        table, c, one = self.table, self.table.candidates, slice(self.row, self.row + 1)
        size = table.stages.boundary_bytes[self.problem : self.problem + 1]
        return float(table.calls.all_reduce(size, c.pp[one], (c.tp * c.cp * c.dp)[one])[0])

    def orders(self, num_micro_batches: int) -> Orders:
        """Who runs what when; schedules that adapt do so to the mean passes of the devices."""
        if self.table.fixed is not None:
            return self.table.fixed
        pp, vpp = len(self.layout.group_of_stage), int(self.table.candidates.vpp[self.row])
        if self.schedule not in SPLIT_BACKWARD:
            return _regular_orders(self.schedule, pp, num_micro_batches, vpp)
        passes = self.passes
        back_s = np.asarray(passes.backward_input_s) + passes.recompute_s
        mean = (float(np.sum(one)) / pp for one in (passes.forward_s, back_s, passes.backward_weight_s))
        shape = PipelineShape(pp, num_micro_batches, vpp, *mean)
        return SCHEDULES[SCHEDULE_NAMES[self.schedule]].orders(shape)

    @cached_property
    def offloads(self) -> bool:
        """Whether it copies anything to or from the memory outside, and the cluster says how fast."""
        term_s = self.table.costs.terms[StepTerm.OFFLOAD, self.row]
        return bool(self.table.candidates.offloads[self.row] and np.isfinite(term_s))

    @cached_property
    def offload(self) -> OffloadTimes | None:
        """Copies of its passes."""
        if not self.offloads:
            return None
        device = self.chunk_device
        stages = DividedStages(self.layout.group_of_stage[device], device, self.layer_counts.sum(axis=1))
        leaving = float(self.table.candidates.offload_activations[self.row]) * self.activation_bytes
        return offload_times(self.table.copies, self.row, stages, leaving)

    @cached_property
    def optimizer_s(self) -> float | FloatArray:
        """Optimizer step, of every device where the states of some live elsewhere."""
        own_s = float(self.table.costs.terms[StepTerm.OPTIMIZER, self.row])
        return own_s + self.update_s if self.offloads else own_s

    @property
    def update_s(self) -> FloatArray:
        """(pp,) update of the states outside."""
        return np.asarray(self.table.copies.update_s[self.row, self.layout.group_of_stage])

    @cached_property
    def costs(self) -> StepCosts:
        """All that the simulator must know, apart from bytes."""
        table, row, once = self.table, self.row, float(self.exchanges_once)
        group = self.layout.group_of_stage[self.chunk_device]
        chunks = len(group) / len(self.layout.group_of_stage)
        return StepCosts(
            passes=self.passes,
            transfers=TransferTimes(
                float(table.message_s[row]), barrier_s=self.barrier_s, blocks_sender=not table.is_overlapped[row]
            ),
            data_parallel=DataParallelTimes(
                param_gather_s=once * table.exchange.exposed_gather_s[row, group] / chunks,
                grad_reduce_s=once * table.exchange.reduce_s[row, group] / chunks,
                overlap_grad_reduce=bool(table.reduces_beside[row]),
                num_grad_buckets=max(round(table.job.architecture.num_layers / len(group)), 1),
            ),
            offload=self.offload,
            finish=FinishTimes(optimizer_s=self.optimizer_s),
        )

    @cached_property
    def activation_bytes(self) -> FloatArray:
        """(num_virtual_stages,) kept of one micro-batch, wherever."""
        model = self.table.model
        boundary = float(model.memory.boundary[model.problems.shape[self.problem]]) * self.layer_counts.sum(axis=1)
        whole = self.layer_counts @ model.kept_by_kind[self.problem]
        return np.asarray(whole * (1.0 - self.repeated_share) + boundary * self.repeated_share)

    @property
    def bytes(self) -> StepBytes:
        """Bytes of every virtual stage and device."""
        memory, groups = self.table.costs.memory, self.layout.group_of_stage
        lasting = memory.total[self.row] - memory.activations[self.row] - memory.working[self.row]
        if self.offloads:  # the simulator knows when these buffers are full
            lasting = lasting - self.table.activation_staging[self.row]
        return StepBytes(
            activation=self.activation_bytes,
            backward_workspace=memory.working[self.row, groups][self.chunk_device],
            static=lasting[groups],
        )

    @property
    def outside_s(self) -> FloatArray:
        """(num_terms,) waits that the simulation doesn't see: what overlap slows, and what every micro-batch brings."""
        table, row, outside = self.table, self.row, np.zeros(len(StepTerm))
        if table.is_overlapped[row]:
            sends = 2 * self.num_micro_batches * table.candidates.vpp[row]
            slowdown = table.calls.training.overlap_slowdown
            outside[StepTerm.PIPELINE_COMM] = slowdown * sends * table.message_s[row]
        if not self.exchanges_once:
            outside[StepTerm.DATA_COMM] = table.costs.terms[StepTerm.DATA_COMM, row]
        if self.offloads:
            outside[StepTerm.OFFLOAD] = self.update_s[self.slowest_device]
        return outside

    def hidden_s(self, exposed_s: float) -> float:
        """Data-parallel communication of the slowest device that runs beside something."""
        group, exchange = self.layout.group_of_stage[self.slowest_device], self.table.exchange
        return max(float(exchange.reduce_s[self.row, group] + exchange.gather_s[self.row, group]) - exposed_s, 0.0)


@lru_cache(maxsize=256)
def _regular_orders(schedule: Schedule, pp: int, num_micro_batches: int, vpp: int) -> Orders:
    """Orders of the schedules that don't look at times."""
    return SCHEDULES[SCHEDULE_NAMES[schedule]].orders(PipelineShape(pp, num_micro_batches, vpp))
