"""When nothing fits: what overflows, by how much, and changes that really help."""

import re
from typing import Any

import pytest
import samples

import meshwright as mw

QUESTION: dict[str, Any] = {"global_batch": 64, "seq_len": 4096, "calibration": "spec-sheet"}


def short(memory_gib: float = 2.0, **more: Any) -> mw.PlanSet:
    cluster = samples.cluster(more.pop("devices", 8), memory_gib)
    return mw.plan(samples.dense(layers=16), cluster, **(QUESTION | more))


def test_the_nearest_plan_and_its_overflow_are_told() -> None:
    """The classes that fill the fullest stage, and the bytes that are missing."""
    told = short().shortfall
    assert told is not None
    assert told.nearest is not None
    assert not told.nearest.fits
    assert told.overflow_bytes > 0
    assert re.search(r"needs [\d.]+ of [\d.]+ GiB on stage \d+: \w+ \d+ %|needs .* GiB .*%", told.message)


@pytest.mark.parametrize("fix", ["micro_batch=2", "vpp=2", "recompute=selective", "schedule=gpipe", "tp=2"])
def test_the_nearest_plan_is_as_demanded(fix: str) -> None:
    """A model whose states alone overflow still has a nearest plan, whatever axis is fixed."""
    told = short(memory_gib=0.5, fix=[fix]).shortfall
    assert told is not None
    assert told.nearest is not None
    assert fix in told.nearest.text.split()


def test_every_remedy_really_helps() -> None:
    """Asked again with the change, the question has a plan, which is the one that the remedy names."""
    told = short(framework="megatron-core", fix=["recompute=none", "tp=1"], memory_gib=4.0).shortfall
    assert told is not None
    assert told.remedies
    for remedy in told.remedies:
        again = changed(remedy.change)
        assert again.is_feasible, remedy.change
        assert again.best.fits


def changed(change: str) -> mw.PlanSet:
    """The question of the test above with one change, as a user would make it."""
    asked: dict[str, Any] = {"framework": "megatron-core", "fix": ["recompute=none", "tp=1"], "memory_gib": 4.0}
    if change.startswith("without any"):
        asked["fix"] = []
    elif change.startswith("without "):
        asked["fix"] = [demand for demand in asked["fix"] if demand != change.removeprefix("without ")]
    elif change.startswith("--framework"):
        asked["framework"] = change.split()[1]
    elif change.startswith("--seq-len"):
        asked["seq_len"] = int(change.split()[1])
    elif change.startswith("--gpus"):
        asked["devices"] = int(change.split()[1])
    else:
        raise AssertionError(f"no such change: {change}")
    return short(**asked)


def test_a_demand_that_is_in_the_way_is_named_first() -> None:
    """The gentlest change comes first: giving up what the user asked for, one demand at a time."""
    told = short(memory_gib=8.0, fix=["sharding=none", "recompute=none", "dp=8"]).shortfall
    assert told is not None
    assert told.remedies[0].change.startswith("without ")


def test_demands_that_leave_no_plan_at_all_are_an_error() -> None:
    """Without a plan there is nothing that could overflow: the message names devices, batch and layers."""
    with pytest.raises(mw.errors.WorkloadError, match=r"no plan divides 8 devices, global_batch=64 and 16 layers"):
        short(80.0, fix=["tp=3"])
    with pytest.raises(mw.errors.WorkloadError, match="batch"):
        short(80.0, global_batch=7, fix=["dp=8"])


def test_rules_that_dropped_nothing_are_not_blamed() -> None:
    with pytest.raises(mw.errors.WorkloadError) as caught:
        short(80.0, fix=["schedule=interleaved", "vpp=1"])
    assert "(0)" not in str(caught.value)
