"""Which part of the exchange of gradients and parameters a step waits for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import samples

from meshwright.cost_models.candidates import Candidates, Sharding
from meshwright.cost_models.data_parallel import beside
from meshwright.cost_models.job import Job
from meshwright.cost_models.price import StepTerm, price
from meshwright.planner.frameworks import read_framework


def under(job: Job, **facts: Any) -> Job:
    """The job in a framework that differs in some facts."""
    return replace(job, framework=replace(read_framework("generic"), **facts))


def waits(job: Job, plan: Candidates) -> float:
    return float(price(job, plan).terms[StepTerm.DATA_COMM, 0])


def test_beside_compute_only_the_last_piece_is_waited_for() -> None:
    """Ten pieces beside plenty of compute: one is exposed. Beside none: all. Without overlap: all."""
    ten, plenty, none = np.array([10.0]), np.array([100.0]), np.array([0.0])
    assert beside(ten, plenty, ten, overlap=True) == 1.0
    assert beside(ten, none, ten, overlap=True) == 10.0
    assert beside(ten, plenty, ten, overlap=False) == 10.0
    assert beside(ten, np.array([4.0]), ten, overlap=True) == 6.0


@pytest.mark.parametrize("sharding", [Sharding.NONE, Sharding.ZERO1, Sharding.ZERO2, Sharding.ZERO3])
def test_overlap_never_makes_a_step_slower(sharding: Sharding) -> None:
    """What runs beside compute is waited for less than what runs after it."""
    plan = samples.plan(dp=8, sharding=sharding, shard_group=8 if sharding else 1)
    switches = ("overlap_gradient_reduce", "overlap_parameter_gather", "overlap_fsdp")
    after, beside_compute = (under(samples.job(), **dict.fromkeys(switches, on)) for on in (False, True))
    assert waits(beside_compute, plan) < waits(after, plan)


def test_more_micro_batches_exchange_no_more_gradients_under_zero1() -> None:
    """Gradients accumulate and are reduced once a step; ZeRO-3 gathers parameters for every micro-batch."""
    alone = {"overlap_gradient_reduce": False, "overlap_parameter_gather": False, "overlap_fsdp": False}
    zero1 = samples.plan(dp=8, sharding=Sharding.ZERO1, shard_group=8)
    zero3 = samples.plan(dp=8, sharding=Sharding.ZERO3, shard_group=8)
    few, many = (under(samples.job(global_batch=batch), **alone) for batch in (8, 64))
    assert waits(many, zero1) == pytest.approx(waits(few, zero1))
    assert waits(many, zero3) == pytest.approx(8 * waits(few, zero3))


def test_hsdp_keeps_the_heavy_traffic_inside_a_node() -> None:
    """Parameters gather inside the nodes, and gradients cross them once a step: less to wait for than under ZeRO-3."""
    job = under(samples.job(devices=64, global_batch=512), overlap_fsdp=False, fsdp_reduce_each_micro_batch=False)
    inside = samples.plan(dp=64, sharding=Sharding.HSDP, shard_group=8)
    everywhere = samples.plan(dp=64, sharding=Sharding.ZERO3, shard_group=64)
    assert waits(job, inside) < waits(job, everywhere)


def test_fewer_bytes_in_the_reduction_take_less_time() -> None:
    """Gradients reduced in 16 bits take about half the time of fp32."""
    job = samples.job(devices=64)
    half, whole = (under(job, gradient_reduce_bytes=width, overlap_gradient_reduce=False) for width in (2.0, 4.0))
    assert waits(half, samples.plan(dp=64)) == pytest.approx(waits(whole, samples.plan(dp=64)) / 2, rel=0.05)
