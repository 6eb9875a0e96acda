"""Which layers lie on which pipeline stage, and which stages are alike."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.architecture import Architecture
from meshwright.cost_models.candidates import IntColumn
from meshwright.cost_models.parameters import layer_parameters


@lru_cache(maxsize=4096)
def layers_per_chunk(num_layers: int, num_chunks: int) -> tuple[int, ...]:
    """Balanced contiguous split of layers over virtual stages.

    Where layers don't divide evenly, the surplus goes to the inner stages first: the last stage also carries the
    output layer and the loss, the first one the embedding.
    """
    base, surplus = divmod(num_layers, num_chunks)
    inner_first = [*range(1, num_chunks - 1), 0, num_chunks - 1] if num_chunks > 1 else [0]
    heavier = set(inner_first[:surplus])
    return tuple(base + (chunk in heavier) for chunk in range(num_chunks))


def layers_by_cost(architecture: Architecture, num_stages: int) -> tuple[tuple[int, ...], int]:
    """Split by parameters, output layer included, and the stage that the output layer comes to lie on.

    A stage takes layers until the cumulative cost passes its even share; the layer that passes it stays (nanotron,
    `NanotronModel` placement of pipeline blocks by `get_block_compute_costs`).
    """
    costs = [layer_parameters(layer, architecture.hidden).total for layer in architecture.layers]
    share = (sum(costs) + architecture.vocab * architecture.hidden) / num_stages
    counts, stage, placed = [0] * num_stages, 0, 0.0
    for cost in costs:
        counts[stage] += 1
        placed += cost
        if placed > share * (stage + 1):
            stage = min(stage + 1, num_stages - 1)
    return tuple(counts), stage


@dataclass(frozen=True)
class StageLayout:
    """The stages of one pipeline, with equal stages represented once.

    Attributes:
        layer_counts: (num_groups, num_kinds) layers of each kind on a stage of the group.
        has_embedding: (num_groups,) whether the stage holds the input embedding.
        has_output: (num_groups,) whether the stage holds the output layer (and multi-token-prediction layers).
        first_index: (num_groups,) earliest stage of the group: the one with most micro-batches in flight.
        num_stages: (num_groups,) stages in the group.
        group_of_stage: (pp,) group of every stage.
        chunk_layers: Layers of every virtual stage, in the order of the layers.
    """

    layer_counts: NDArray[np.float64]
    has_embedding: NDArray[np.float64]
    has_output: NDArray[np.float64]
    first_index: NDArray[np.float64]
    num_stages: NDArray[np.float64]
    group_of_stage: IntColumn
    chunk_layers: tuple[int, ...]


@lru_cache(maxsize=1024)
def stage_layout(architecture: Architecture, pp: int, vpp: int, *, by_cost: bool = False) -> StageLayout:
    """Layout of an architecture over `pp` devices with `vpp` chunks each (chunk c lies on device c mod pp).

    Layers divide evenly, or without interleaving by cost where the framework places them so.
    """
    kinds = len(architecture.layer_kinds)
    chunk_counts = np.zeros((pp * vpp, kinds))
    if by_cost and vpp == 1:
        layers, output_stage = layers_by_cost(architecture, pp)
    else:
        layers, output_stage = layers_per_chunk(architecture.num_layers, pp * vpp), pp - 1
    bounds = np.cumsum((0, *layers))
    index = np.array(architecture.layer_kind_index, dtype=np.int64)
    for chunk in range(pp * vpp):
        chunk_counts[chunk] = np.bincount(index[bounds[chunk] : bounds[chunk + 1]], minlength=kinds)
    counts = chunk_counts.reshape(vpp, pp, kinds).sum(axis=0)
    for layer in architecture.mtp_layers:
        counts[output_stage, architecture.layer_kinds.index(layer)] += 1
    ends = np.zeros((pp, 2))
    ends[0, 0] = ends[output_stage, 1] = 1.0
    unique, first, group, num = np.unique(
        np.hstack([counts, ends]), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    return StageLayout(
        layer_counts=unique[:, :kinds],
        has_embedding=unique[:, kinds],
        has_output=unique[:, kinds + 1],
        first_index=first.astype(np.float64),
        num_stages=num.astype(np.float64),
        group_of_stage=group.reshape(-1).astype(np.int64),
        chunk_layers=layers,
    )


@dataclass(frozen=True)
class StackedLayouts:
    """Several layouts padded to one number of groups (padding has `num_stages` 0 and repeats group 0).

    Attributes:
        layer_counts: (num_layouts, num_groups, num_kinds).
        has_embedding: (num_layouts, num_groups); the other attributes likewise.
    """

    layer_counts: NDArray[np.float64]
    has_embedding: NDArray[np.float64]
    has_output: NDArray[np.float64]
    first_index: NDArray[np.float64]
    num_stages: NDArray[np.float64]


def stack_layouts(layouts: list[StageLayout]) -> StackedLayouts:
    """Pads layouts to the same number of groups and stacks them."""
    groups = max(len(layout.num_stages) for layout in layouts)

    def stacked(name: str) -> NDArray[np.float64]:
        parts = []
        for layout in layouts:
            values = getattr(layout, name)
            filler = np.repeat(values[:1], groups - len(values), axis=0)
            parts.append(np.concatenate([values, filler * (name != "num_stages")]))
        return np.stack(parts)

    return StackedLayouts(*(stacked(name) for name in StackedLayouts.__dataclass_fields__))


def stacked_stage_layouts(
    architecture: Architecture, pp: IntColumn, vpp: IntColumn, *, by_cost: bool = False
) -> tuple[StackedLayouts, IntColumn]:
    """Layouts of a column of pipelines: the distinct ones stacked, and each row's index into them."""
    key = pp * 4096 + vpp
    distinct, index = np.unique(key, return_inverse=True)
    layouts = [stage_layout(architecture, int(k // 4096), int(k % 4096), by_cost=by_cost) for k in distinct]
    return stack_layouts(layouts), index.reshape(-1).astype(np.int64)
