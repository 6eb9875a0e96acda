"""Attention's core: the closed forms that the model must reduce to."""

from dataclasses import replace

import pytest

from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels import KernelRates, attention_time_s

DEVICE = Accelerator("device", {"bf16": 1e15}, 80e9, 3e12, num_cores=100)
IDEAL = KernelRates(
    matmul_fraction=1.0,
    ramp_k=0.0,
    small_tile_slowdown=0.0,
    memory_fraction=1.0,
    attention_fraction=1.0,
    attention_backward_ratio=1.0,
    softmax_width=0.0,
    attention_ramp=0.0,
    launch_s=0.0,
)


def flash(rates=IDEAL, *, batch=64, heads=32, seq=8192, share=1.0, backward=False, qk=128, v=128):
    sizes = (batch, heads, heads, seq, seq, qk, v, share)
    return float(attention_time_s(DEVICE, rates, "bf16", *sizes, backward=backward, flash=True))


def unfused(*, batch=64, heads=32, seq=2048, share=1.0, backward=False, rates=IDEAL):
    sizes = (batch, heads, heads, seq, seq, 128, 128, share)
    return float(attention_time_s(DEVICE, rates, "bf16", *sizes, backward=backward, flash=False))


def test_forward_makes_two_products():
    """4·s²·h·d·b FLOP without a mask."""
    assert flash() == pytest.approx(4 * 8192**2 * 128 * 64 * 32 / 1e15, rel=1e-3)


def test_backward_makes_five_products():
    """2.5 times the forward FLOP, with scores made again (FlashAttention-2)."""
    assert flash(backward=True) == pytest.approx(2.5 * flash(), rel=1e-3)


def test_value_heads_may_be_narrower():
    """QKᵀ of width 192, PV of width 128 (latent attention); backward 3 of the one, 2 of the other."""
    assert flash(qk=192, v=128) == pytest.approx(flash() * (192 + 128) / 256, rel=1e-3)
    backward = flash(qk=192, v=128, backward=True)
    assert backward == pytest.approx(flash() * (3 * 192 + 2 * 128) / 256, rel=1e-3)


def test_causal_mask_halves_the_work_but_for_the_diagonal():
    """Half the scores, and half a tile of 128 a row of tiles."""
    assert flash(share=0.5) == pytest.approx(flash() * (0.5 + 64 / 8192), rel=1e-3)


def test_softmax_bounds_narrow_heads():
    """With exponentials as dear as 256 multiply-adds, heads of width 1 cost nearly as much as of width 64."""
    costly = replace(IDEAL, softmax_width=256.0)
    assert flash(costly, qk=1, v=1) > 0.8 * flash(costly, qk=64, v=64)


def test_few_tiles_wait_for_the_longest():
    """64 tiles for 100 cores: no faster than the last row of tiles on one core."""
    longest = 128 * 8192 * 4 * 128 / (1e15 / 100)
    assert flash(batch=1, heads=1, share=0.5) >= longest


def test_unfused_moves_the_scores():
    """Softmax and dropout read and write 2 bytes a score, the mask 1, either product moves 2."""
    scores = 64 * 32 * 2048**2
    assert unfused() == pytest.approx(scores * (2 + 9 + 2) / 3e12, rel=0.25)


def test_unfused_ignores_the_mask():
    """Masked scores are made all the same."""
    assert unfused(share=0.5) == unfused()


def test_unfused_backward_costs_about_twice_as_much():
    """Four products and 11 bytes a score, instead of two and 9."""
    assert 1.3 < unfused(backward=True) / unfused() < 2.5


def test_flash_beats_unfused_on_long_sequences():
    """Not writing the score matrix pays."""
    assert flash(KernelRates(), seq=8192, share=0.5) < unfused(seq=8192, rates=KernelRates()) / 3


def test_grouped_queries_read_less():
    """Fewer key/value heads never slow attention."""
    few = attention_time_s(DEVICE, IDEAL, "bf16", 1, 32, 1, 128, 128, 128, 128, 1.0, backward=False, flash=True)
    many = attention_time_s(DEVICE, IDEAL, "bf16", 1, 32, 32, 128, 128, 128, 128, 1.0, backward=False, flash=True)
    assert few <= many
