"""What every CP-SAT model needs. Imports OR-Tools, so only model files import it, when asked to solve."""

import math
from dataclasses import dataclass

from ortools.sat.python import cp_model

from meshwright.errors import SolverError
from meshwright.solvers.backend import Clock
from meshwright.solvers.integers import power_of_two_unit

COST_BITS = 32
WEIGHT_BITS = 26  # with costs of 32 bits, a weighted sum of two stays well below an int64's 63 bits


@dataclass(frozen=True)
class Run:
    """How a run of the solver ended.

    Attributes:
        solver: Holds the variables' values if `has_solution`.
        has_solution: Whether there are any.
        bound: On the objective, in the model's integers; inf if the model is infeasible, -inf if nothing is known.
        detail: In words.
    """

    solver: cp_model.CpSolver
    has_solution: bool
    bound: float
    detail: str


def solve(model: cp_model.CpModel, clock: Clock) -> Run:
    """Runs CP-SAT for the time left, with one worker: with several the answer would depend on their timing.

    Raises:
        SolverError: The model is invalid.
    """
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = clock.budget.seed
    solver.parameters.max_time_in_seconds = max(clock.left_s, 1e-3)
    solver.parameters.relative_gap_limit = clock.budget.relative_gap
    status = solver.solve(model)
    detail = f"CP-SAT: {solver.status_name(status)}, {solver.num_branches} branches"
    if status == cp_model.MODEL_INVALID:
        raise SolverError(f"CP-SAT calls the model invalid: {model.validate()}")
    if status == cp_model.INFEASIBLE:
        return Run(solver, has_solution=False, bound=math.inf, detail=detail)
    if status == cp_model.UNKNOWN:
        return Run(solver, has_solution=False, bound=-math.inf, detail=detail)
    return Run(solver, has_solution=True, bound=solver.best_objective_bound, detail=detail)


def integer_weights(*weights: float) -> tuple[list[int], float]:
    """Weights rounded down to integers, and the unit that they are counted in."""
    unit = power_of_two_unit(max(weights), WEIGHT_BITS)
    return [int(weight / unit) for weight in weights], unit
