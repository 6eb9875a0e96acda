"""Times the pipeline simulator: one large step, the survivors of a search, and the generators of op orders.

Medians of the wall clock; run it on an idle machine: `python bench/bench_simulator.py`.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

from meshwright.cost_models.schedules import SCHEDULES, Orders, PipelineShape, schedule_named
from meshwright.cost_models.simulator import (
    DataParallelTimes,
    FinishTimes,
    PassTimes,
    StepBytes,
    StepCosts,
    TransferTimes,
    simulate,
    simulate_many,
)

COSTS = StepCosts(
    PassTimes(1e-3, 1e-3, 1e-3),
    TransferTimes(bandwidth_s=5e-5, latency_s=1e-5),
    StepBytes(activation=2.0**30, static=2.0**35),
    DataParallelTimes(param_gather_s=1e-3, grad_reduce_s=2e-3, num_grad_buckets=4),
    finish=FinishTimes(optimizer_s=1e-3, sync_s=1e-4),
)
LARGE = [("1f1b", 64, 512, 1), ("zb-h1", 64, 512, 1), ("interleaved", 16, 256, 8)]
"""Schedule, devices, micro-batches and chunks; we hold ourselves to 50 ms for the first."""
SURVIVORS = [(p, m, v) for p in (4, 8, 16) for m in (64, 128, 256) for v in (1, 2)]
"""What the best plans of a search look like."""


def milliseconds(call: Callable[[], object], repeats: int = 11) -> float:
    """Median wall time of a call, after one to warm up."""
    call()
    times_s = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - start_s)
    return 1e3 * median(times_s)


def whole_step(orders: Orders) -> tuple[float, float]:
    """Step time and peak memory of one simulated step."""
    step = simulate(orders, COSTS)
    return step.step_s, float(step.memory.peak_bytes.max())


def large_steps() -> None:
    for name, p, m, v in LARGE:
        orders = schedule_named(name).orders(PipelineShape(p, m, v))
        alone, whole = milliseconds(partial(simulate, orders, COSTS)), milliseconds(partial(whole_step, orders))
        print(f"{name}, {p} devices x {m} micro-batches x {v} chunks, {len(orders):,} ops:")
        print(f"    {alone:.1f} ms simulated, {whole:.1f} ms with accounting and memory")


def many_steps(count: int = 50) -> None:
    shapes = [PipelineShape(*SURVIVORS[nth % len(SURVIVORS)]) for nth in range(count)]
    steps = [(schedule_named("interleaved").orders(shape), COSTS) for shape in shapes]
    at_once = milliseconds(lambda: [step.step_s for step in simulate_many(steps)], 5)
    one_by_one = milliseconds(lambda: [simulate(*step).step_s for step in steps], 5)
    print(f"{count} steps of at most 16 devices x 256 micro-batches x 2 chunks:")
    print(f"    {at_once:.0f} ms at once, {one_by_one:.0f} ms one by one")


def generators() -> None:
    print("Orders for 16 devices x 64 micro-batches, made for the first time:")
    for name, schedule in SCHEDULES.items():
        start_s = time.perf_counter()
        schedule.orders(PipelineShape(16, 64, 2, 1.0, 1.25, 0.85))
        print(f"    {name}: {1e3 * (time.perf_counter() - start_s):.1f} ms")


if __name__ == "__main__":
    large_steps()
    many_steps()
    generators()
