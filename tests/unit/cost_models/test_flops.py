"""Model FLOPs against published formulas and totals."""

import pytest
import samples

from meshwright.cost_models.flops import step_flops
from meshwright.cost_models.workload import Workload
from meshwright.planner.models import read_model


def test_a_gpt_takes_the_flops_of_megatrons_formula() -> None:
    """72·B·s·l·h²·(1 + s/(6h) + V/(12lh)) without recomputation (arXiv:2104.04473, eq. 3), attention halved."""
    layers, hidden, seq, batch, vocab = 16, 2048, 4096, 8, 32000
    gpt = samples.dense(layers=layers, hidden=hidden, heads=16, kv_heads=16, gated=False)
    expected = 72 * batch * seq * layers * hidden**2 * (1 + seq / (12 * hidden) + vocab / (12 * layers * hidden))
    assert step_flops(gpt, Workload(batch, seq)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("model", "tokens", "seq_len", "published"),
    [
        ("gpt-3-175b", 300e9, 2048, 3.14e23),  # arXiv:2005.14165, table D.1
        ("llama-3.1-405b", 15.6e12, 8192, 3.8e25),  # arXiv:2407.21783, section 1
    ],
)
def test_training_runs_take_the_flops_that_their_papers_state(
    model: str, tokens: float, seq_len: int, published: float
) -> None:
    """Papers count 6 FLOPs a parameter and token; attention comes on top, and the embedding's look-up doesn't count."""
    flops = step_flops(read_model(model), Workload(1, seq_len)) / seq_len * tokens
    assert flops == pytest.approx(published, rel=0.12)


def test_experts_count_as_often_as_tokens_visit_them() -> None:
    """Twice the experts of which as many are visited take no more FLOPs but for the router; twice the visits do."""
    few, many = (step_flops(samples.moe(experts=n), Workload(8, 1024)) for n in (8, 16))
    router = 6 * 8 * 1024 * 8 * 2048 * 8
    assert many - few == pytest.approx(router)
    assert step_flops(samples.moe(top_k=4), Workload(8, 1024)) > 1.3 * few


def test_frozen_weights_have_no_gradient() -> None:
    """LoRA does the forward pass and the gradient of the activations: two thirds (arXiv:2106.09685)."""
    full, lora = (step_flops(samples.dense(), Workload(8, 1024, task=task)) for task in ("pretrain", "lora"))
    assert lora == pytest.approx(full * 2 / 3)


def test_a_window_limits_attention() -> None:
    """Long sequences under a sliding window cost per token what the window costs, not what the sequence does."""
    full, windowed = (samples.dense(window=window) for window in (None, 1024))
    short, long = (step_flops(windowed, Workload(1, seq)) / seq for seq in (8192, 65536))
    assert long == pytest.approx(short, rel=0.01)
    assert step_flops(full, Workload(1, 65536)) / 65536 > 2 * long
