"""A calibration: fitted rates, with where they come from; the spec sheet alone where there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from meshwright.cost_models.cluster import Accelerator, Cluster
from meshwright.cost_models.collectives import CollectiveRates
from meshwright.cost_models.kernels import KernelRates, spec_sheet_rates

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Residual:
    """How far a fit is off; errors are relative, as max(predicted/measured, measured/predicted) - 1.

    Attributes:
        subject: What was predicted, such as `gemm bf16`.
        device: Accelerator name or kind.
        fitted_rows: Measurements that the fit saw.
        fitted_median: Their median error.
        fitted_p90: Their 90th percentile.
        held_out_rows: Measurements of shapes that the fit didn't see.
        held_out_median: Their median error.
        held_out_p90: Their 90th percentile.
        held_out_bias: Their median of predicted/measured - 1.
    """

    subject: str
    device: str
    fitted_rows: int
    fitted_median: float
    fitted_p90: float
    held_out_rows: int
    held_out_median: float
    held_out_p90: float
    held_out_bias: float


@dataclass(frozen=True)
class Calibration:
    """Rates by accelerator.

    Attributes:
        name: What reports call it.
        kernels: Kernel rates by accelerator name, kind (`nvidia-hopper`) or `default`.
        collectives: Collective rates, by the same keys.
        provenance: What it was fitted on, by topic.
        residuals: How well it fits.
    """

    name: str
    kernels: Mapping[str, KernelRates] = field(default_factory=dict)
    collectives: Mapping[str, CollectiveRates] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    residuals: tuple[Residual, ...] = ()

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
