"""Which limits can't hold together: a deletion filter that any exact method can drive."""

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from meshwright.solvers.backend import Clock

FloatArray = NDArray[np.float64]


def irreducible(limit: FloatArray, is_infeasible: Callable[[FloatArray], bool], clock: Clock) -> FloatArray:
    """The limits, with inf in place of all those without which the problem is still infeasible.

    None of those that remain can be lifted without making the problem feasible, as far as `is_infeasible` can tell
    and time allows (a deletion filter: Chinneck and Dravnieks, ORSA Journal on Computing 3(2), 1991).

    Args:
        limit: Any shape, the last axis by resource; the problem with these limits is infeasible.
        is_infeasible: Whether the problem with other limits is infeasible for sure.
        clock: Stops early when its time is up; what remains is then in conflict, but perhaps not all of it.
    """
    limit = limit.copy()
    whole_resources = [(..., resource) for resource in range(limit.shape[-1])]
    for lifted in itertools.chain(whole_resources, np.ndindex(*limit.shape)):
        without = limit.copy()
        without[lifted] = np.inf
        if clock.left_s > 0 and np.isfinite(limit[lifted]).any() and is_infeasible(without):
            limit = without
    return limit
