from meshwright.cli.render import words
from meshwright.planner.axes import parse_plan
from meshwright.planner.results import MemoryClasses, StepBreakdown


def test_every_term_and_memory_class_has_its_word():
    """A term that the cost models gain must be named here, or answers can't be drawn."""
    assert set(StepBreakdown.model_fields) <= set(words.TERMS)
    assert set(MemoryClasses.model_fields) <= set(words.MEMORY)


def test_memory_letters_are_unique():
    assert len({word.letter for word in words.MEMORY.values()}) == len(words.MEMORY)


def test_axes_in_brief_read_back_as_the_same_plan(a_plan):
    """What an answer calls a plan can be given to `evaluate --plan`."""
    for axes in (
        {},
        {"sharding": "hsdp", "shard_group": 2},
        {"recompute": "selective", "recompute_modules": ("layernorm", "mlp_act")},
        {"recompute": "full", "recompute_layers": 5, "schedule": "gpipe"},
        {"ep": 8, "etp": 1},
    ):
        plan = a_plan(**axes)
        told = parse_plan(words.axes_in_brief(plan)).values
        whole = parse_plan(plan.text).values
        assert {axis: whole[axis] for axis in told} == told
