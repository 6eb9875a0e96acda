"""Kernel times against published figures; only rates of AMD and Intel and the backward ratio come from them."""

import pytest

from meshwright.cost_models.kernels import attention_time_s, gemm_time_s
from meshwright.planner.calibrations import read_calibration
from meshwright.planner.clusters import accelerator


def gemm_tflops(name, precision, size):
    """Achieved TFLOP/s of a square product."""
    device = accelerator(name)
    rates = read_calibration("kernels").kernel_rates(device)
    return 2 * size**3 / gemm_time_s(device, rates, precision, size, size, size) / 1e12


def flash_tflops(name, seq, head_dim, *, causal, backward):
    """Achieved TFLOP/s as FlashAttention's papers count: 16k tokens, 2048 wide, a mask halves the FLOP."""
    device = accelerator(name)
    rates = read_calibration("kernels").kernel_rates(device)
    batch, heads, share = 16384 // seq, 2048 // head_dim, 0.5 if causal else 1.0
    sizes = (batch, heads, heads, seq, seq, head_dim, head_dim, share)
    time_s = attention_time_s(device, rates, "bf16", *sizes, backward=backward, flash=True)
    return 4 * batch * heads * seq**2 * head_dim * share * (2.5 if backward else 1.0) / time_s / 1e12


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("h100-80gb", "bf16", 720),
        ("h100-80gb", "fp8", 1280),
        ("mi300x", "bf16", 620),
    ],
)
def test_large_products(name, precision, tflops):
    """SemiAnalysis, "MI300X vs H100 vs H200 Benchmark Part 1: Training" (2024)."""
    assert gemm_tflops(name, precision, 16384) == pytest.approx(tflops, rel=0.15)


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("h100-80gb", "bf16", 794.5),
        ("b200", "bf16", 1745.0),
        ("mi300x", "bf16", 668.4),
        ("mi325x", "bf16", 784.9),
        ("mi355x", "bf16", 1565.0),
        ("gaudi2", "bf16", 418.7),
        ("gaudi3", "fp8", 1289.5),
    ],
)
def test_largest_products(name, precision, tflops):
    """Bekman, Machine Learning Engineering Open Book, Maximum Achievable FLOPS (2026)."""
    assert gemm_tflops(name, precision, 16384) == pytest.approx(tflops, rel=0.15)


def test_a100_products_reach_the_known_share():
    """FlashAttention-2 (arXiv:2307.08691, §1): optimised GEMM reaches 80 to 90 % of the peak (A100: 312)."""
    assert 0.80 <= gemm_tflops("a100-80gb", "bf16", 16384) / 312 <= 0.90


@pytest.mark.parametrize(
    ("seq", "tflops", "tolerance"),
    [(1024, 423, 0.2), (2048, 521, 0.15), (4096, 579, 0.15), (8192, 602, 0.15), (16384, 616, 0.15)],
)
def test_h100_causal_forward(seq, tflops, tolerance):
    """FlashAttention-3 (arXiv:2407.08608), fig. 5, H100 SXM5, head width 128, causal."""
    assert flash_tflops("h100-80gb", seq, 128, causal=True, backward=False) == pytest.approx(tflops, rel=tolerance)


@pytest.mark.parametrize(("seq", "tflops"), [(1024, 424), (2048, 501), (4096, 542), (8192, 559), (16384, 561)])
def test_h100_backward(seq, tflops):
    """FlashAttention-3, fig. 6, head width 128, no mask."""
    assert flash_tflops("h100-80gb", seq, 128, causal=False, backward=True) == pytest.approx(tflops, rel=0.15)


@pytest.mark.parametrize(("seq", "tflops"), [(4096, 453), (8192, 472), (16384, 474)])
def test_h100_backward_of_narrow_heads(seq, tflops):
    """FlashAttention-3, fig. 6, head width 64, no mask."""
    assert flash_tflops("h100-80gb", seq, 64, causal=False, backward=True) == pytest.approx(tflops, rel=0.15)


def test_a100_attention_reaches_the_published_share():
    """FlashAttention-2 (§4.1): up to 73 % of the peak forward and 63 % backward."""
    assert flash_tflops("a100-80gb", 16384, 128, causal=False, backward=False) == pytest.approx(230, rel=0.15)
    assert flash_tflops("a100-80gb", 16384, 128, causal=False, backward=True) == pytest.approx(196, rel=0.15)
