"""Everything about a training job that every candidate plan shares."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from meshwright.cost_models.architecture import Architecture
from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.cluster import Cluster
from meshwright.cost_models.framework import FrameworkProfile
from meshwright.cost_models.layer_split import LayerSplit
from meshwright.cost_models.workload import Workload


@dataclass(frozen=True)
class Job:
    """Model, cluster, workload, framework and calibration: the first argument of every cost model.

    Attributes:
        architecture: The model.
        cluster: Where it trains.
        workload: What a step is.
        framework: Whose habits hold.
        calibration: Rates of kernels and links.
        splits: Explicit divisions of the layers that rows of a table may name (`Candidates.split`).
    """

    architecture: Architecture
    cluster: Cluster
    workload: Workload
    framework: FrameworkProfile
    calibration: Calibration = field(repr=False)
    splits: tuple[LayerSplit, ...] = ()

    @property
    def context_bytes(self) -> float:
        """Device memory outside the allocator; a device by itself has no communicators."""
        is_alone = self.cluster.num_devices == 1
        return self.framework.context_bytes - is_alone * self.framework.communication_bytes

    @cached_property
    def remembered(self) -> dict[str, object]:
        """What cost models worked out for this job and may take again; no part of its identity."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}
