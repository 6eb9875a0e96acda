"""How compute and memory traffic of one kernel overlap."""

import numpy as np

from meshwright.cost_models.candidates import FloatColumn

SHARPNESS = 5.0
"""Exponent of the roofline's knee, fitted once for all devices: 1 would add the two times, infinity take the
larger."""


def roofline_s(compute_s: FloatColumn, memory_s: FloatColumn) -> FloatColumn:
    """Time of a kernel that computes and moves bytes side by side: the larger of both, with a rounded knee.

    (c^p + m^p)^(1/p), written so that powers neither under- nor overflow.
    """
    longer, shorter = np.maximum(compute_s, memory_s), np.minimum(compute_s, memory_s)
    ratio = np.divide(shorter, longer, out=np.zeros_like(longer), where=longer > 0)
    knee: FloatColumn = (1.0 + ratio**SHARPNESS) ** (1.0 / SHARPNESS)
    return longer * knee
