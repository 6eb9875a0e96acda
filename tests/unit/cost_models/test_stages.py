"""Which layers lie on which stage."""

from itertools import product

import pytest
import samples

import meshwright as mw
from meshwright.cost_models.stages import layers_per_chunk


@pytest.mark.parametrize(("layers", "chunks"), list(product((1, 5, 61, 126), (1, 2, 3, 16, 61))))
def test_chunks_hold_all_layers_as_evenly_as_can_be(layers: int, chunks: int) -> None:
    """They add up, differ by one at most, and the ends are never the fuller ones: they have embedding and output."""
    counts = layers_per_chunk(layers, chunks)
    assert sum(counts) == layers
    assert len(counts) == chunks
    assert max(counts) - min(counts) <= 1
    if chunks > 2:
        assert counts[-1] <= counts[0] <= max(counts[1:-1])


def stages_of(layers: int, plan: str, **architecture: object) -> list[mw.Plan]:
    model = samples.dense(layers=layers, **architecture)
    return mw.evaluate(model, samples.cluster(4), global_batch=32, seq_len=1024, plan=plan).plan.stages  # type: ignore[return-value]


def test_stages_list_their_layers_chunk_by_chunk() -> None:
    """18 layers over 4 stages of 2 chunks: each stage has two chunks, and all have 18 layers together."""
    stages = stages_of(18, "pp=4 vpp=2")
    assert [len(stage.layers) for stage in stages] == [2] * 4
    assert sum(sum(stage.layers) for stage in stages) == 18


def test_the_ends_hold_embedding_and_output() -> None:
    """Inner stages hold layers alone, so they have fewer parameters than the ends of an even pipeline."""
    first, inner, other, last = (stage.memory.parameters for stage in stages_of(16, "pp=4"))
    assert first > inner == other < last


def test_tied_embeddings_are_on_both_ends_of_a_pipeline_but_once_without_one() -> None:
    """Stages can't share a table, so each end has its own; a single stage has one."""
    tied, untied = ([s.memory.parameters for s in stages_of(16, "pp=4", tied_embeddings=t)] for t in (True, False))
    assert tied == untied
    whole, shared = (stages_of(16, "tp=1", tied_embeddings=t)[0].memory.parameters for t in (False, True))
    assert whole - shared == 2 * 32000 * 2048
