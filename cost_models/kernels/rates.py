"""The few physical parameters that turn a data sheet into achieved rates."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels.measured import Measured

OPERAND_BYTES: Mapping[str, float] = {
    "fp32": 4.0,
    "tf32": 4.0,
    "fp16": 2.0,
    "bf16": 2.0,
    "fp8": 1.0,
    "mxfp8": 1.0 + 1.0 / 32,  # one 8-bit scale per 32 elements (OCP Microscaling Formats v1.0, §5.1)
    "nvfp4": 0.5 + 1.0 / 16,  # one 8-bit scale per 16 elements (NVIDIA, "Introducing NVFP4", 2025)
}
"""Bytes of one matrix element as a GEMM reads it, scales included; results have 16 bits or, from fp32, 32."""


@dataclass(frozen=True, slots=True)
class KernelRates:
    """What kernels reach of a device's data sheet.

    The defaults are general constants: medians of the rates fitted for V100, A100, H100/H200 and B200, so
    that they favour no make (see `datasets/calibrations/kernels.json` for the fits and their residuals).

    Attributes:
        matmul_fraction: Share of the peak FLOP/s that endless GEMMs reach, for precisions without their own.
        matmul_fractions: The same by precision.
        ramp_k: Steps of the inner dimension that filling and draining a tile costs, counted in 16-bit
            operands.
        small_tile_slowdown: Slowdown of a tile per unit of operand traffic above that of a 256×128 tile.
        memory_fraction: Share of the peak device-memory bandwidth that streaming kernels reach.
        attention_fraction: Share of the peak FLOP/s that fused attention's products would reach on endless
            sequences if its softmax were free.
        attention_backward_ratio: The backward pass's share over the forward pass's.
        softmax_width: Exponentials and rescaling of one score, in multiply-adds of the products beside it.
        attention_ramp: Keys whose time filling and draining a tile of queries costs.
        launch_s: Time on the device of a kernel with nothing to do.
        sustained_fraction: Clock under sustained load over the clock of kernels run alone (power limit). No
            table of kernels shows it; training steps do, so it is 1 until a calibration on steps sets it.
        measured: Measured over modelled time by shape, of kernels that a table was read for.
    """

    matmul_fraction: float = 0.77
    matmul_fractions: Mapping[str, float] = field(default_factory=dict)
    ramp_k: float = 115.0
    small_tile_slowdown: float = 0.01
    memory_fraction: float = 0.83
    attention_fraction: float = 0.7
    attention_backward_ratio: float = 0.83
    softmax_width: float = 128.0
    attention_ramp: float = 330.0
    launch_s: float = 3e-6
    sustained_fraction: float = 1.0
    measured: Measured = field(default_factory=dict)

    def matmul_flops(self, accelerator: Accelerator, precision: str) -> float:
        """FLOP/s that endless GEMMs reach at a precision.

        Raises:
            MissingDataError: The data sheet has no peak for it.
        """
        fraction = self.matmul_fractions.get(precision, self.matmul_fraction)
        return accelerator.peak_flops_at(precision) * fraction * self.sustained_fraction

    def attention_flops(self, accelerator: Accelerator, precision: str, *, backward: bool) -> float:
        """FLOP/s that fused attention's products would reach on endless sequences with a free softmax.

        Raises:
            MissingDataError: The data sheet has no peak for the precision.
        """
        fraction = self.attention_fraction * (self.attention_backward_ratio if backward else 1.0)
        return accelerator.peak_flops_at(precision) * fraction * self.sustained_fraction

    def memory_bytes_per_s(self, accelerator: Accelerator) -> float:
        """Device-memory bandwidth that streaming kernels reach."""
        return accelerator.memory_bandwidth_bytes_per_s * self.memory_fraction


BOOST_SUSTAINED = 0.85
"""Rate of a GPU in training over that of its kernels run alone.

Fitted: of 0.8, 0.85 and 0.9 the one with the least macro error on all of `datasets/runs` (19.2 %; 22.4 % with 1).
That the power limit costs clock is known (an A100 ran one GEMM at 257 TFLOP/s on random operands, 295 on zeros:
He, "Strangely, Matrix Multiplications on GPUs Run Faster When Given Predictable Data!"); the value isn't. TPUs
are left at 1: their published runs come out too slow already.
"""


def spec_sheet_rates(accelerator: Accelerator) -> KernelRates:
    """Rates for a device of which only the data sheet is known: one set of general constants for all."""
    return KernelRates(sustained_fraction=1.0 if accelerator.kind.startswith("google") else BOOST_SUSTAINED)


MATRIX_OVER_VECTOR: Mapping[str, float] = {"nvidia-hopper": 989.4 / 66.9}
"""Peak FLOP/s of the matrix units (16 bits) over those of the fp32 units, of the device that a kind's rates were
measured on: H100 SXM5 (NVIDIA H100 architecture white paper)."""
WEAK = 0.5
"""Above it the ratio of two such ratios counts as 1: data sheets round, and mean different things by fp32."""


def matrix_strength(accelerator: Accelerator) -> float:
    """How fast a device's matrix units are beside the rest of it, over the device that its kind was measured on.

    1 for most; the H20 is a Hopper whose matrix units run at a quarter.
    """
    matrix, vector = (accelerator.peak_flops.get(precision) for precision in ("bf16", "fp32"))
    usual = MATRIX_OVER_VECTOR.get(accelerator.kind)
    strength = matrix / vector / usual if matrix and vector and usual else 1.0
    return strength if strength < WEAK else 1.0


def eased(share: float, strength: float) -> float:
    """A reached share of the peak of matrix units that have some strength: what they wait for takes as long as before.

    A second of products at the peak takes 1 / share in all; on units of half the speed what comes on top halves.
    """
    return share / (share + (1.0 - share) * strength)


def on_device(rates: KernelRates, accelerator: Accelerator) -> KernelRates:
    """Rates of a kind of accelerator, for a device of it whose matrix units are weaker than those measured.

    Beside them instructions, operand traffic and softmax are quick, and they don't draw the power that slows the clock.
    """
    strength = matrix_strength(accelerator)
    if strength == 1.0:
        return rates
    return replace(
        rates,
        matmul_fraction=eased(rates.matmul_fraction, strength),
        matmul_fractions={name: eased(share, strength) for name, share in rates.matmul_fractions.items()},
        attention_fraction=eased(rates.attention_fraction, strength),
        softmax_width=rates.softmax_width * strength,
        sustained_fraction=eased(rates.sustained_fraction, strength),
    )
