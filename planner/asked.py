"""The question of an answer, in the answer's own words."""

from collections.abc import Sequence
from typing import Any

import meshwright
from meshwright.cost_models.parameters import active_parameters, total_parameters
from meshwright.planner.problem import Problem
from meshwright.planner.results import ClusterSummary, ModelSummary, WorkloadSummary


def asked(problems: Sequence[Problem]) -> dict[str, Any]:
    """The fields of `results.Asked` for a question over one pool of accelerators or several."""
    job = problems[0].job
    return {
        "meshwright_version": meshwright.__version__,
        "model": ModelSummary(
            name=job.architecture.name,
            parameters=total_parameters(job.architecture),
            active_parameters=active_parameters(job.architecture),
            layers=job.architecture.num_layers,
        ),
        "clusters": tuple(_cluster(problem) for problem in problems),
        "workload": WorkloadSummary(
            global_batch=job.workload.global_batch,
            seq_len=job.workload.seq_len,
            precision=job.workload.precision,
            task=job.workload.task,
        ),
        "framework": job.framework.name,
    }


def _cluster(problem: Problem) -> ClusterSummary:
    cluster = problem.job.cluster
    return ClusterSummary(
        name=cluster.name,
        accelerator=cluster.accelerator.name,
        num_devices=cluster.num_devices,
        devices_per_node=cluster.devices_per_node,
        memory_bytes=cluster.accelerator.memory_bytes,
    )
