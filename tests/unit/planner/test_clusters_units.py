"""Human units at the edge."""

import pytest

from meshwright.planner.clusters.units import UNITS, quantity, source_of


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("450 GB/s", "bandwidth", 450e9),
        ("400 Gb/s", "bandwidth", 50e9),
        ("400Gbps", "bandwidth", 50e9),
        ("1 GiB/s", "bandwidth", 2.0**30),
        ("81559 MiB", "size", 81559 * 2.0**20),
        ("2 TB", "size", 2e12),
        ("66.9 TFLOP/s", "compute", 66.9e12),
        ("2.25 PFLOP/s (data-sheet)", "compute", 2.25e15),
        ("0.6 us", "time", 0.6e-6),
        ("10.2 kW", "power", 10200.0),
        ("6.88 USD/h", "price", 6.88),
        ("132 SM", "cores", 132.0),
        ("1e3 B", "size", 1000.0),
    ],
)
def test_a_quantity_becomes_the_exact_si_value(text: str, dimension: str, value: float) -> None:
    assert quantity(text, dimension) == value


@pytest.mark.parametrize("text", ["0 GB/s", "-1 GB/s", "1e999 GB/s"])
def test_a_quantity_must_be_positive_and_finite(text: str) -> None:
    with pytest.raises(ValueError, match="positive"):
        quantity(text, "bandwidth")


@pytest.mark.parametrize(
    "text",
    ["450", 450, None, float("nan"), "nan GB/s", "inf GB/s", "fast", "1,5 GB/s", "1.2.3 GB/s", ["1 GB/s"]],
)
def test_a_number_needs_a_unit_and_a_unit_a_number(text: object) -> None:
    with pytest.raises(ValueError, match="isn't a number with a unit"):
        quantity(text, "bandwidth")


@pytest.mark.parametrize("text", ["450 gb/s", "450 GB", "450 GBs", "1 TFLOP/s"])
def test_an_unknown_unit_is_answered_with_those_that_exist(text: str) -> None:
    """Case matters: Gb/s and GB/s differ by 8."""
    with pytest.raises(ValueError, match=r"unknown unit.*GB/s.*Gb/s"):
        quantity(text, "bandwidth")


def test_a_source_in_parentheses_is_kept() -> None:
    assert source_of("3.35 TB/s (data-sheet)") == "data-sheet"
    assert source_of("3.35 TB/s") is None


def test_every_unit_of_every_dimension_is_read() -> None:
    for dimension, units in UNITS.items():
        for unit, factor in units.items():
            assert quantity(f"3 {unit}", dimension) == pytest.approx(3 * float(factor))
