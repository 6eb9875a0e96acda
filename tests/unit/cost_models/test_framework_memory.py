"""What frameworks really do shows in a device's memory: each mechanism alone, on against off."""

from dataclasses import replace

import pytest
import samples

from meshwright.cost_models.candidates import Candidates, Sharding
from meshwright.cost_models.job import Job
from meshwright.cost_models.memory import MemoryBreakdown
from meshwright.cost_models.parameter_bytes import StateBytes
from meshwright.cost_models.price import price


def memory(job: Job, plan: Candidates, **changes: object) -> MemoryBreakdown:
    return price(replace(job, framework=replace(job.framework, **changes)), plan).memory


def test_static_buffers_hold_more_than_is_in_flight_but_on_the_last_stage():
    """Eight micro-batches with buffers against at most four in flight."""
    job, plan = samples.job(global_batch=64), samples.plan(dp=2, pp=4)
    own, buffered = (memory(job, plan, buffers_per_stage=number) for number in (0.0, 2.0))
    assert buffered.activations[0, 0] >= 2 * own.activations[0, 0]
    assert (buffered.activations[0] == own.activations[0]).any()


def test_loading_whole_weights_counts_where_training_takes_less():
    """Sharded parameters beside all of them in 16 bits, if nothing else is as high."""
    job, plan = samples.job(), samples.plan(dp=8, sharding=int(Sharding.ZERO3), shard_group=8)
    own, loads = (memory(job, plan, loads_whole=whole) for whole in (False, True))
    assert loads.allocated[0, 0] >= own.allocated[0, 0]
    undivided = samples.plan(dp=8)
    assert memory(job, undivided, loads_whole=True).allocated[0, 0] == memory(job, undivided).allocated[0, 0]


def test_adapters_have_states_of_their_own_without_sharding():
    """Four bytes of moments instead of twelve with master weights: a third."""
    states = StateBytes(parameter=2, gradient=2, optimizer=4)
    job = samples.job()
    job = replace(job, workload=replace(job.workload, task="lora"))
    own, adapters = (memory(job, samples.plan(dp=8), adapter_states=one) for one in (None, states))
    assert adapters.optimizer[0, 0] == pytest.approx(own.optimizer[0, 0] / 3)


def test_reduce_buffers_exist_on_a_device_by_itself_where_it_shards():
    """DeepSpeed's buckets: under ZeRO-1 and ZeRO-2 two, under ZeRO-3 one, else none."""
    job = samples.job(devices=1)
    for way, buffers in ((Sharding.NONE, 0), (Sharding.ZERO1, 2e9), (Sharding.ZERO2, 2e9), (Sharding.ZERO3, 1e9)):
        plan = samples.plan(sharding=int(way))
        without, held = memory(job, plan), memory(job, plan, reduce_buffer_bytes=2e9, fsdp_reduce_buffer_bytes=1e9)
        assert held.allocated[0, 0] - without.allocated[0, 0] == pytest.approx(buffers)


def test_steps_by_groups_need_the_temporaries_of_one_group():
    """Six bytes for each of a hundred million parameters at once, not for all of them."""
    states = StateBytes(parameter=2, gradient=2, optimizer=12, optimizer_temporary=60)
    job, plan = samples.job(devices=1, seq_len=16, global_batch=1), samples.plan(sharding=int(Sharding.ZERO3))
    whole, grouped = (memory(job, plan, fsdp_states=states, step_parameters=most) for most in (None, 1e8))
    assert grouped.working[0, 0] == pytest.approx(60e8)
    assert whole.working[0, 0] > grouped.working[0, 0]


def test_parameters_that_stay_gathered_count_beside_the_units_at_work():
    """No more than a stage has, and none where nothing is gathered."""
    job = samples.job(seq_len=128)
    fully = samples.plan(dp=8, sharding=int(Sharding.ZERO3), shard_group=8)
    gone, some, most = (memory(job, fully, live_parameters=live).working[0, 0] for live in (0, 2e8, 1e15))
    assert gone < some < most
    whole = samples.plan(dp=8)
    assert memory(job, whole, live_parameters=1e15).working[0, 0] == memory(job, whole).working[0, 0]
