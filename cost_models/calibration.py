"""A calibration: fitted rates, with where they come from; the spec sheet alone where there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from meshwright.cost_models.cluster import Accelerator, Cluster
from meshwright.cost_models.collectives import CollectiveRates
from meshwright.cost_models.kernels import KernelRates, spec_sheet_rates

DEFAULT = "default"


@dataclass(frozen=True)
class Calibration:
    """Rates by accelerator.

    Attributes:
        name: What reports call it.
        kernels: Kernel rates by accelerator name, kind (`nvidia-hopper`) or `default`.
        collectives: Collective rates, by the same keys.
        provenance: What it was fitted on, by topic.
    """

    name: str
    kernels: Mapping[str, KernelRates] = field(default_factory=dict)
    collectives: Mapping[str, CollectiveRates] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def spec_sheet(cls) -> Self:
        """Nothing measured: data sheets and the same general constants for every device."""
        return cls(name="spec-sheet")

    def kernel_rates(self, accelerator: Accelerator) -> KernelRates:
        """Rates of its kernels: by its name, else its kind, else the default, else the spec sheet."""
        for key in (accelerator.name, accelerator.kind, DEFAULT):
            if key in self.kernels:
                return self.kernels[key]
        return spec_sheet_rates(accelerator)

    def collective_rates(self, cluster: Cluster) -> CollectiveRates:
        """Rates of its collectives: by accelerator name, else kind, else default, else the spec sheet."""
        for key in (cluster.accelerator.name, cluster.accelerator.kind, DEFAULT):
            if key in self.collectives:
                return self.collectives[key]
        return CollectiveRates()
