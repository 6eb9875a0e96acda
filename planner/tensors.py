"""One stage's operations and tensors: how little memory another order, dropping and reloading, and addresses need."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from meshwright.cost_models.job import Job
from meshwright.cost_models.shapes import distinct_shapes
from meshwright.cost_models.stage_graph import StageGraph, stage_graph
from meshwright.cost_models.transfers import tier_of
from meshwright.errors import AxisError, InputError
from meshwright.planner.clusters.units import quantity
from meshwright.planner.evaluation import plan_row
from meshwright.planner.intake import read_problems
from meshwright.planner.rules import all_rules, violated
from meshwright.solvers.addresses import Blocks, solve_addresses
from meshwright.solvers.backend import Budget
from meshwright.solvers.outcome import Outcome, Status
from meshwright.solvers.tensors import (
    FROM_THE_START,
    Schedule,
    TensorGraph,
    default_order,
    scheduled,
    solve_tensors,
)

if TYPE_CHECKING:
    from networkx import DiGraph

ALIGNMENT_BYTES = 512
"""PyTorch's caching allocator hands out multiples of it (c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize)."""
ROUNDS = 3
"""Of making memory smaller, where a schedule fits but no addresses were found for it."""


@dataclass(frozen=True)
class Layout:
    """One schedule in memory.

    Attributes:
        peak_bytes: Most that is live at once.
        address_space_bytes: What its tensors' addresses span.
        dropped_bytes: That leave the device and come back.
        order: Names of the operations.
    """

    peak_bytes: float
    address_space_bytes: float
    dropped_bytes: float
    order: tuple[str, ...]


@dataclass(frozen=True)
class TensorPlan:
    """What a stage's tensors need by default, and at best.

    Attributes:
        title: The model and what of it.
        num_operations: Operations.
        num_tensors: Tensors.
        memory_bytes: What they may take; inf for no limit.
        default: In the framework's order.
        best: In the best order found; None where nothing fits.
        bound_bytes: No order without dropping has a lower peak; or with a limit, no schedule moves fewer bytes.
        moved_s: Seconds of the moves, none of them hidden.
        status: `optimal`, `feasible`, `infeasible` or `unknown`.
        reasons: Why nothing fits.
    """

    title: str
    num_operations: int
    num_tensors: int
    memory_bytes: float
    default: Layout
    best: Layout | None
    bound_bytes: float
    moved_s: float
    status: str
    reasons: tuple[str, ...]

    @property
    def saved_bytes(self) -> float:
        """Less of address space than in the default order."""
        return self.default.address_space_bytes - self.best.address_space_bytes if self.best else 0.0

    @property
    def is_limited(self) -> bool:
        """Whether memory has a limit."""
        return bool(np.isfinite(self.memory_bytes))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        memory = self.memory_bytes if self.is_limited else None  # JSON has no infinity
        return asdict(self) | {"saved_bytes": self.saved_bytes, "memory_bytes": memory}


def plan_tensors(
    model: str,
    cluster: str,
    *,
    layers: int = 2,
    micro_batch: int = 1,
    seq_len: int | None = None,
    tp: int = 1,
    framework: str = "generic",
    with_loss: bool = True,
    memory_bytes: float = np.inf,
    tier: str = "host",
    time_limit_s: float = 10.0,
) -> TensorPlan:
    """The best order, what to drop, and addresses for one micro-batch of a stage.

    Args:
        model: As for `plan`.
        cluster: As for `plan`.
        layers: The stage's.
        micro_batch: Sequences.
        seq_len: Tokens of each.
        tp: Tensor-parallel ranks, with sequence parallelism.
        framework: Whose kernels and habits hold.
        with_loss: Whether the stage has the output layer.
        memory_bytes: What the tensors may take; below the lowest peak some are dropped and loaded again.
        tier: Where dropped tensors go.
        time_limit_s: For the solver.

    Raises:
        InputError: Something given can't be used.
        MissingDataError: The model's layers have no operation graph, or the cluster no such tier.
    """
    (problem,) = read_problems(
        model, cluster, None, global_batch=micro_batch, seq_len=seq_len, gpus=tp, framework=framework
    )
    if not 1 <= layers <= problem.job.architecture.num_layers:
        raise InputError(f"1 <= layers <= {problem.job.architecture.num_layers} must hold, but got layers={layers}")
    job = problem.job
    row = plan_row(problem, f"tp={tp} pp=1 dp=1 mbs={micro_batch}")[1]
    if broken := [rule.explain(row) for rule in violated(all_rules(job, problem.constraints), row)]:
        raise AxisError(broken)
    graph = stage_graph(job, distinct_shapes(job, row)[0], job.architecture.layers[:layers], with_loss=with_loss)
    where = f"{job.architecture.name}, {layers} layers, {micro_batch} x {job.workload.seq_len:,} tokens, tp={tp}"
    return best_plan(job, operation_network(graph), where, memory_bytes, tier, Budget(time_limit_s))


def memory_size(text: str | None) -> float:
    """Bytes of a size such as `40 GiB`; inf for None.

    Raises:
        InputError: It isn't one.
    """
    try:
        return np.inf if text is None else quantity(text, "size")
    except ValueError as error:
        raise InputError(str(error)) from None


