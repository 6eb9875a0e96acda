"""The few physical parameters that turn a data sheet into achieved rates."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshwright.cost_models.cluster import Accelerator

OPERAND_BYTES: Mapping[str, float] = {
    "fp32": 4.0,
    "tf32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "mxfp8": 1.0 + 1.0 / 32,  # one 8-bit scale per 32 elements (OCP Microscaling Formats v1.0, §5.1)
    "nvfp4": 0.5 + 1.0 / 16,  # one 8-bit scale per 16 elements (NVIDIA, "Introducing NVFP4", 2025)
}
"""Bytes of one matrix element as a GEMM reads it, scales included; results are written in at most 16 bits below fp32."""


@dataclass(frozen=True, slots=True)
class KernelRates:
    """What kernels reach of a device's data sheet.

    Attributes:
        matmul_fraction: Share of the peak FLOP/s that endless GEMMs reach, for precisions not in `matmul_fractions`.
        matmul_fractions: The same by precision.
        ramp_k: Steps of the inner dimension that filling and draining one tile costs.
        memory_fraction: Share of the peak device-memory bandwidth that streaming kernels reach.
        attention_fraction: Share of the peak FLOP/s that fused attention reaches forward, on long sequences.
        attention_backward_fraction: The same for the backward pass.
        launch_s: Time on the device of a kernel with nothing to do.
        sustained_fraction: Clock under sustained load over the clock of isolated kernels (power limit); training
            steps calibrate it.
    """

    matmul_fraction: float = 0.75
    matmul_fractions: Mapping[str, float] = field(default_factory=dict)
    ramp_k: float = 200.0
    memory_fraction: float = 0.8
    attention_fraction: float = 0.6
    attention_backward_fraction: float = 0.5
    launch_s: float = 4e-6
    sustained_fraction: float = 1.0

    def matmul_flops(self, accelerator: Accelerator, precision: str) -> float:
        """FLOP/s that endless GEMMs reach at a precision.

        Raises:
            MissingDataError: The data sheet has no peak for it.
        """
        fraction = self.matmul_fractions.get(precision, self.matmul_fraction)
        return accelerator.peak_flops_at(precision) * fraction * self.sustained_fraction


def spec_sheet_rates(accelerator: Accelerator) -> KernelRates:  # noqa: ARG001 - one set of constants for all devices
    """Rates for a device of which only the data sheet is known: the same general constants for all."""
    return KernelRates()
