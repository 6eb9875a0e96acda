"""Reads a model: Hugging Face config.json, catalog name, or hand-written YAML, into an Architecture."""

from meshwright.planner.models.catalog import ModelSummary, list_models
from meshwright.planner.models.read import read_model

__all__ = ["ModelSummary", "list_models", "read_model"]
