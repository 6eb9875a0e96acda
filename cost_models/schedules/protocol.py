"""What every pipeline schedule can say about itself."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.schedules.orders import Orders, StageMap
from meshwright.errors import AxisError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class PipelineShape:
    """A pipeline as schedules see it: all stages alike, transfers free.

    Closed forms take arrays that broadcast with each other, one entry a plan; generators of orders take numbers.

    Attributes:
        num_devices: p, devices along the pipeline.
        num_micro_batches: m, of one step.
        num_chunks: v, virtual stages a device; ignored by schedules that fix it.
        forward_s: F, of one micro-batch on one device, all of its chunks together.
        backward_input_s: B, likewise.
        backward_weight_s: W, likewise.
    """

    num_devices: int | IntArray
    num_micro_batches: int | IntArray
    num_chunks: int | IntArray = 1
    forward_s: float | FloatArray = 1.0
    backward_input_s: float | FloatArray = 1.0
    backward_weight_s: float | FloatArray = 1.0

    @property
    def p(self) -> IntArray:
        """Devices, as an array."""
        return np.asarray(self.num_devices)

    @property
    def m(self) -> IntArray:
        """Micro-batches, as an array."""
        return np.asarray(self.num_micro_batches)

    @property
    def v(self) -> IntArray:
        """Chunks, as an array."""
        return np.asarray(self.num_chunks)

    @property
    def work_s(self) -> FloatArray:
        """F + B + W."""
        return np.asarray(self.forward_s + self.backward_input_s + self.backward_weight_s, np.float64)

    @property
    def has_equal_times(self) -> BoolArray:
        """Whether F = B = W, to rounding."""
        equal_backward = np.isclose(self.forward_s, self.backward_input_s)
        return np.asarray(equal_backward & np.isclose(self.forward_s, self.backward_weight_s))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """p, m and v of a single pipeline.

        Raises:
            AxisError: One of them is below one.
        """
        p, m, v = int(self.num_devices), int(self.num_micro_batches), int(self.num_chunks)
        require(min(p, m, v) >= 1, "num_devices, num_micro_batches, num_chunks >= 1", p=p, m=m, v=v)
        return p, m, v


class PipelineSchedule(Protocol):
    """A family of op orders, with its closed forms for pruning and its exact orders for the simulation."""

    @property
    def name(self) -> str:
        """What plans and the command line call it."""
        ...

    @property
    def parameter_copies(self) -> int:
        """How often the devices together hold the model."""
        ...

    @property
    def splits_backward(self) -> bool:
        """Whether some weight gradients run apart from their input gradients."""
        ...

    def stages(self, shape: PipelineShape) -> StageMap:
        """Where the virtual stages live."""
        ...

    def orders(self, shape: PipelineShape) -> Orders:
        """The ops of one step; schedules that adapt to F, B and W read them from the shape.

        Raises:
            AxisError: The schedule doesn't exist for these sizes.
        """
        ...

    def bubble_s(self, shape: PipelineShape) -> FloatArray:
        """How much longer than m·(F + B + W) a step with a global sync at its end takes."""
        ...

    def bubble_is_exact(self, shape: PipelineShape) -> BoolArray:
        """Where `bubble_s` is what a simulation of `orders` gives, not an estimate."""
        ...

    def peak_activations(self, shape: PipelineShape, device: int | IntArray = 0) -> FloatArray:
        """The most that a device ever holds, in units of one micro-batch's activations on one device."""
        ...


def require(holds: bool, equation: str, **values: int) -> None:
    """Refuses sizes for which a schedule doesn't exist.

    Raises:
        AxisError: Shows the condition that must hold, with the values.
    """
    if not holds:
        got = ", ".join(f"{name}={value}" for name, value in values.items())
        raise AxisError(f"`{equation}` must hold, but got ({got})")
