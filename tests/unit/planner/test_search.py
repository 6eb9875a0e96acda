"""The search on questions with a known end."""

import pytest
import samples

from meshwright.planner.search import KEEP, search


def test_a_single_device_has_one_mesh_and_finds_the_best_micro_batch() -> None:
    """With nothing to divide, what is left are micro-batches and recomputation."""
    found = search(samples.problem(devices=1))
    assert found.is_feasible
    assert {int(getattr(found.candidates, axis)[0]) for axis in ("dp", "tp", "pp", "cp")} == {1}
    assert found.candidates.recompute[0] == 0  # nothing is short, so nothing is repeated


def test_where_nothing_fits_the_nearest_plan_is_kept() -> None:
    """Half a gigabyte holds no model: one plan is left, and it overflows."""
    problem = samples.problem(memory_gib=0.5)
    found = search(problem)
    assert not found.is_feasible
    assert len(found.candidates) == 1
    assert found.costs is not None
    assert found.costs.peak_memory_bytes[0] > problem.memory_limit_bytes
    assert found.account.priced == 0


def test_where_the_rules_leave_nothing_there_is_no_plan() -> None:
    """Seven devices divide neither heads nor batch nor layers."""
    found = search(samples.problem(devices=8, global_batch=1, fix=["dp=8"]))
    assert not found.is_feasible
    assert len(found.candidates) == 0
    assert found.costs is None
    assert sum(found.account.excluded.values()) == found.account.total


def test_enough_plans_are_kept_for_alternatives() -> None:
    """At least `KEEP` plans where that many fit, all of which fit, the fastest first."""
    problem = samples.problem()
    found = search(problem)
    assert found.costs is not None
    assert len(found.candidates) >= KEEP
    assert (found.costs.peak_memory_bytes <= problem.memory_limit_bytes).all()
    assert found.costs.step_time_s[0] == pytest.approx(found.costs.step_time_s.min(), rel=1e-4)


def test_progress_counts_the_tables() -> None:
    """Called once for each table, with ascending numbers."""
    seen: list[int] = []
    search(samples.problem(), seen.append)
    assert seen == list(range(len(seen)))
    assert seen


def test_a_demand_of_the_user_is_a_reason_of_exclusion() -> None:
    """The account names what the user asked for among the rules."""
    account = search(samples.problem(fix=["schedule=gpipe"], limit=["dp<=4"])).account
    assert all(number > 0 for number in account.excluded.values())
    assert account.total == sum(account.excluded.values()) + account.did_not_fit + account.pruned + account.priced
