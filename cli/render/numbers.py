"""Quantities as people read them: the one place where SI numbers become text."""

import math

GIB = 2.0**30


def count(number: float) -> str:
    """A whole number with separators: `1,234,567`."""
    return f"{number:,.0f}"


def large(number: float) -> str:
    """A large count in words of science: `70.6 B`, `1.04 T`."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return count(number)


def seconds(time_s: float) -> str:
    """A time with four figures: `9.412 s`, `812.3 ms`."""
    return seconds_like(time_s, time_s)


def seconds_like(time_s: float, whole_s: float) -> str:
    """A time with the unit and the decimals of the whole that it is part of, so that columns line up."""
    if whole_s < 1:
        return f"{time_s * 1e3:.{1 if whole_s >= 0.1 else 2}f} ms"
    return f"{time_s:,.{0 if whole_s >= 1000 else 1 if whole_s >= 100 else 2 if whole_s >= 10 else 3}f} s"


def difference(time_s: float, whole_s: float) -> str:
    """A difference of times beside the whole that it is a part of: `+0.12 s`, `=`."""
    size = seconds_like(abs(time_s), whole_s)
    return "=" if size == seconds_like(0.0, whole_s) else ("-" if time_s < 0 else "+") + size


def gib(size_bytes: float) -> str:
    """Bytes in GiB, without the unit: `61.3`."""
    return f"{size_bytes / GIB:,.1f}"


def percent(share: float, decimals: int = 1) -> str:
    """A share of one: `48.3%`; a dash where there is none."""
    if math.isnan(share):
        return "-"
    smallest = 10.0**-decimals
    return f"<{smallest:g}%" if 0 < 100 * share < smallest / 2 else f"{100 * share:.{decimals}f}%"


def gap(share: float) -> str:
    """How far above a bound: `+34%`, `+1,200%`."""
    return f"+{100 * share:,.0f}%"


def dollars(amount_usd: float) -> str:
    """Money: `$1.23`, `$0.0042`."""
    return f"${amount_usd:,.{2 if amount_usd >= 1 else 4}f}"


def joules(energy_j: float) -> str:
    """Energy: `412 kJ`."""
    for size, unit in ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ")):
        if energy_j >= size:
            return f"{energy_j / size:.3g} {unit}"
    return f"{energy_j:.3g} J"


def gigabytes_per_s(rate: float) -> str:
    """A bandwidth in GB/s, without the unit: `450`."""
    return f"{rate / 1e9:,.4g}"


def terabytes_per_s(rate: float) -> str:
    """A bandwidth in TB/s, without the unit: `3.35`."""
    return f"{rate / 1e12:.2f}"


def teraflops(rate: float) -> str:
    """FLOP/s in TFLOP/s, without the unit: `989`."""
    return f"{rate / 1e12:,.4g}"


def microseconds(time_s: float) -> str:
    """A time in microseconds, without the unit: `2.7`."""
    return f"{time_s * 1e6:.3g}"
