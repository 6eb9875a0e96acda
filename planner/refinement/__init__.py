"""What follows the enumeration: survivors are simulated and ranked again, and their layers divided better."""

from meshwright.planner.refinement.refine import Refinement, refine

__all__ = ["Refinement", "refine"]
