"""The chain partition as a CP-SAT model. Imports OR-Tools, so only `cp_sat` imports it, when asked to solve."""

from collections.abc import Iterable

import numpy as np
from ortools.sat.python import cp_model

from meshwright.solvers.backend import Clock
from meshwright.solvers.cp_sat import COST_BITS, integer_weights, solve
from meshwright.solvers.partition.integers import IntegerPartition
from meshwright.solvers.partition.problem import ChainPartition, IntArray, Partition

ROUNDING = 1e-5  # relative: more than rounding costs and weights down can take off an objective


class PartitionModel:
    """Counts instead of items, because equal neighbours are interchangeable.

    Items are cut into runs of equal neighbours; run q has n_q items.

    Variables:
        x_gqc    how many items of run q lie in group g and take choice c
        done_gq  1 if run q lies wholly in groups 0 … g
        T        cost of the costliest device
        S        sum of the costs of all devices

    Constraints:
        all items      Σ_g Σ_c x_gqc = n_q                                    for every run q
        sizes          min_items_g ≤ Σ_q Σ_c x_gqc ≤ max_items_g              for every group g
        order          Σ_{h ≤ g} Σ_c x_hqc ≥ n_q · done_gq
                       Σ_c x_{g,q+1,c} ≤ n_{q+1} · done_gq                    for every group g, run q but the last
        limits         Σ_{g on d} (group_use_gr + Σ_q Σ_c use_gqcr x_gqc) ≤ limit_dr
        bottleneck     Σ_{g on d} (group_cost_g + Σ_q Σ_c cost_qc x_gqc) ≤ T  for every device d
        sum            Σ_g (group_cost_g + Σ_q Σ_c cost_qc x_gqc) ≤ S

    Objective:
        minimise bottleneck_weight · T + sum_weight · S
    """

    def __init__(self, problem: ChainPartition, run_starts: IntArray) -> None:
        self.problem = problem
        self.first = run_starts[:-1]
        self.length = np.diff(run_starts)
        self.integers = IntegerPartition.of(problem, COST_BITS)
        self.model = cp_model.CpModel()
        self.count = self._counts()
        self._keys_of_group = [[key for key in self.count if key[0] == g] for g in range(problem.num_groups)]
        self.done = [
            [self.model.new_bool_var("") for _ in range(len(self.length) - 1)] for _ in range(problem.num_groups)
        ]
        self.bottleneck, self.sum = (self.model.new_int_var(0, self.integers.cost_without_end, "") for _ in "TS")
        self._add_all_items()
        self._add_sizes()
        self._add_order()
        self._add_limits()
        self._add_costs()
        weights, self.weight_unit = integer_weights(problem.bottleneck_weight, problem.sum_weight)
        self.objective = cp_model.LinearExpr.weighted_sum([self.bottleneck, self.sum], weights)
        self.model.minimize(self.objective)

    def minimise(self, start: Partition | None, bound: float, clock: Clock) -> tuple[Partition | None, float, str]:
        """The best partition found or None, a bound (inf if there is no partition), and what the solver says.

        Args:
            start: A solution to begin with, if one is known.
            bound: What the objective is known not to go below.
            clock: For time, gap and seed.
        """
        unit = self.integers.cost_unit * self.weight_unit
        if start is not None:
            self._hint(start)
        self.model.add(self.objective >= int(bound * (1 - ROUNDING) / unit))
        run = solve(self.model, clock)
        return self._partition(run.solver) if run.has_solution else None, run.bound * unit, run.detail

    def _counts(self) -> dict[tuple[int, int, int], cp_model.IntVar]:
        """x_gqc, keyed (g, q, c), for the choices that a run offers."""
        most = np.minimum(self.length, self.problem.max_items[:, None])
        offered = self.integers.offered[self.first]
        return {
            (g, q, c): self.model.new_int_var(0, int(most[g, q]), "")
            for g, q, c in np.ndindex(*most.shape, self.problem.num_choices)
            if offered[q, c]
        }

    def _sum(self, keys: Iterable[tuple[int, int, int]], weight: IntArray | None = None) -> cp_model.LinearExpr:
        """Σ weight_gqc · x_gqc over some keys; weights broadcast to (num_groups, num_runs, num_choices), or all 1."""
        keys = list(keys)
        variables = [self.count[key] for key in keys]
        if weight is None:
            return cp_model.LinearExpr.sum(variables)
        weights = np.broadcast_to(weight, (self.problem.num_groups, len(self.length), self.problem.num_choices))
        return cp_model.LinearExpr.weighted_sum(variables, [int(weights[key]) for key in keys])

    def _in(self, group: int, run: int) -> cp_model.LinearExpr:
        """How many items of a run lie in a group."""
        return self._sum(key for key in self._keys_of_group[group] if key[1] == run)

    def _add_all_items(self) -> None:
        for run, length in enumerate(self.length):
            self.model.add(self._sum(key for key in self.count if key[1] == run) == int(length))

    def _add_sizes(self) -> None:
        for group in range(self.problem.num_groups):
            size = self._sum(self._keys_of_group[group])
            least, most = int(self.problem.min_items[group]), int(self.problem.max_items[group])
            self.model.add_linear_constraint(size, least, most)

    def _add_order(self) -> None:
        for run in range(len(self.length) - 1):
            so_far: list[cp_model.LinearExpr] = []
            for group in range(self.problem.num_groups):
                done = self.done[group][run]
                so_far.append(self._in(group, run))
                self.model.add(cp_model.LinearExpr.sum(so_far) >= int(self.length[run]) * done)
                self.model.add(self._in(group, run + 1) <= int(self.length[run + 1]) * done)

    def _add_limits(self) -> None:
        for device in range(self.problem.num_devices):
            keys = self._keys_of_device(device)
            for resource in range(self.integers.limit.shape[1]):
                use = self._sum(keys, self.integers.use[..., resource][:, self.first])
                room = int(self.integers.limit[device, resource] - self.integers.device_use[device, resource])
                self.model.add(use <= room)

    def _add_costs(self) -> None:
        cost = self.integers.cost[self.first]
        for device in range(self.problem.num_devices):
            load = self._sum(self._keys_of_device(device), cost)
            self.model.add(load + int(self.integers.device_cost[device]) <= self.bottleneck)
        self.model.add(self._sum(self.count, cost) + int(self.integers.device_cost.sum()) <= self.sum)

    def _keys_of_device(self, device: int) -> list[tuple[int, int, int]]:
        return [key for g in self.problem.groups_of(device) for key in self._keys_of_group[int(g)]]

    def _hint(self, start: Partition) -> None:
        """Tells the solver where to begin."""
        group = start.group_of_item()
        run = np.repeat(np.arange(len(self.length)), self.length)
        counts = np.zeros((self.problem.num_groups, len(self.length), self.problem.num_choices), np.int64)
        np.add.at(counts, (group, run, start.choice), 1)
        for key, variable in self.count.items():
            self.model.add_hint(variable, int(counts[key]))
        for g, q in np.ndindex(self.problem.num_groups, len(self.length) - 1):
            self.model.add_hint(self.done[g][q], bool(counts[: g + 1, q].sum() == self.length[q]))

    def _partition(self, solver: cp_model.CpSolver) -> Partition:
        """Counts back into cuts and choices: a run's items in a group take their choices in order."""
        counts = np.zeros((self.problem.num_groups, len(self.length), self.problem.num_choices), np.int64)
        for key, variable in self.count.items():
            counts[key] = solver.value(variable)
        choice = np.tile(np.arange(self.problem.num_choices), counts[..., 0].size)
        start = np.concatenate(([0], np.cumsum(counts.sum(axis=(1, 2)))))
        return Partition(start, np.repeat(choice, counts.reshape(-1)))
