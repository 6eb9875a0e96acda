"""Everything about a training job that every candidate plan shares."""

from dataclasses import dataclass

from meshwright.cost_models.architecture import Architecture
from meshwright.cost_models.calibration import Calibration
from meshwright.cost_models.cluster import Cluster
from meshwright.cost_models.framework import FrameworkProfile
from meshwright.cost_models.workload import Workload


@dataclass(frozen=True)
class Job:
    """Model, cluster, workload, framework and calibration: the first argument of every cost model."""

    architecture: Architecture
    cluster: Cluster
    workload: Workload
    framework: FrameworkProfile
    calibration: Calibration
