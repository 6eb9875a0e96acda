"""The few parameters that turn a link's data sheet into the speed of collectives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import LinkLevel

MEASURED_FRACTIONS = {"omni-path": 0.21}
"""Shares of a node's links that collectives reach on networks that calibrations don't have. Omni-Path: NCCL 2.10 rang
over two of the four links of V100 nodes, 84.7 of 400 Gb/s (all-reduce of 4 GB over 4 nodes; BigScience,
experiments/bandwidth). Over A100 nodes one group rang over one link, 40.5 Gb/s; several groups were not measured."""


@dataclass(frozen=True, slots=True)
class CollectiveRates:
    """What collectives reach of the links' data sheet.

    The defaults are general constants: medians of the rates fitted for the measured systems (see
    `datasets/calibrations/kernels.json`).

    Attributes:
        bandwidth_fraction: Share of a link's bandwidth that endless messages reach, on levels without their
            own, here or among `MEASURED_FRACTIONS`.
        bandwidth_fractions: The same by level name (`nvlink`, `pcie`, `infiniband`, ...).
        in_network_fraction: Share of a link's bandwidth that reductions in the switch reach.
        low_latency_fraction: Share of the achieved bandwidth left to the protocol of least latency.
        local_copy: Passes over a rank's own share of the bytes, beside those that it sends.
        launch_s: Time of a collective with nothing to move.
        bulk_launch_s: What the protocol of full bandwidth takes longer to get going.
        hop_s: Software time of one hop, on top of the link's latency.
    """

    bandwidth_fraction: float = 0.8
    bandwidth_fractions: Mapping[str, float] = field(default_factory=dict)
    in_network_fraction: float = 0.6
    low_latency_fraction: float = 0.45
    local_copy: float = 0.48
    launch_s: float = 9e-6
    bulk_launch_s: float = 8e-6
    hop_s: float = 0.2e-6

    def bandwidth_bytes_per_s(self, level: LinkLevel, members: FloatColumn) -> FloatColumn:
        """Bandwidth that endless messages of one device reach over a level, with so many `members` in a domain."""
        links = np.full(members.shape, level.bandwidth_bytes_per_s)
        for few, bandwidth in reversed(level.partial_bandwidths):
            links[members <= few] = bandwidth
        return links * self.fraction_of(level.name)

    def fraction_of(self, level_name: str) -> float:
        """Share of a level's bandwidth that endless messages reach: its own, one measured elsewhere, or the general."""
        otherwise = MEASURED_FRACTIONS.get(level_name, self.bandwidth_fraction)
        return self.bandwidth_fractions.get(level_name, otherwise)
