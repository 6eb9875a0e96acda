"""Optimisation over plain arrays: choices, costs, limits. Knows no word of language models."""
