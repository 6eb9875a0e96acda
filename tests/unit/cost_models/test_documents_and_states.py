"""Attention within documents, and the bytes of an optimizer step."""

from dataclasses import replace

import pytest
import samples

from meshwright.cost_models.mixer_time import score_fraction
from meshwright.cost_models.price import StepTerm, price


def test_attention_within_documents_costs_their_share() -> None:
    """Documents of a quarter of the sequence have a quarter of its scores, windows inside them fewer still."""
    assert score_fraction(None, 4096, 1024) == pytest.approx(score_fraction(None, 4096) / 4)
    assert score_fraction(256, 4096, 1024) < score_fraction(None, 4096, 1024)
    assert score_fraction(None, 4096, 8192) == score_fraction(None, 4096)


def test_shorter_documents_are_never_slower() -> None:
    """Attention is all that changes, and it falls with the documents' length."""
    job, plan = samples.job(), samples.plan(dp=8)
    times = [
        float(price(replace(job, workload=replace(job.workload, document_len=length)), plan).step_time_s[0])
        for length in (128, 512, 2048, None)
    ]
    assert times == sorted(times)
    assert times[0] < times[-1]


def test_an_optimizer_that_keeps_less_steps_faster() -> None:
    """16-bit moments without a master copy move 2 + 2·4 + 2·2 bytes a parameter, mixed precision 4 + 2·12 + 2."""
    job, plan = samples.job(), samples.plan(dp=8)
    states = job.framework.states
    small = replace(states, gradient=2, optimizer=4)
    step_s, small_s = (
        float(price(replace(job, framework=replace(job.framework, states=one)), plan).terms[StepTerm.OPTIMIZER][0])
        for one in (states, small)
    )
    assert small_s < 0.6 * step_s
