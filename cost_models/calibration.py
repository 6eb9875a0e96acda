"""A calibration: fitted rates, with where they come from; the spec sheet alone where there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

from meshwright.cost_models.cluster import Accelerator, Cluster
from meshwright.cost_models.collectives import CollectiveRates
from meshwright.cost_models.kernels import KernelRates, on_device, spec_sheet_rates
from meshwright.cost_models.training_rates import TrainingRates
from meshwright.cost_models.uncertainty import FINE_TUNING, PeakMemoryError, StepTimeError

DEFAULT = "default"
Rates = TypeVar("Rates")


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


@dataclass(frozen=True, slots=True)
class FittedParameter:
    """One parameter of a training step, fitted on measured steps.

    Attributes:
        name: Field of `TrainingRates`; `sustained_fractions.nvidia-hopper` for one kind.
        value: Found by the fit.
        prior: What was believed before.
        prior_width: How far off that may be, in one standard deviation: a share of the prior, or for
            `step_overhead_s` in seconds.
        standard_error: Of the value, in its own unit; with many sources their scatter counts, not their rows'.
        is_identified: Whether the data say more about it than the prior does.
    """

    name: str
    value: float
    prior: float
    prior_width: float
    standard_error: float
    is_identified: bool


@dataclass(frozen=True)
class Calibration:
    """Rates by accelerator.

    Attributes:
        name: What reports call it.
        kernels: Kernel rates by accelerator name, kind (`nvidia-hopper`) or `default`.
        collectives: Collective rates, by the same keys.
        training: What a training step loses against both.
        step_time_error: How far off its step times may be.
        memory_error: How far off predicted peak memory may be in pre-training.
        fine_tuning_memory_error: The same in fine-tuning, adapters or all.
        parameters: What a fit on measured steps found, and how well it knows it.
        provenance: What it was fitted on, by topic.
        residuals: How well it fits.
    """

    name: str
    kernels: Mapping[str, KernelRates] = field(default_factory=dict)
    collectives: Mapping[str, CollectiveRates] = field(default_factory=dict)
    training: TrainingRates = field(default_factory=TrainingRates)
    step_time_error: StepTimeError = field(default_factory=StepTimeError)
    memory_error: PeakMemoryError = field(default_factory=PeakMemoryError)
    fine_tuning_memory_error: PeakMemoryError = FINE_TUNING
    parameters: tuple[FittedParameter, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    residuals: tuple[Residual, ...] = ()

    @classmethod
    def spec_sheet(cls) -> Self:
        """Nothing measured: data sheets and the same general constants for every device."""
        return cls(name="spec-sheet")

    def memory_error_of(self, task: str) -> PeakMemoryError:
        """How far off predicted peak memory may be in a task of `Workload`."""
        return self.memory_error if task == "pretrain" else self.fine_tuning_memory_error

    def kernel_rates(self, accelerator: Accelerator) -> KernelRates:
        """Rates of its kernels in training: by its name, else its kind, else the default, else general constants.

        Of a device that wasn't measured, `training` says what is lost against kernels alone where others were, and the
        constants of data sheets do where nothing was.
        """
        keys = (accelerator.name, accelerator.kind, DEFAULT)
        alone = _first(self.kernels, keys) or (KernelRates() if self.kernels else spec_sheet_rates(accelerator))
        sustained = self.training.sustained_fractions.get(accelerator.kind, self.training.sustained_fraction)
        in_training = replace(
            alone,
            sustained_fraction=alone.sustained_fraction * sustained,
            memory_fraction=alone.memory_fraction * self.training.memory_fraction,
        )
        return in_training if accelerator.name in self.kernels else on_device(in_training, accelerator)

    def collective_rates(self, cluster: Cluster) -> CollectiveRates:
        """Rates of its collectives in training: by accelerator name, else kind, else default, else the spec sheet."""
        keys = (cluster.accelerator.name, cluster.accelerator.kind, DEFAULT)
        alone = _first(self.collectives, keys) or CollectiveRates()
        shares = (self.training.fast_link_fraction, self.training.slow_link_fraction)
        fractions = {
            level.name: alone.fraction_of(level.name) * shares[depth > 0] for depth, level in enumerate(cluster.levels)
        }
        in_network = alone.in_network_fraction * shares[0]
        return replace(alone, bandwidth_fractions=fractions, in_network_fraction=in_network)


def _first(table: Mapping[str, Rates], keys: Sequence[str]) -> Rates | None:
    return next((table[key] for key in keys if key in table), None)
