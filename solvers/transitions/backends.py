"""Back ends for chain choice: all begin with a price on the resource, which often settles the matter."""

from abc import abstractmethod

from meshwright.solvers.backend import Backend, Budget, Capabilities, Clock, TooHardError
from meshwright.solvers.outcome import OPTIMALITY_TOLERANCE, Outcome, relative_gap
from meshwright.solvers.transitions.lagrangian import least_use, relax
from meshwright.solvers.transitions.problem import ChainChoice, IntArray
from meshwright.solvers.transitions.sweep import Sweep

BEAM_WIDTH = 64
WIDENING = 8


class _FromRelaxation(Backend[ChainChoice, IntArray]):
    """Relaxes, and searches on only where the gap is still too wide."""

    def solve(self, problem: ChainChoice, budget: Budget) -> Outcome[IntArray]:
        """See `Backend`."""
        clock = Clock(budget)
        price, bound, best = relax(problem)
        if best is None:
            return Outcome.infeasible(_conflicts(problem), clock.seconds)
        detail = "the Lagrangian relaxation is good enough"
        if relative_gap(problem.objective(best), bound) > max(budget.relative_gap, OPTIMALITY_TOLERANCE):
            sweep = Sweep(problem, price, best)
            bound, detail = self._improve(sweep, bound, clock)
            best = sweep.best
        return Outcome.found(best, problem.objective(best), bound, clock.seconds, detail)

    @abstractmethod
    def _improve(self, sweep: Sweep, bound: float, clock: Clock) -> tuple[float, str]:
        """Improves the sweep's best solution; returns the best bound and what there is to say about the run."""


class DynamicProgramming(_FromRelaxation):
    """Sweeps of growing width until one leaves nothing out: exact, and good from the start."""

    name = "dynamic-programming"
    capabilities = Capabilities(exact=True)

    def _improve(self, sweep: Sweep, bound: float, clock: Clock) -> tuple[float, str]:
        width = BEAM_WIDTH
        try:
            while not sweep.run(width, clock):
                if relative_gap(sweep.upper, bound) <= clock.budget.relative_gap:
                    return bound, f"good enough with {width} partial solutions"
                width *= WIDENING
        except TooHardError:
            return bound, f"out of time with {width} partial solutions"
        return sweep.upper, f"complete within {width} partial solutions"


class Beam(_FromRelaxation):
    """One sweep with only the most promising partial solutions."""

    name = "beam"
    capabilities = Capabilities(exact=False)

    def suits(self, problem: ChainChoice) -> bool:  # noqa: ARG002
        """See `Backend`: the dynamic programme begins with it."""
        return False

    def _improve(self, sweep: Sweep, bound: float, clock: Clock) -> tuple[float, str]:
        try:
            is_complete = sweep.run(BEAM_WIDTH, clock)
        except TooHardError:
            return bound, "out of time"
        return (sweep.upper if is_complete else bound), ""


class Ilp(_FromRelaxation):
    """An integer linear programme through PuLP, solved by HiGHS if it is installed, else by CBC."""

    name = "ilp"
    capabilities = Capabilities(exact=True, packages=("pulp",))

    def suits(self, problem: ChainChoice) -> bool:  # noqa: ARG002
        """See `Backend`: the dynamic programme is faster on everything measured."""
        return False

    def _improve(self, sweep: Sweep, bound: float, clock: Clock) -> tuple[float, str]:
        from meshwright.solvers.transitions.ilp import ChainProgram  # noqa: PLC0415  imports PuLP

        found, ilp_bound, detail = ChainProgram(sweep.problem).minimise(clock)
        if found is not None and not sweep.problem.violations(found):
            sweep.best = min(sweep.best, found, key=sweep.problem.objective)
        return max(bound, ilp_bound), detail


def _conflicts(problem: ChainChoice) -> tuple[str, ...]:
    thriftiest = least_use(problem)
    if thriftiest is None:
        return ("every sequence of choices has one that isn't offered or a transition that is impossible",)
    return (f"{problem.limit_in_words()}, but at least {problem.total_use(thriftiest):.12g} is needed",)
