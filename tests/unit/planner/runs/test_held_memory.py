"""What collectives hold while the host runs ahead, and which device a framework prints."""

from dataclasses import replace

import pytest

from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.price import price
from meshwright.cost_models.stages import row_layout
from meshwright.planner.runs.held_memory import held_bytes
from meshwright.planner.runs.job import run_job
from meshwright.planner.runs.one_node import seen_stages
from meshwright.planner.runs.plan import plan_table, run_plan
from meshwright.planner.runs.run import Run
from meshwright.planner.runs.table import shipped_runs

RUN = next(run for run in shipped_runs() if run.run_id == "ultra-0316")
"""Without stages, 8 tensor-parallel ranks on 16 GPUs."""
LAYER_BYTES = 1.6 * 2 * 8 * 4096 * 2048


def held(run: Run) -> float:
    job, _ = run_job(run, Calibration.spec_sheet())
    return float(held_bytes(job, plan_table([run_plan(run, job.framework, 8)]))[0])


@pytest.mark.parametrize(("tp", "pp", "layers"), [(8, 1, 16), (1, 1, 0), (4, 2, 0), (2, 4, 4 * 2), (2, 8, 2 * 6)])
def test_collectives_hold_what_forward_passes_ahead_of_the_device_made(tp: int, pp: int, layers: int) -> None:
    """One pass over all layers without stages, none alone, and pp - 2 passes over a stage's layers before its first
    gradients."""
    run = replace(RUN, n_gpus=16, dp=16 // (tp * pp), tp=tp, pp=pp, micro_batch=8)
    assert held(run) == pytest.approx(layers * LAYER_BYTES)


def test_messages_that_stop_the_host_leave_nothing_held() -> None:
    """With 32 tensor-parallel ranks and stages the host waits for every message."""
    assert held(replace(RUN, n_gpus=128, dp=1, tp=32, pp=4, micro_batch=8)) == 0


def test_a_framework_that_prints_its_first_device_shows_the_first_stage_alone() -> None:
    """Of two stages nanotron's table has the first; without pipeline stages the only one."""
    run = replace(RUN, n_gpus=16, dp=1, tp=8, pp=2, micro_batch=16)
    job, _ = run_job(run, Calibration.spec_sheet())
    table = plan_table([run_plan(run, job.framework, 8)])
    first, last = row_layout(job, table, 0).group_of_stage
    seen = seen_stages(job, table, [run], price(job, table))[0]
    assert seen[first]
    assert not seen[last]
