import pytest

from meshwright.cli.render import numbers


@pytest.mark.parametrize(
    ("number", "text"), [(70_553_706_496, "70.6 B"), (1.04e12, "1.04 T"), (560e6, "560 M"), (999, "999")]
)
def test_large_counts_have_three_figures_and_a_letter(number, text):
    assert numbers.large(number) == text


@pytest.mark.parametrize(
    ("time_s", "text"),
    [(12345.6, "12,346 s"), (123.45, "123.5 s"), (51.796, "51.80 s"), (9.4123, "9.412 s"), (0.3456, "345.6 ms"),
     (0.00123, "1.23 ms")],
)  # fmt: skip
def test_times_have_about_four_figures(time_s, text):
    assert numbers.seconds(time_s) == text


def test_parts_have_the_decimals_of_the_whole():
    """So that a column of terms lines up and visibly adds up to its total."""
    assert [numbers.seconds_like(part, 51.8) for part in (38.92, 0.4)] == ["38.92 s", "0.40 s"]


def test_small_differences_say_equal_instead_of_zero():
    assert [numbers.difference(d, 51.8) for d in (0.2, -0.2, 1e-4)] == ["+0.20 s", "-0.20 s", "="]


def test_a_share_that_rounds_to_nothing_says_so():
    assert [numbers.percent(share) for share in (0.4831, 0.0001, 0.0)] == ["48.3%", "<0.1%", "0.0%"]


def test_a_share_of_nothing_is_a_dash():
    """As the error of a source whose rows all lack a prediction."""
    assert numbers.percent(float("nan")) == "-"


def test_gibibytes_are_powers_of_two():
    assert numbers.gib(85_027_979_264) == "79.2"
