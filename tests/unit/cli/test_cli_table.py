import pytest

from meshwright.cli.render.table import PlanTable


@pytest.fixture
def varied(a_plan):
    """Plans that differ on every axis, with the widest numbers that training runs have."""
    return [
        a_plan(),
        a_plan(rank=2, slower=1.2, tp=16, cp=16, ep=64, dp=1024, vpp=10, schedule="interleaved", micro_batch=16,
               sharding="hsdp", shard_group=512, recompute="selective", recompute_modules=("layernorm", "mlp_act")),
        a_plan(rank=10, slower=10, sharding="zero3", recompute="full", recompute_layers=5, schedule="gpipe", ep=8),
    ]  # fmt: skip


@pytest.mark.parametrize("width", [56, 64, 72, 80, 100, 120, 160, 250])
def test_no_line_is_wider_than_the_terminal_nor_wrapped(drawn, varied, width):
    lines = drawn(PlanTable(varied), width).splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.split()[0] in ("1", "2", "10") for line in lines) == len(varied)


@pytest.mark.parametrize("width", [56, 64, 80, 160])
def test_nothing_is_cut_off(drawn, varied, width):
    assert "…" not in drawn(PlanTable(varied), width)


@pytest.mark.parametrize("width", [80, 160])
def test_a_usual_answer_shows_every_result_at_80_columns(drawn, a_plan, width):
    plans = [a_plan(), a_plan(rank=2, slower=1.1, vpp=5, schedule="interleaved", dp=16)]
    text = drawn(PlanTable(plans), width)
    for column in ("tp", "pp", "vpp", "cp", "dp", "zero1", "1f1b", "step", "MFU", "gap", "45.6%", "+25%", "60.0"):
        assert column in text


def test_expert_parallelism_has_a_column_only_where_it_is_used(drawn, a_plan):
    assert " ep " not in drawn(PlanTable([a_plan()]))
    assert " ep " in drawn(PlanTable([a_plan(ep=8)]))


@pytest.mark.parametrize("width", [56, 62, 68])
def test_where_space_is_short_only_as_much_as_needed_moves_into_a_line_above(drawn, a_plan, width):
    """Axes on which all plans agree, from the right: a narrower terminal says more above and less in the table."""
    plans = [a_plan(), a_plan(rank=2, slower=1.1)]
    narrow, wide = (drawn(PlanTable(plans), w).splitlines() for w in (width, width + 6))
    assert narrow[0].startswith("all plans: ")
    assert len(narrow[0]) >= len(wide[0]) or not wide[0].startswith("all plans: ")
    assert "recompute=none" in narrow[0]
    assert " recomp " not in "".join(narrow[1:4])


def test_partial_recompute_says_how_many_layers_of_a_stage(drawn, a_plan):
    assert "full 5/20" in drawn(PlanTable([a_plan(recompute="full", recompute_layers=5)]))
    assert "full 20" not in drawn(PlanTable([a_plan(recompute="full", recompute_layers=20)]))


def test_a_ranking_by_money_or_energy_shows_it(drawn, a_plan):
    assert "$6.10" in drawn(PlanTable([a_plan()], objective="cost"))
    assert "4.2 MJ" in drawn(PlanTable([a_plan()], objective="energy"))


def test_plans_say_where_they_run_once_an_answer_has_several_places(drawn, a_plan):
    """Even if the table itself has only one of them."""
    several = frozenset({("dgx-h100", 64), ("dgx-h100", 32)})
    assert "GPUs" in drawn(PlanTable([a_plan()], places=several))
    assert "GPUs" not in drawn(PlanTable([a_plan()]))
