"""What a training step loses against its kernels run alone: the few numbers that only measured steps can tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field

OVERLAP_SLOWDOWN = 0.15
"""Compute lost while communication runs beside it. An estimate, not measured: about 20 of an H100's 132 SMs."""


@dataclass(frozen=True, slots=True)
class TrainingRates:
    """Ratios of a training step's rates to those of kernels and collectives run alone.

    The defaults say that nothing is lost but what overlapped communication takes.

    Attributes:
        sustained_fraction: Speed of matrix units in training over that of kernels run alone: the clock at the power
            limit, and waiting for the slowest device.
        sustained_fractions: The same by accelerator kind, where steps of that kind were measured.
        memory_fraction: The same for memory-bound kernels.
        fast_link_fraction: Bandwidth of links inside the fastest domain, over that of collectives run alone.
        slow_link_fraction: The same for all links further out.
        host_launch_ratio: Host time to launch a kernel, over the framework profile's.
        overlap_slowdown: Compute lost while communication runs beside it.
        step_overhead_s: Time of every step that no kernel explains: data loading, logging, host synchronisation.
    """

    sustained_fraction: float = 1.0
    sustained_fractions: Mapping[str, float] = field(default_factory=dict)
    memory_fraction: float = 1.0
    fast_link_fraction: float = 1.0
    slow_link_fraction: float = 1.0
    host_launch_ratio: float = 1.0
    overlap_slowdown: float = OVERLAP_SLOWDOWN
    step_overhead_s: float = 0.0
