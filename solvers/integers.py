"""Rounding to integers for exact back ends."""

import math

BITS = 42
"""Values become integers of at most this many bits. Rounding is off by at most 2^-42 of the largest value, and not at
all for integers below 2^42; sums over a thousand items still fit into a float64's 53 bits."""


def power_of_two_unit(largest: float, bits: int = BITS) -> float:
    """The unit in which the largest value takes `bits` bits; as a power of two it divides integers exactly."""
    return 2.0 ** (math.frexp(largest)[1] - bits)
