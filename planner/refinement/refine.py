"""Refines what a search found: the simulator ranks the survivors, the partition solver divides their layers."""

from dataclasses import dataclass

from meshwright.planner.refinement.survivors import simulate_survivors
from meshwright.planner.search import Found


@dataclass(frozen=True, slots=True)
class Refinement:
    """How far to go.

    Attributes:
        uneven: Whether layers may be divided explicitly where the framework can be told so.
        per_layer: Whether to tell what a strategy of its own for each layer would bring to the best plan.
    """

    uneven: bool = True
    per_layer: bool = False


def refine(found: Found, how: Refinement) -> list[Found]:
    """The search's plans with simulated prices, and after them plans that only refinement finds."""
    simulated = simulate_survivors(found)
    if not (how.uneven and simulated.is_feasible):
        return [simulated]
    from meshwright.planner.refinement.uneven import uneven_plans  # noqa: PLC0415 - solvers only where they are needed

    return [simulated, *uneven_plans(simulated)]
