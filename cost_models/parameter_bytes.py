"""What a framework keeps for one parameter."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class StateBytes:
    """Bytes that one parameter costs between two kernels.

    Attributes:
        parameter: The copy that computes (16 bit), or under FSDP the sharded fp32 one.
        gradient: The buffer that gradients accumulate in.
        gradient_fp16: The same when training in fp16, where it differs; None if it doesn't.
        optimizer: fp32 master copy and both Adam moments.
        optimizer_temporary: Extra bytes that live only inside `optimizer.step` (foreach implementations).
    """

    parameter: float
    gradient: float
    optimizer: float
    optimizer_temporary: float = 0.0
    gradient_fp16: float | None = None

    @property
    def total(self) -> float:
        """Bytes that one parameter costs between two steps."""
        return self.parameter + self.gradient + self.optimizer

    def at(self, precision: str) -> "StateBytes":
        """The bytes at one precision of training.

        In fp32 parameters are their own master copy: 4 + 4 + 8 (Megatron Core guide, "Distributed Optimizer").
        """
        if precision in ("fp32", "tf32"):
            return replace(self, parameter=4, gradient=4, optimizer=8)
        if precision != "fp16" or self.gradient_fp16 is None:
            return self
        return replace(self, gradient=self.gradient_fp16)
