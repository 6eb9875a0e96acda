"""Refines what a search found: the simulator ranks the survivors, the partition solver divides their layers."""

from dataclasses import dataclass

import numpy as np

from meshwright.planner.refinement.survivors import simulate_survivors
from meshwright.planner.search import Found

FOREMOST = 32
"""Plans that are looked at."""


@dataclass(frozen=True, slots=True)
class Refinement:
    """How far to go.

    Attributes:
        uneven: Whether to divide layers explicitly where the framework can be told so; None does it where an even
            division is far from a balanced one: layers differ, more are predicted beside the last one, or they don't
            divide by the best plans' stages.
        per_layer: Whether to tell what a strategy of its own for each layer would bring to the best plan.
    """

    uneven: bool | None = None
    per_layer: bool = False


def refine(found: Found, how: Refinement) -> list[Found]:
    """The search's plans with simulated prices, and after them plans that only refinement finds."""
    simulated = simulate_survivors(found)
    wanted = how.uneven if how.uneven is not None else evens_badly(simulated)
    if not (wanted and simulated.is_feasible):
        return [simulated]
    from meshwright.planner.refinement.uneven import uneven_plans  # noqa: PLC0415 - solvers only where they are needed

    return [simulated, *uneven_plans(simulated)]


def evens_badly(found: Found) -> bool:
    """Whether even stages of a search's plans are far from balanced ones."""
    architecture, plans = found.problem.job.architecture, found.candidates
    if len(architecture.layer_kinds) > 1 or architecture.mtp_layers:
        return True
    return bool(np.any(architecture.num_layers % (plans.pp * plans.vpp)[:FOREMOST]))
