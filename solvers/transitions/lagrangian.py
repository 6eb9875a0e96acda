"""A price on the resource turns the chain into a shortest path: a bound, good solutions, and a guide for search."""

from typing import NamedTuple

import numpy as np

from meshwright.solvers.transitions.problem import ChainChoice, FloatArray, IntArray

NUM_HALVINGS = 40


class Relaxation(NamedTuple):
    """What prices on the resource tell about a chain.

    Attributes:
        price: The price with the best bound.
        bound: No solution has a lower objective.
        choice: The best feasible solution met on the way; None if no solution is feasible.
    """

    price: float
    bound: float
    choice: IntArray | None


def relax(problem: ChainChoice) -> Relaxation:
    """Bisects on the price λ of the resource.

    For any λ ≥ 0, min_k Σ (cost + λ use) + Σ transition − λ limit is a bound, concave in λ (M. L. Fisher, Management
    Science 27(1), 1981), and the minimum is a shortest path through n layers of K choices.
    """
    choice, value = _shortest(problem, 0.0)
    if not np.isfinite(value):
        return Relaxation(0.0, np.inf, None)
    if problem.total_use(choice) <= problem.room:
        return Relaxation(0.0, value, choice)
    thriftiest = least_use(problem)
    if thriftiest is None or problem.total_use(thriftiest) > problem.room:
        return Relaxation(0.0, np.inf, None)
    return _bisect(problem, value, thriftiest)


def _bisect(problem: ChainChoice, bound: float, best: IntArray) -> Relaxation:
    """Between a price at which the cheapest choices use too much and one at which they don't."""
    best_price, low, high = 0.0, 0.0, np.inf
    price = problem.objective(best) / problem.use.max()
    for _ in range(NUM_HALVINGS):
        choice, value = _shortest(problem, price)
        if value - price * problem.room > bound:
            bound, best_price = value - price * problem.room, price
        if problem.total_use(choice) > problem.room:
            low = price
        else:
            high = price
            best = min(best, choice, key=problem.objective)
        price = 4 * low if np.isinf(high) else (low + high) / 2
    return Relaxation(best_price, bound, best)


def least_use(problem: ChainChoice) -> IntArray | None:
    """The possible solution that uses least; None if every one has an impossible choice or transition."""
    cost = np.where(np.isfinite(problem.cost), problem.use, np.inf)
    transition = np.where(np.isfinite(problem.transition), 0.0, np.inf)
    free = ChainChoice(cost, problem.use, transition, np.inf)
    choice, value = _shortest(free, 0.0)
    return choice if np.isfinite(value) else None


def cost_to_go(problem: ChainChoice, price: float) -> FloatArray:
    """(num_items, num_choices): least Σ (cost + price · use) + Σ transition after each item, given its choice."""
    to_go = np.zeros_like(problem.cost)
    priced = problem.cost + price * problem.use
    for i in range(problem.num_items - 2, -1, -1):
        to_go[i] = (problem.transition[i] + priced[i + 1] + to_go[i + 1]).min(axis=1)
    return to_go


def _shortest(problem: ChainChoice, price: float) -> tuple[IntArray, float]:
    """The solution with least Σ (cost + price · use) + Σ transition, and that sum."""
    to_go = cost_to_go(problem, price)
    priced = problem.cost + price * problem.use + to_go
    choice = np.empty(problem.num_items, np.int64)
    choice[0] = priced[0].argmin()
    for i in range(1, problem.num_items):
        choice[i] = (problem.transition[i - 1, choice[i - 1]] + priced[i]).argmin()
    return choice, float(priced[0, choice[0]])
