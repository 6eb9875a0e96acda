"""Optimisation over plain arrays: items, choices, costs, resources and limits. Knows no word of language models.

Importing it loads NumPy only; back ends load what they need when asked to solve.
"""

from meshwright.solvers.backend import Backend, Budget, Capabilities
from meshwright.solvers.enumeration import Ranking, search
from meshwright.solvers.outcome import Outcome, Status
from meshwright.solvers.pareto import non_dominated
from meshwright.solvers.partition import ChainPartition, Partition, solve_partition
from meshwright.solvers.selection import Selection, solve_selection
from meshwright.solvers.transitions import ChainChoice, solve_chain_choice

__all__ = [
    "Backend",
    "Budget",
    "Capabilities",
    "ChainChoice",
    "ChainPartition",
    "Outcome",
    "Partition",
    "Ranking",
    "Selection",
    "Status",
    "non_dominated",
    "search",
    "solve_chain_choice",
    "solve_partition",
    "solve_selection",
]
