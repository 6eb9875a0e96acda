"""Which layers lie on which virtual stage, written out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerSplit:
    """A model's layers cut into virtual stages, in the order of the layers.

    Attributes:
        layers: Layers of every virtual stage; the first one also holds the embedding, so that it may have none.
        output_stage: Virtual stage that holds the output layer and multi-token prediction; None for the last.
    """

    layers: tuple[int, ...]
    output_stage: int | None = None

    @property
    def num_stages(self) -> int:
        """Virtual stages."""
        return len(self.layers)

    @property
    def output(self) -> int:
        """Virtual stage that holds the output layer."""
        return self.num_stages - 1 if self.output_stage is None else self.output_stage

    @property
    def text(self) -> str:
        """As plans write it: `20,20,20,20`."""
        return ",".join(map(str, self.layers))
