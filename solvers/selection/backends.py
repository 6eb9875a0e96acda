"""Back ends for selections: greedy steps, and constraint programming."""

from dataclasses import replace

import numpy as np

from meshwright.solvers.backend import Backend, Budget, Capabilities, Clock
from meshwright.solvers.conflicts import irreducible
from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE, OPTIMALITY_TOLERANCE, Outcome, relative_gap
from meshwright.solvers.selection.problem import FloatArray, IntArray, Selection
from meshwright.solvers.upgrade import cheapest_fit, use_after_change


class Greedy(Backend[Selection, IntArray]):
    """The cheapest choices, changed where a unit of relief costs least, then single changes that pay."""

    name = "greedy"
    capabilities = Capabilities(exact=False)

    def solve(self, problem: Selection, budget: Budget) -> Outcome[IntArray]:
        """See `Backend`."""
        clock = Clock(budget)
        if conflicts := problem.conflicts():
            return Outcome.infeasible(conflicts, clock.seconds)
        found = greedy_choice(problem, clock)
        if found is None:
            return Outcome.unknown(problem.bound(), clock.seconds, "greedy found no choices that fit")
        return Outcome.found(found, problem.objective(found), problem.bound(), clock.seconds)


class CpSat(Backend[Selection, IntArray]):
    """CP-SAT over numbers of equal items, begun from the greedy solution."""

    name = "cp-sat"
    capabilities = Capabilities(exact=True, packages=("ortools",))

    def solve(self, problem: Selection, budget: Budget) -> Outcome[IntArray]:
        """See `Backend`."""
        clock = Clock(budget)
        if conflicts := problem.conflicts():
            return Outcome.infeasible(conflicts, clock.seconds)
        start, bound = greedy_choice(problem, clock), problem.bound()
        upper = np.inf if start is None else problem.objective(start)
        if start is not None and relative_gap(upper, bound) <= max(budget.relative_gap, OPTIMALITY_TOLERANCE):
            return Outcome.found(start, upper, bound, clock.seconds, "greedy is good enough")
        from meshwright.solvers.selection.cp_sat_model import SelectionModel  # noqa: PLC0415  imports OR-Tools

        found, model_bound, detail = SelectionModel(problem).minimise(start, clock)
        known = [c for c in (start, found) if c is not None]
        if not known and model_bound == np.inf:
            return Outcome.infeasible(_conflicts(problem, clock), clock.seconds, detail)
        if not known:
            return Outcome.unknown(bound, clock.seconds, detail)
        best = min(known, key=problem.objective)
        return Outcome.found(best, problem.objective(best), max(bound, model_bound), clock.seconds, detail)


def _conflicts(problem: Selection, clock: Clock) -> tuple[str, ...]:
    from meshwright.solvers.selection.cp_sat_model import SelectionModel  # noqa: PLC0415  imports OR-Tools

    def is_infeasible(limit: FloatArray) -> bool:
        return SelectionModel(replace(problem, limit=limit)).minimise(None, clock)[1] == np.inf

    limit = irreducible(problem.limit, is_infeasible, clock)
    return tuple(problem.limit_in_words(int(r)) for r in np.flatnonzero(np.isfinite(limit)))


def greedy_choice(problem: Selection, clock: Clock) -> IntArray | None:
    """Choices that fit and that no change of a single item improves, or None."""
    item = np.arange(problem.num_items)
    choice = cheapest_fit(problem.cost, problem.use, problem.limit)
    while choice is not None and clock.left_s > 0:
        fits = (use_after_change(problem.use, choice) <= problem.limit * (1 + FEASIBILITY_TOLERANCE)).all(axis=2)
        load = problem.base_load + use_after_change(problem.load, choice)
        total = problem.cost[item, choice].sum() - problem.cost[item, choice][:, None] + problem.cost
        objective = problem.bottleneck_weight * load.max(axis=2) + problem.sum_weight * total
        objective = np.where(fits, objective, np.inf)
        best = np.unravel_index(objective.argmin(), objective.shape)
        if objective[best] >= problem.objective(choice) * (1 - 1e-9):
            break
        choice[best[0]] = best[1]
    return choice
