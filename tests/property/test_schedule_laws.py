"""Laws of the pipeline schedules: what the closed forms say is what the simulation of their orders gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.cost_models.schedules import SCHEDULES, Orders, PipelineShape, check_legality, schedule_named
from meshwright.cost_models.simulator import PassTimes, StepBytes, StepCosts, StepTimeline, simulate
from meshwright.errors import AxisError

pass_s = st.floats(0.1, 3.0)
law = settings(max_examples=settings().max_examples // 2)


@st.composite
def shapes(draw: st.DrawFn) -> PipelineShape:
    """Pipelines from one device up, with fewer micro-batches than devices or many more; F = B = W half of the time."""
    p, m, v = draw(st.integers(1, 7)), draw(st.integers(1, 24)), draw(st.integers(1, 4))
    forward_s = draw(pass_s)
    others_s = (forward_s, forward_s) if draw(st.booleans()) else (draw(pass_s), draw(pass_s))
    return PipelineShape(p, m, v, forward_s, *others_s)


def orders_of(name: str, shape: PipelineShape) -> Orders | None:
    """The orders, or None where the schedule doesn't exist."""
    try:
        return schedule_named(name).orders(shape)
    except AxisError:
        assert name.startswith("dualpipe")
        return None


def run(orders: Orders, shape: PipelineShape) -> StepTimeline:
    """Equal stages, free transfers; the output layer's shards take no time and hold nothing."""
    stages = orders.stages
    share = np.where(stages.is_shard, 0.0, stages.num_chains * stages.num_devices / (~stages.is_shard).sum())
    times = PassTimes(shape.forward_s * share, shape.backward_input_s * share, shape.backward_weight_s * share)
    return simulate(orders, StepCosts(times, bytes=StepBytes(share)))


@pytest.mark.parametrize("name", SCHEDULES)
@law
@given(shape=shapes())
def test_orders_are_legal(name: str, shape: PipelineShape) -> None:
    """Whatever the sizes and times: every op once, in an order that can't deadlock."""
    if (orders := orders_of(name, shape)) is not None:
        check_legality(orders)


@pytest.mark.parametrize("name", SCHEDULES)
@law
@given(shape=shapes())
def test_closed_forms_are_exact_where_they_say_so(name: str, shape: PipelineShape) -> None:
    """The bubble of the simulation, to rounding."""
    schedule = schedule_named(name)
    orders = orders_of(name, shape)
    if orders is not None and schedule.bubble_is_exact(shape):
        ideal_s = shape.m * shape.work_s
        assert run(orders, shape).makespan_s == pytest.approx(ideal_s + schedule.bubble_s(shape), rel=1e-9)


@pytest.mark.parametrize("name", ["gpipe", "1f1b", "interleaved"])
@law
@given(shape=shapes())
def test_schedules_of_whole_backward_passes_are_always_exact(name: str, shape: PipelineShape) -> None:
    """So that pruning by closed form and ranking by simulation can't disagree on what launchers run most."""
    assert schedule_named(name).bubble_is_exact(shape)


@pytest.mark.parametrize("name", SCHEDULES)
@law
@given(shape=shapes())
def test_peaks_are_those_of_the_simulated_memory(name: str, shape: PipelineShape) -> None:
    """Never more on any device, and as much on the fullest."""
    if (orders := orders_of(name, shape)) is not None:
        held = run(orders, shape).memory.peak_bytes
        promised = schedule_named(name).peak_activations(shape, np.arange(orders.num_devices))
        assert (held <= promised + 1e-9).all()
        assert held.max() == pytest.approx(promised.max())


@pytest.mark.parametrize("name", ["gpipe", "1f1b", "interleaved"])
@law
@given(shape=shapes())
def test_peaks_are_right_on_every_device(name: str, shape: PipelineShape) -> None:
    """Memory planning needs each stage's own, not the worst."""
    orders = schedule_named(name).orders(shape)
    promised = schedule_named(name).peak_activations(shape, np.arange(orders.num_devices))
    assert run(orders, shape).memory.peak_bytes == pytest.approx(promised)


@law
@given(shape=shapes())
def test_zb_h1_is_never_slower_than_1f1b_nor_fuller(shape: PipelineShape) -> None:
    """Split backward passes only add freedom; ZB-H2 adds memory."""
    plain, first, second = (schedule_named(name) for name in ("1f1b", "zb-h1", "zb-h2"))
    assert run(first.orders(shape), shape).makespan_s <= run(plain.orders(shape), shape).makespan_s * (1 + 1e-9)
    assert plain.peak_activations(shape) == first.peak_activations(shape) <= second.peak_activations(shape)


@pytest.mark.parametrize("name", SCHEDULES)
def test_closed_forms_take_tables_of_plans(name: str) -> None:
    """Row by row the same as one by one."""
    schedule = schedule_named(name)
    p, m, v = np.array([2, 4, 8, 8]), np.array([4, 9, 32, 5]), np.array([1, 2, 3, 4])
    table = PipelineShape(p, m, v, np.full(4, 1.0), np.array([1.0, 1.5, 1.0, 0.7]), np.array([1.0, 0.5, 1.0, 0.6]))
    for row in range(4):
        alone = PipelineShape(
            int(p[row]),
            int(m[row]),
            int(v[row]),
            1.0,
            *(float(t[row]) for t in (table.backward_input_s, table.backward_weight_s)),  # type: ignore[index]
        )
        assert schedule.bubble_s(table)[row] == schedule.bubble_s(alone)
        assert schedule.bubble_is_exact(table)[row] == schedule.bubble_is_exact(alone)
        assert schedule.peak_activations(table)[row] == schedule.peak_activations(alone)
