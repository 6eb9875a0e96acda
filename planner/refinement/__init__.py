"""What follows the enumeration: its survivors are simulated and ranked again, and get better divisions of their layers."""

from meshwright.planner.refinement.refine import Refinement, refine

__all__ = ["Refinement", "refine"]
