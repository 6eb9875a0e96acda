"""The terms that a step's time is made of."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

TermTable = NDArray[np.float64]


class LayerTerm(IntEnum):
    """What a layer's time is made of; rows of a `TermTable` (num_terms, num_rows) in seconds."""

    MATMUL = 0
    ATTENTION = 1
    ELEMENTWISE = 2
    TENSOR_COMM = 3
    CONTEXT_COMM = 4
    EXPERT_COMM = 5
    HOST = 6


NUM_LAYER_TERMS = len(LayerTerm)


def term_table(num_rows: int, **seconds: NDArray[np.float64] | float) -> TermTable:
    """A table from terms by lower-case name; the terms that aren't given are zero."""
    table = np.zeros((NUM_LAYER_TERMS, num_rows))
    for name, value in seconds.items():
        table[LayerTerm[name.upper()]] = value
    return table
