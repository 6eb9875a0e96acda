"""The space of plans: what it holds, what the user's demands leave of it, and how a partial plan is completed."""

from math import prod

import numpy as np
import pytest
import samples
from strategies import legal_plans

from meshwright.cost_models.candidates import Recompute, Schedule, Sharding
from meshwright.planner import space as module
from meshwright.planner.axes import value_text
from meshwright.planner.problem import Problem
from meshwright.planner.space import Space, Tally, divisors, single_plan


def test_divisors() -> None:
    """All of them up to the limit, ascending."""
    assert divisors(12, 12) == [1, 2, 3, 4, 6, 12]
    assert divisors(12, 5) == [1, 2, 3, 4]


def test_the_total_is_the_product_of_the_options() -> None:
    """Every mesh with every option of every axis counts once, whether a rule drops it or not."""
    space, tally = Space(samples.problem()), Tally()
    for _ in space.grow(tally):
        pass
    assert tally.total == len(space.meshes) * prod(len(step) for step in space.steps)


@pytest.mark.parametrize(
    "fix", ["tp=2", "pp=4", "dp=2", "micro_batch=4", "schedule=gpipe", "recompute=full", "sharding=zero1", "vpp=2"]
)
def test_a_fixed_axis_has_one_value_in_the_space(fix: str) -> None:
    axis, word = fix.split("=")
    plans = legal_plans(samples.problem(fix=[fix]))
    assert len(plans)
    assert {value_text(axis, int(value)) for value in getattr(plans, axis)} == {word}


def test_limits_bound_the_space() -> None:
    plans = legal_plans(samples.problem(limit=["tp<=2", "pp>=2", "sharding!=none"]))
    assert plans.tp.max() <= 2
    assert plans.pp.min() >= 2
    assert (plans.sharding[plans.dp * plans.cp > 1] != Sharding.NONE).all()


def test_what_the_user_fixes_need_not_be_on_the_usual_grid() -> None:
    """64 sequences a micro-batch and 3 of 8 layers aren't tried unasked, but are looked at on request."""
    assert 64 not in legal_plans(samples.problem(devices=1)).micro_batch
    assert (legal_plans(samples.problem(devices=1, fix=["micro_batch=64"])).micro_batch == 64).all()
    sixty = samples.dense(layers=60)
    every = legal_plans(samples.problem(sixty, devices=1, fix=["recompute=full"]))
    assert 7 not in every.recompute_layers
    asked = legal_plans(samples.problem(sixty, devices=1, fix=["recompute=full", "recompute_layers=7"]))
    assert (asked.recompute_layers == 7).all()


def test_recomputed_layers_come_in_eighths_of_a_stage() -> None:
    plans = legal_plans(samples.problem(samples.dense(layers=64), devices=1, fix=["recompute=full"]))
    assert sorted(set(plans.recompute_layers.tolist())) == [8, 16, 24, 32, 40, 48, 56, 64]


def test_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the space, a table has at most `MAX_ROWS` rows; together they have the same plans."""
    problem = samples.problem()
    whole = sum(len(table) for table in Space(problem).grow(Tally()))
    monkeypatch.setattr(module, "MAX_ROWS", 100)
    sizes = [len(table) for table in Space(problem).grow(Tally())]
    assert max(sizes) <= 100
    assert sum(sizes) == whole


def completed(text: dict[str, int], problem: Problem | None = None) -> dict[str, int]:
    row = single_plan(problem or samples.problem(), text)
    return {name: int(getattr(row, name)[0]) for name in row.__dataclass_fields__}


def test_a_partial_plan_is_completed_as_its_user_means_it() -> None:
    """Data parallelism fills the devices, ZeRO-1 shards over it, sequence parallelism comes with tensor parallelism."""
    axes = completed({"tp": 2, "pp": 2})
    assert (axes["dp"], axes["cp"], axes["vpp"], axes["micro_batch"]) == (2, 1, 1, 1)
    assert (axes["sharding"], axes["shard_group"]) == (Sharding.ZERO1, 2)
    assert axes["sequence_parallel"] == 1
    assert axes["schedule"] == Schedule.ONE_F_ONE_B


def test_axes_imply_each_other() -> None:
    """Chunks mean interleaving, modules mean selective recomputation, full recomputation means every layer."""
    assert completed({"pp": 2, "vpp": 4})["schedule"] == Schedule.INTERLEAVED
    assert completed({"recompute_modules": 4})["recompute"] == Recompute.SELECTIVE
    assert completed({"pp": 2, "recompute": Recompute.FULL})["recompute_layers"] == 4
    assert completed({"recompute": Recompute.SELECTIVE})["recompute_modules"] > 0
    assert completed({"tp": 8})["sharding"] == Sharding.NONE
    assert completed({"sharding": Sharding.HSDP}, samples.problem(devices=16))["shard_group"] == 8


def test_growing_is_repeatable() -> None:
    """The same plans in the same order every time."""
    first, second = (list(Space(samples.problem(samples.moe())).grow(Tally())) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        for column, same in zip(one.columns(), other.columns(), strict=True):
            np.testing.assert_array_equal(column, same)
