"""Published bubbles and peaks of the pipeline schedules, against the simulation of the orders that we generate."""

import numpy as np
import pytest

from meshwright.cost_models.schedules import PipelineShape, schedule_named
from meshwright.cost_models.simulator import PassTimes, StepBytes, StepCosts, StepTimeline, simulate

HALF_DIGIT = 0.05 + 1e-9
"""Percentages are known to one digit after the point."""

EQUAL, UNEQUAL = (1.0, 1.0, 1.0), (1.0, 1.25, 0.85)
"""F, B and W of one micro-batch on one device."""

# Percent of the ideal time m(F+B+W): with a global sync at the end (the makespan), and within the devices' spans.
# The zero-bubble and V-shaped rows are what the schedulers published with the papers give in an event simulation
# (Zero Bubble Pipeline Parallelism, arXiv:2401.10241; Pipeline Parallelism with Controllable Memory, arXiv:2405.15362).
BUBBLES = [
    # p, m, times, chunks, schedule, synced, within spans
    (8, 24, EQUAL, 1, "1f1b", 29.2, None),
    (8, 24, EQUAL, 2, "interleaved", 14.6, None),
    (8, 24, EQUAL, 1, "zb-h1", 9.7, None),
    (8, 24, EQUAL, 1, "zb-h2", 9.7, 0.0),
    (8, 24, EQUAL, 2, "zb-v", 4.9, 0.0),
    (8, 24, EQUAL, 2, "v-half", 11.8, None),
    (8, 24, EQUAL, 2, "v-min", 18.8, None),
    (8, 24, UNEQUAL, 1, "1f1b", 29.2, None),
    (8, 24, UNEQUAL, 2, "interleaved", 14.6, None),
    (8, 24, UNEQUAL, 1, "zb-h1", 13.2, None),
    (8, 24, UNEQUAL, 1, "zb-h2", 9.4, 4.0),
    (8, 24, UNEQUAL, 2, "zb-v", 5.9, 3.2),
    (8, 24, UNEQUAL, 2, "v-half", 15.9, None),
    (8, 24, UNEQUAL, 2, "v-min", 40.3, None),
    (16, 64, EQUAL, 1, "1f1b", 23.4, None),
    (16, 64, EQUAL, 2, "interleaved", 11.7, None),
    (16, 64, EQUAL, 1, "zb-h1", 7.8, None),
    (16, 64, EQUAL, 1, "zb-h2", 7.8, 0.0),
    (16, 64, EQUAL, 2, "zb-v", 3.9, 0.0),
    (16, 64, EQUAL, 2, "v-half", 10.7, None),
    (16, 64, EQUAL, 2, "v-min", 15.4, None),
    (16, 64, UNEQUAL, 1, "1f1b", 23.4, None),
    (16, 64, UNEQUAL, 2, "interleaved", 11.7, None),
    (16, 64, UNEQUAL, 1, "zb-h1", 10.6, None),
    (16, 64, UNEQUAL, 1, "zb-h2", 7.6, 3.7),
    (16, 64, UNEQUAL, 2, "zb-v", 4.7, 2.8),
    (16, 64, UNEQUAL, 2, "v-half", 13.9, None),
    (16, 64, UNEQUAL, 2, "v-min", 37.4, None),
]

# Micro-batches that the fullest device holds, by p. 2405.15362: (p+2)//2 and (p+4)//3; 2104.04473: p(1 + (p-1)/(pv));
# 2412.19437, Table 2: p+1 stages' worth; 2411.05288: p+2 with two barriers, p+1 with one.
PEAKS = {
    ("gpipe", 1): {4: 32, 8: 32, 16: 32},
    ("1f1b", 1): {4: 4, 8: 8, 16: 16},
    ("interleaved", 2): {4: 5.5, 8: 11.5, 16: 23.5},
    ("zb-h1", 1): {4: 4, 8: 8, 16: 16},
    ("zb-h2", 1): {4: 8, 8: 16, 16: 32},
    ("zb-v", 2): {4: 4, 8: 8, 16: 16},
    ("v-half", 2): {4: 3, 8: 5, 16: 9},
    ("v-min", 2): {4: 2, 8: 4, 16: 6},
    ("dualpipe", 1): {4: 5, 8: 9, 16: 17},
    ("dualpipev", 2): {4: 4.5, 8: 8.5, 16: 16.5},
    ("vocab-1", 1): {4: 6, 8: 10, 16: 18},
    ("vocab-2", 1): {4: 5, 8: 9, 16: 17},
}


