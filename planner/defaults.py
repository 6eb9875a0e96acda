"""What is assumed where a user doesn't say."""

from meshwright.cost_models.architecture import Architecture

DEFAULT_SEQ_LEN = 4096
LONGEST_DEFAULT_SEQ_LEN = 8192
"""Longest sequence that is assumed; longer ones are a training stage of their own."""
TOKENS_PER_STEP = 4_194_304
"""About 4 million tokens a step, as Llama 2 (arXiv:2307.09288, section 2.2) and Llama 3's first phase trained with."""


def default_seq_len(architecture: Architecture) -> int:
    """The model's own length up to 8,192 tokens; 4,096 where it states none."""
    return min(architecture.max_seq_len or DEFAULT_SEQ_LEN, LONGEST_DEFAULT_SEQ_LEN)


def default_global_batch(seq_len: int, num_devices: int) -> int:
    """About 4 million tokens a step: a power of two of sequences, at least one for each device."""
    sequences = 1
    while sequences * 2 * seq_len <= TOKENS_PER_STEP:
        sequences *= 2
    while sequences < num_devices:
        sequences *= 2
    return sequences
