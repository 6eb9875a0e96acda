"""Rows with gaps: what they leave out, as the catalog, the other cells or most runs have it."""

from dataclasses import replace

from meshwright.errors import MeshwrightError
from meshwright.planner.clusters import accelerator
from meshwright.planner.clusters.catalog import nearest_accelerator
from meshwright.planner.runs.run import Run
from meshwright.planner.runs.sizes import with_sizes
from meshwright.planner.runs.spelling import spelled_out

STATE_BYTES = 18.0
"""Of one parameter: 16 bit, its fp32 gradient and 12 bytes of mixed-precision Adam (arXiv:1910.02054, section 3.1)."""
OPTIMIZER_BYTES = 12.0
FILLED = 0.9
"""Share of a device that states fill at most: what else a run needs was never less than a tenth."""


def completed_run(run: Run) -> Run:
    """The row in the table's own words, without the gaps that can be filled.

    Cells that are there never change, but for spelling and where axes contradict the number of devices: then the
    replicas are what the other axes leave.
    """
    return _with_plan(with_sizes(spelled_out(run)))


def _with_plan(run: Run) -> Run:
    """Replicas, micro-batch and sharding where the row leaves them out or they contradict each other."""
    model_parallel = (run.tp or 1) * (run.pp or 1) * (run.cp or 1)
    num_devices = run.n_gpus or (run.dp * model_parallel if run.dp else None)
    told = run.dp is not None or (run.tp is not None and run.pp is not None)
    if not num_devices or not told or num_devices % model_parallel:
        return replace(run, n_gpus=num_devices)
    dp = num_devices // model_parallel
    micro_batch = run.micro_batch or 1
    whole = dp * micro_batch
    batch = run.global_batch and -(-run.global_batch // whole) * whole
    return replace(
        run, n_gpus=num_devices, dp=dp, micro_batch=micro_batch, global_batch=batch,
        sharding=run.sharding or _sharding_that_fits(run, dp, (run.tp or 1) * (run.pp or 1)),
    )  # fmt: skip


def _sharding_that_fits(run: Run, dp: int, parallel: int) -> str:
    """The least sharding with which the states of a run fit its device; as it is where nothing needs dividing.

    Beside model parallelism at least ZeRO-1, as recipes of Megatron-Core have it (`use_distributed_optimizer`).
    """
    if dp == 1 or run.task in ("lora", "qlora") or not run.params_b:
        return run.sharding
    name = nearest_accelerator(run.accelerator)
    try:
        capacity = accelerator(name or "a100-80gb").memory_bytes * FILLED
    except MeshwrightError:
        return run.sharding
    parameters = run.params_b * 1e9 / parallel
    if parallel == 1 and parameters * STATE_BYTES <= capacity:
        return "none"
    return "zero1" if parameters * (STATE_BYTES - OPTIMIZER_BYTES * (1 - 1 / dp)) <= capacity else "zero3"