def run(name: str, shape: PipelineShape, stages_a_device: int) -> StepTimeline:
    """Simulates equal stages without transfers; the output layer's shards take no time and hold nothing."""
    orders = schedule_named(name).orders(shape)
    share = np.where(orders.stages.is_shard, 0.0, 1.0 / stages_a_device)
    times = PassTimes(shape.forward_s * share, shape.backward_input_s * share, shape.backward_weight_s * share)
    return simulate(orders, StepCosts(times, bytes=StepBytes(share)))


@pytest.mark.parametrize(("p", "m", "times", "chunks", "name", "synced", "within_spans"), BUBBLES)
def test_simulated_bubbles_are_the_published_ones(
    p: int, m: int, times: tuple[float, float, float], chunks: int, name: str, synced: float, within_spans: float | None
) -> None:
    """To the printed digit, with a global sync and without."""
    shape = PipelineShape(p, m, chunks, *times)
    step = run(name, shape, chunks)
    ideal_s = m * sum(times)
    assert 100 * (step.makespan_s / ideal_s - 1) == pytest.approx(synced, abs=HALF_DIGIT)
    if within_spans is not None:
        assert 100 * (step.span_s.max() / ideal_s - 1) == pytest.approx(within_spans, abs=HALF_DIGIT)


@pytest.mark.parametrize(("name", "chunks"), PEAKS)
def test_peaks_are_the_published_ones(name: str, chunks: int) -> None:
    """In the simulated memory and in the closed form, on the fullest device."""
    for p, peak in PEAKS[name, chunks].items():
        shape = PipelineShape(p, 32, chunks)
        assert run(name, shape, chunks).memory.peak_bytes.max() == peak
        assert schedule_named(name).peak_activations(shape, np.arange(p)).max() == peak


def test_dualpipe_has_the_published_bubble() -> None:
    """(p/2-1)(F&B + BW - 3W), as much with 20 as with 40 micro-batches (arXiv:2412.19437, Table 2)."""
    for m in (20, 40):
        step = run("dualpipe", PipelineShape(8, m), 1)
        assert step.makespan_s - 3 * m == pytest.approx((8 / 2 - 1) * (3 + 2 - 3))


def test_dualpipev_has_the_bubble_of_dualpipe_on_half_of_the_devices() -> None:
    """As many stages on half of the devices: the same bubble in passes of a stage."""
    whole, halved = run("dualpipe", PipelineShape(8, 24), 1), run("dualpipev", PipelineShape(4, 24), 1)
    assert halved.makespan_s - 2 * 3 * 24 == pytest.approx(whole.makespan_s - 3 * 24)


def test_a_global_sync_costs_zero_bubble_schedules_their_warm_up() -> None:
    """(p-1)F for ZB-H2, half of it for ZB-V; both have no bubble within a device's span."""
    for name, chunks, cost_s in (("zb-h2", 1, 7.0), ("zb-v", 2, 3.5)):
        step = run(name, PipelineShape(8, 24, chunks), chunks)
        assert step.span_s.max() == pytest.approx(72)
        assert step.makespan_s == pytest.approx(72 + cost_s)


def test_vocabulary_parallel_keeps_the_bubble_of_1f1b() -> None:
    """Within 5 % of (p-1)(F+B+W), with shards that take from nothing to half as long as a stage."""
    shape = PipelineShape(8, 32)
    for name in ("vocab-1", "vocab-2"):
        orders = schedule_named(name).orders(shape)
        for shard_s in (0.0, 0.1, 0.5):
            pass_s = np.where(orders.stages.is_shard, shard_s, 1.0)
            last_s = np.where(orders.stages.is_shard, 0.0 if name == "vocab-1" else shard_s, 1.0)
            step = simulate(orders, StepCosts(PassTimes(pass_s, pass_s, last_s)))
            work_s = step.devices.busy_s.max()
            assert step.makespan_s - work_s == pytest.approx(7 * 3, rel=0.05)
