"""Reads a model: Hugging Face config.json, catalog name, or hand-written YAML, into an Architecture."""
