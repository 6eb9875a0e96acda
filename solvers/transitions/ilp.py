"""Chain choice as an integer linear programme. Imports PuLP, so it is only imported when asked to solve."""

import math
from typing import Any

import numpy as np
import pulp

from meshwright.errors import SolverError
from meshwright.solvers.backend import Clock
from meshwright.solvers.transitions.problem import ChainChoice, IntArray

SCALE = 1e4
"""Costs and uses are scaled to this, so that solvers' absolute tolerances (1e-6) become relative ones of 1e-10."""


class ChainProgram:
    """The standard linearisation of products of neighbouring choices.

    Variables:
        y_ik     1 if item i takes choice k
        e_ikm    1 if item i takes choice k and item i + 1 takes choice m; continuous, since binary y leave no choice

    Constraints:
        one choice     Σ_k y_ik = 1                  for every item i
        leaving        Σ_m e_ikm = y_ik              for every item i but the last, choice k
        arriving       Σ_k e_ikm = y_{i+1,m}         for every item i but the last, choice m
        limit          Σ_i Σ_k use_ik y_ik ≤ limit

    Objective:
        minimise Σ_i Σ_k cost_ik y_ik + Σ_i Σ_km transition_ikm e_ikm
    """

    def __init__(self, problem: ChainChoice) -> None:
        self.problem = problem
        self.cost_unit = np.where(np.isfinite(problem.cost), problem.cost, 0.0).sum(axis=0).max() / SCALE or 1.0
        self.program = pulp.LpProblem("chain")
        self.takes = {
            (i, k): self.program.add_variable(f"y_{i}_{k}", cat=pulp.LpBinary)
            for i, k in np.argwhere(np.isfinite(problem.cost)).tolist()
        }
        self.passes = {
            (i, k, m): self.program.add_variable(f"e_{i}_{k}_{m}", lowBound=0)
            for i, k, m in np.argwhere(np.isfinite(problem.transition)).tolist()
            if (i, k) in self.takes and (i + 1, m) in self.takes
        }
        self._set_objective()
        self._add_one_choice()
        self._add_leaving_and_arriving()
        self._add_limit()

    def minimise(self, clock: Clock) -> tuple[IntArray | None, float, str]:
        """The best choices found or None, a bound, and what the solver says."""
        solver = _solver(clock)
        self.program.solve(solver)
        status = self.program.sol_status
        detail = f"{solver.name}: {pulp.LpSolution[status]}"
        if status not in {pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible}:
            return None, -math.inf, detail
        return self._choice(), self._bound(solver, clock), detail

    def _bound(self, solver: pulp.LpSolver, clock: Clock) -> float:
        """What the solver proved; CBC doesn't say how far it got if it was cut short."""
        if isinstance(solver, pulp.HiGHS):
            highs: Any = self.program.solverModel
            return float(highs.getInfo().mip_dual_bound) * self.cost_unit
        if self.program.sol_status != pulp.LpSolutionOptimal:
            return -math.inf
        objective = self.problem.objective(self._choice())
        return objective - clock.budget.relative_gap * abs(objective)

    def _set_objective(self) -> None:
        cost, transition = self.problem.cost / self.cost_unit, self.problem.transition / self.cost_unit
        terms = [(y, float(cost[key])) for key, y in self.takes.items()]
        terms += [(e, float(transition[key])) for key, e in self.passes.items()]
        self.program.setObjective(pulp.LpAffineExpression(terms))

    def _add_one_choice(self) -> None:
        for i in range(self.problem.num_items):
            taken = [y for (item, _), y in self.takes.items() if item == i]
            self.program.addConstraint(pulp.lpSum(taken) == 1)

    def _add_leaving_and_arriving(self) -> None:
        leaving: dict[tuple[int, int], list[pulp.LpVariable]] = {key: [] for key in self.takes}
        arriving: dict[tuple[int, int], list[pulp.LpVariable]] = {key: [] for key in self.takes}
        for (i, k, m), e in self.passes.items():
            leaving[i, k].append(e)
            arriving[i + 1, m].append(e)
        for (i, k), y in self.takes.items():
            if i < self.problem.num_items - 1:
                self.program.addConstraint(pulp.lpSum(leaving[i, k]) == y)
            if i > 0:
                self.program.addConstraint(pulp.lpSum(arriving[i, k]) == y)

    def _add_limit(self) -> None:
        if math.isinf(self.problem.limit):
            return
        unit = self.problem.room / SCALE or 1.0
        use = [(y, float(self.problem.use[key] / unit)) for key, y in self.takes.items()]
        self.program.addConstraint(pulp.LpAffineExpression(use) <= self.problem.room / unit)

    def _choice(self) -> IntArray:
        """The choice of each item."""
        choice = np.zeros(self.problem.num_items, np.int64)
        for (i, k), y in self.takes.items():
            if (y.varValue or 0.0) > 0.5:
                choice[i] = k
        return choice


def _solver(clock: Clock) -> pulp.LpSolver:
    """HiGHS in this process if it is installed, else the CBC that comes with PuLP."""
    settings = {"msg": False, "timeLimit": max(clock.left_s, 0.01), "gapRel": clock.budget.relative_gap, "threads": 1}
    if (highs := pulp.HiGHS(**settings, random_seed=clock.budget.seed % 2**31)).available():
        return highs
    cbc = pulp.COIN_CMD(path=pulp.PULP_CBC_CMD.pulp_cbc_path, options=[f"randomSeed {clock.budget.seed}"], **settings)
    if not cbc.available():
        raise SolverError("neither HiGHS (package highspy) nor CBC is installed; `pip install highspy`")
    return cbc
