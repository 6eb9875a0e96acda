"""Gemma: wide heads, a tied embedding, and from Gemma 2 on norms around each block and windows."""

from typing import Final

from meshwright.cost_models.architecture import Architecture
from meshwright.planner.models.config import Config
from meshwright.planner.models.decoder import decoder, read_attention, read_mlp, rms_norms, windowed

GEMMA3_DEFAULTS: Final = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
}
"""What the published config.json of Gemma 3 4B, 12B and 27B leave to Hugging Face's `Gemma3TextConfig`."""


def gemma(config: Config) -> Architecture:
    """Gemma (arXiv:2403.08295)."""
    return decoder(config, read_attention(config), read_mlp(config), rms_norms(config), tied=True)


def gemma2(config: Config) -> Architecture:
    """Gemma 2 (arXiv:2408.00118): every other layer has a window."""
    mixers = windowed(config, read_attention(config), full_every=2)
    return decoder(config, mixers, read_mlp(config), rms_norms(config, per_layer=4), tied=True)


def gemma3(config: Config) -> Architecture:
    """Gemma 3 (arXiv:2503.19786): norms on heads; one layer in six attends to the whole sequence."""
    config = config.with_defaults(GEMMA3_DEFAULTS)
    full_every = config.size("sliding_window_pattern", default=6)
    mixers = windowed(config, read_attention(config, head_norm=True), full_every=full_every)
    return decoder(config, mixers, read_mlp(config), rms_norms(config, per_layer=4), tied=True)
