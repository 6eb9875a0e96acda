"""How far off a predicted step time and a predicted peak memory may be: error bars, and the chance of overflowing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn

INTERVAL = 0.8
"""Share of measured steps that a step-time interval claims to hold."""


@dataclass(frozen=True, slots=True)
class StepTimeError:
    """Half-widths of the 80 % interval of log(measured / predicted), by what the step is made of.

    below = base + communication · (its share of the step) + host · (its share) + unseen_kind + unseen_framework,
    above = below · above. The defaults are those of data sheets alone,
    fitted on published steps (`docs/accuracy.md`).

    Attributes:
        base: Of a step that does nothing but compute.
        communication: Added for a step that does nothing but wait for links.
        host: Added for a step that does nothing but wait for the host.
        above: Half-width above the prediction over that below it: steps are rather slower than faster.
        unseen_kind: Added on a kind of accelerator that no measured step ran on.
        seen_kinds: Kinds with measured steps; empty where nothing was fitted on steps.
        unseen_framework: Added for a framework that nobody has described, of which another stands in.
    """

    base: float = 0.15
    communication: float = 0.9
    host: float = 1.4
    above: float = 1.8
    unseen_kind: float = 0.0
    seen_kinds: tuple[str, ...] = ()
    unseen_framework: float = 0.0


@dataclass(frozen=True, slots=True)
class PeakMemoryError:
    """Distribution of needed over predicted peak memory: log-logistic.

    Its tails are heavier than a log-normal's, as those of measured runs are, and its quantiles have a closed
    form. Bytes don't depend on rates, so that the defaults, fitted on published runs (`docs/accuracy.md`), hold for
    every calibration.

    Attributes:
        median: Median of needed / predicted.
        spread: Scale s of log(needed / predicted): half of the runs lie within a factor of 3^±s of it.
    """

    median: float = 0.987
    spread: float = 0.067


FINE_TUNING = PeakMemoryError(median=0.83, spread=0.19)
"""Of fine-tuning, fitted on published runs: its scripts change memory in ways that no plan tells, such as 8-bit
optimizers and chunked losses."""


def step_time_interval_s(
    error: StepTimeError,
    accelerator_kind: str,
    step_time_s: FloatColumn,
    communication_share: FloatColumn,
    host_share: FloatColumn,
    *,
    is_stand_in: bool = False,
) -> tuple[FloatColumn, FloatColumn]:
    """The lowest and highest seconds between which four of five measured steps should lie.

    Args:
        error: Of the calibration.
        accelerator_kind: Kind of the device.
        step_time_s: (num_candidates,) predicted seconds.
        communication_share: (num_candidates,) share of the step that waits for links.
        host_share: (num_candidates,) share of the step that waits for the host.
        is_stand_in: Whether the framework is one that stands in for others.
    """
    unseen = bool(error.seen_kinds) and accelerator_kind not in error.seen_kinds
    below = error.base + error.unseen_kind * unseen + error.unseen_framework * is_stand_in
    width = below + error.communication * communication_share + error.host * host_share
    return step_time_s * np.exp(-width), step_time_s * np.exp(width * error.above)


def out_of_memory_probability(error: PeakMemoryError, peak_bytes: ArrayLike, capacity_bytes: float) -> FloatColumn:
    """Chance that a plan needs more than the capacity: 1 / (1 + (capacity / (median · peak))^(1/spread)).

    Args:
        error: Of the calibration.
        peak_bytes: Predicted peak of the fullest device, above 0.
        capacity_bytes: Of the device.
    """
    headroom = np.log(capacity_bytes / (error.median * np.asarray(peak_bytes, dtype=np.float64)))
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(headroom / error.spread, -700.0, 700.0))))


def memory_limit_bytes(error: PeakMemoryError, capacity_bytes: float, max_oom_risk: float) -> float:
    """Predicted peak at which the chance of running out of memory is `max_oom_risk`, between 0 and 1."""
    odds = (1.0 - max_oom_risk) / max_oom_risk
    return float(capacity_bytes / (error.median * odds**error.spread))
