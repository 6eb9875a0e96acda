"""A selection as a CP-SAT model. Imports OR-Tools, so it is only imported when asked to solve."""

import numpy as np
from ortools.sat.python import cp_model

from meshwright.solvers.backend import Clock
from meshwright.solvers.cp_sat import COST_BITS, integer_weights, solve
from meshwright.solvers.integers import power_of_two_unit
from meshwright.solvers.outcome import FEASIBILITY_TOLERANCE
from meshwright.solvers.selection.problem import FloatArray, IntArray, Selection


class SelectionModel:
    """Counts instead of items, because equal items are interchangeable.

    Variables:
        x_tk    how many items of type t take choice k
        T       load of the busiest lane
        S       sum of costs

    Constraints:
        all items     Σ_k x_tk = n_t                                      for every type t, of n_t items
        limits        Σ_t Σ_k use_tkr x_tk ≤ limit_r                      for every resource r that is limited
        lanes         base_load_l + Σ_t Σ_k load_tkl x_tk ≤ T             for every lane l
        sum           Σ_t Σ_k cost_tk x_tk ≤ S

    Objective:
        minimise bottleneck_weight · T + sum_weight · S
    """

    def __init__(self, problem: Selection) -> None:
        self.problem = problem
        rows = [a.reshape(problem.num_items, -1) for a in (problem.cost, problem.use, problem.load)]
        _, self.first, self.type, self.num = np.unique(
            np.concatenate(rows, axis=1), axis=0, return_index=True, return_inverse=True, return_counts=True
        )
        self.type = self.type.reshape(-1)
        self.model = cp_model.CpModel()
        self.count = {
            (t, k): self.model.new_int_var(0, int(self.num[t]), "")
            for t, k in np.argwhere(np.isfinite(problem.cost[self.first])).tolist()
        }
        self._add_all_items()
        self._add_limits()
        self._add_objective()

    def minimise(self, start: IntArray | None, clock: Clock) -> tuple[IntArray | None, float, str]:
        """The best choices found or None, a bound (inf if none fit), and what the solver says."""
        if start is not None:
            for (t, k), variable in self.count.items():
                self.model.add_hint(variable, int((start[self.type == t] == k).sum()))
        run = solve(self.model, clock)
        return self._choice(run.solver) if run.has_solution else None, run.bound * self.unit, run.detail

    def _add_all_items(self) -> None:
        for t, num in enumerate(self.num):
            self.model.add(cp_model.LinearExpr.sum([x for key, x in self.count.items() if key[0] == t]) == int(num))

    def _add_limits(self) -> None:
        for r in np.flatnonzero(np.isfinite(self.problem.limit)):
            unit = power_of_two_unit(self.problem.limit[r])
            most = int(self.problem.limit[r] * (1 + FEASIBILITY_TOLERANCE) / unit)
            use = np.minimum(np.ceil(self.problem.use[..., r] / unit), most + 1)
            self.model.add(self._sum(use) <= most)

    def _add_objective(self) -> None:
        """Costs and loads are rounded down, so that the model's bound holds for the problem."""
        cost = np.where(np.isfinite(self.problem.cost), self.problem.cost, 0.0)
        load = self.problem.load
        largest = max(cost.max(axis=1).sum(), (load.max(axis=1).sum(axis=0) + self.problem.base_load).max())
        unit = power_of_two_unit(largest, COST_BITS)
        bottleneck, total = (self.model.new_int_var(0, 2**COST_BITS, "") for _ in "TS")
        for lane, base in enumerate(self.problem.base_load):
            self.model.add(self._sum(np.floor(load[..., lane] / unit)) + int(base / unit) <= bottleneck)
        self.model.add(self._sum(np.floor(cost / unit)) <= total)
        weights, weight_unit = integer_weights(self.problem.bottleneck_weight, self.problem.sum_weight)
        self.model.minimize(cp_model.LinearExpr.weighted_sum([bottleneck, total], weights))
        self.unit = unit * weight_unit

    def _sum(self, per_item: FloatArray) -> cp_model.LinearExpr:
        """Σ over types and choices of a coefficient, given (num_items, num_choices) by item, times the count."""
        coefficients = per_item[self.first].astype(np.int64)
        return cp_model.LinearExpr.weighted_sum(
            list(self.count.values()), [int(coefficients[key]) for key in self.count]
        )

    def _choice(self, solver: cp_model.CpSolver) -> IntArray:
        """Counts back into choices: a type's items take its choices in order."""
        choice = np.empty(self.problem.num_items, np.int64)
        for t in range(len(self.num)):
            counts = [
                solver.value(self.count[t, k]) if (t, k) in self.count else 0 for k in range(self.problem.num_choices)
            ]
            choice[self.type == t] = np.repeat(np.arange(self.problem.num_choices), counts)
        return choice
