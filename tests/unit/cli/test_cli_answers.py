import pytest

from meshwright.cli.render.answers import plan_set


@pytest.mark.parametrize("width", [72, 80, 160])
@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_of_an_answer_is_wider_than_the_terminal(drawn, an_answer, a_plan, width, verbose):
    text = drawn(plan_set(an_answer([a_plan(), a_plan(rank=2, slower=1.1)]), verbose=verbose), width)
    assert max(map(len, text.splitlines())) <= width


def test_an_answer_says_what_was_asked(drawn, an_answer, a_plan):
    text = drawn(plan_set(an_answer([a_plan()])))
    for fact in (
        "llama-3-70b, 70.6 B parameters, 80 layers",
        "dgx-h100, 64 x h100-80gb",
        "512 sequences of 8,192 tokens",
        "megatron-core",
        "least time a step, pp<=8",
    ):
        assert fact in text


def test_fates_of_candidates_add_up_to_all_of_them(drawn, an_answer, a_plan):
    search = drawn(plan_set(an_answer([a_plan()]))).split("Search")[1].split("Assumptions")[0]
    assert "1,000 plans in 250.0 ms; proven optimal within the space" in search
    fates = [int(line.split()[0]) for line in search.splitlines() if line.split() and line.split()[0].isdigit()]
    assert sum(fates) == 1000


def test_verbose_shows_every_rule_and_assumption_and_where_ranks_lie(drawn, an_answer, a_plan):
    answer = an_answer([a_plan()])
    brief, verbose = (drawn(plan_set(answer, verbose=v)) for v in (False, True))
    assert "2 more with --verbose" in brief
    for detail in ("assumption 5", "  heads", "  layers", "stride"):
        assert detail in verbose
        assert detail not in brief or detail == "  layers"


def test_the_front_shows_only_what_the_ranking_does_not(drawn, an_answer, a_plan):
    roomy = a_plan(rank=1, slower=1.3, sharding="zero3", peaks_gib=(30.0, 30.0))
    text = drawn(plan_set(an_answer([a_plan()], pareto=(a_plan(), roomy))))
    assert text.split("Trade-offs")[1].split("Best plan")[0].count("zero") == 1
    assert "Trade-offs" not in drawn(plan_set(an_answer([a_plan()], pareto=(a_plan(),))))


def test_when_nothing_fits_the_overflow_and_the_nearest_plan_are_shown(drawn, nothing_fits):
    text = " ".join(drawn(plan_set(nothing_fits)).split())
    assert "Nothing fits." in text
    assert "20.2 GiB too much" in text
    assert "Nearest plan" in text
    assert "No single change that was tried makes it fit" in text
    assert "proven optimal" not in text