def operation_network(graph: StageGraph) -> "DiGraph[str]":
    """The graph's operations and tensors as vertices, in the default order; edges lead from makers to readers.

    Tensors have `bytes`, and `given` or `kept` where they are there from the start or must be at the end.
    """
    from networkx import DiGraph  # noqa: PLC0415 - 0.2 s to import

    network: DiGraph[str] = DiGraph()
    for name, size in graph.size_bytes.items():
        network.add_node(name, kind="tensor", bytes=size, given=name in graph.given, kept=name in graph.kept)
    for operation in graph.operations:
        network.add_node(operation.name, kind="operation")
        network.add_edges_from((tensor, operation.name) for tensor in operation.reads)
        network.add_edges_from((operation.name, tensor) for tensor in operation.makes)
    return network


def tensor_problem(network: "DiGraph[str]", capacity: float, seconds_per_byte: tuple[float, float]) -> TensorGraph:
    """The network as arrays: least peak without a capacity, least time of moves with one.

    Args:
        network: As `operation_network` gives it; operations in an order that may run.
        capacity: Bytes; inf for none.
        seconds_per_byte: Of dropping and of loading again.
    """
    operations, tensors = names(network, "operation"), names(network, "tensor")
    number = {name: index for index, name in enumerate(operations)}
    size = np.array([network.nodes[tensor]["bytes"] for tensor in tensors])
    limited = bool(np.isfinite(capacity))
    return TensorGraph.create(
        [next((number[maker] for maker in network.predecessors(tensor)), FROM_THE_START) for tensor in tensors],
        [[number[reader] for reader in network.successors(tensor)] for tensor in tensors],
        size,
        len(operations),
        kept=[network.nodes[tensor]["kept"] for tensor in tensors],
        evict_cost=size * seconds_per_byte[0] if limited else np.inf,
        reload_cost=size * seconds_per_byte[1] if limited else np.inf,
        capacity=capacity,
        peak_weight=0.0 if limited else 1.0,
    )


def names(network: "DiGraph[str]", kind: str) -> list[str]:
    """Operations or tensors of a network, in its order."""
    return [name for name in network if network.nodes[name]["kind"] == kind]


def best_plan(
    job: Job, network: "DiGraph[str]", title: str, memory_bytes: float, tier: str, budget: Budget
) -> TensorPlan:
    """Solves a network's order and drops, then addresses for them and for the default order."""
    limited = bool(np.isfinite(memory_bytes))
    store = tier_of(job.cluster, tier) if limited else None
    rates = (1 / store.write_bytes_per_s, 1 / store.read_bytes_per_s) if store else (0.0, 0.0)
    problem = tensor_problem(network, memory_bytes, rates)
    free = tensor_problem(network, np.inf, rates)
    outcome, best = _solved(problem, budget)
    operations = names(network, "operation")
    return TensorPlan(
        title=title,
        num_operations=problem.num_operations,
        num_tensors=problem.num_tensors,
        memory_bytes=memory_bytes,
        default=_layout(free, scheduled(free, default_order(free)), operations),
        best=None if best is None else _layout(problem, best, operations),
        bound_bytes=outcome.bound / sum(rates) if limited else outcome.bound,
        moved_s=problem.cost(best) if best else 0.0,
        status=(outcome.status if best is outcome.solution else Status.FEASIBLE if best else Status.UNKNOWN).value,
        reasons=outcome.conflicts,
    )


def _solved(problem: TensorGraph, budget: Budget) -> tuple[Outcome[Schedule], Schedule | None]:
    """The outcome, and its schedule if addresses for it fit, too; else one for a memory less by what they lack."""
    outcome = solve_tensors(problem, budget)
    best, tighter = outcome.solution, problem
    for _ in range(ROUNDS):
        if best is None or (lacking := _address_space(problem, best) - problem.capacity) <= 0:
            break
        tighter = replace(tighter, capacity=tighter.capacity - lacking)
        best = solve_tensors(tighter, budget).solution
    return outcome, best


def _address_space(problem: TensorGraph, schedule: Schedule) -> float:
    size, start, stop = zip(*_lives(problem, schedule), strict=True)
    return solve_addresses(Blocks.create(size, start, stop), Budget(time_limit_s=5.0)).objective * ALIGNMENT_BYTES


def _layout(problem: TensorGraph, schedule: Schedule, operations: list[str]) -> Layout:
    again = problem.reloads(schedule)
    return Layout(
        peak_bytes=float(problem.live(schedule).max()),
        address_space_bytes=_address_space(problem, schedule),
        dropped_bytes=float(problem.size @ again),
        order=tuple(operations[o] for o in schedule.order),
    )


def _lives(problem: TensorGraph, schedule: Schedule) -> Iterable[tuple[int, int, int]]:
    """(size in units of the allocator, first step, step after the last) of every stretch that a tensor is held."""
    for tensor, held in enumerate(schedule.held):
        edges = np.flatnonzero(np.diff(held.astype(np.int8), prepend=0, append=0))
        units = int(-(-problem.size[tensor] // ALIGNMENT_BYTES))
        for start, stop in edges.reshape(-1, 2).tolist():
            yield units, start, stop
