"""A question becomes ranked plans: the only place where costs and solvers meet."""
