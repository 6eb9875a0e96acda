"""Which layers lie on which virtual stage, written out."""

from dataclasses import dataclass
from itertools import groupby


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
        """As plans write it: `7,8x6,7` for 7, six times 8, and 7 layers."""
        runs = [(layers, len(list(run))) for layers, run in groupby(self.layers)]
        return ",".join(f"{layers}x{length}" if length > 1 else str(layers) for layers, length in runs)
