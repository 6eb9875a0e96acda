"""Rows that say that stages interleave, but not how often."""

import pytest

from meshwright.cost_models.candidates import Schedule
from meshwright.planner.frameworks import read_framework
from meshwright.planner.runs import Run
from meshwright.planner.runs.plan import run_plan

UNKNOWN = "assumed: vpp not printed; interleaving degree unknown"


@pytest.mark.parametrize(
    ("layers", "pp", "vpp", "note", "chunks"),
    [
        (96, 16, None, UNKNOWN, 2),
        (105, 35, None, UNKNOWN, 3),
        (96, 16, 1, UNKNOWN, 1),
        (96, 16, None, "", 1),
        (35, 35, None, UNKNOWN, 1),
        (96, 1, None, UNKNOWN, 1),
    ],
)
def test_the_fewest_chunks_that_divide_a_stage(layers, pp, vpp, note, chunks):
    """A degree that isn't told is the least it can be; one layer a stage and one stage can't interleave."""
    run = Run("row", n_layers=layers, n_gpus=pp, dp=1, tp=1, pp=pp, vpp=vpp, micro_batch=1, global_batch=64, note=note)
    plan = run_plan(run, read_framework("megatron-lm-2021"), 8)
    assert plan.vpp == chunks
    assert plan.schedule == (Schedule.INTERLEAVED if chunks > 1 else Schedule.ONE_F_ONE_B)
