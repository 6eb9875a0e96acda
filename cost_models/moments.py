"""The moments of a step at which a stage's memory may peak, for every distinct stage problem.

The end of the last layer's forward pass; the loss; the output layer's backward pass, when its gradients are made and
when they are reduced; the backward passes of four layers; the embedding's, likewise twice. (`memory` adds the optimizer
step, which knows no activations.) Between the second layer to run backward and the last but one, activations fall and
gradients grow evenly, so no other layer can hold more than those two.

The lifetimes of gathered and reduced units are those of PyTorch's FSDP2 (`FSDPParamGroup`):

- a backward pass holds a unit's parameters, its gradients, the parameters that are prefetched for the next unit, and
  the reduce-scatter's input of the unit before, in the type that is reduced;
- that input is filled once the unit's own parameters are gone; its gradients go right after.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.stage_model import StageModel, StageTable

MomentTable = NDArray[np.float64]
"""(num_problems, num_groups, num_moments) bytes, or shares, at every moment."""


class Gathering(IntEnum):
    """What of a unit's whole parameters and gradients exists only for a moment."""

    NONE = 0
    GRADIENTS = 1
    """Units hold whole gradients, but their parameters stay gathered (FSDP2 that reshards after the backward pass)."""
    ALL = 2
    """Units gather their parameters for each pass and hold whole gradients (ZeRO-3)."""


@dataclass(frozen=True)
class StageMoments:
    """Bytes beside the states, at every moment.

    Attributes:
        kept_change: What the kept activations are more (or less, negative) than at the end of the forward pass.
        working: (num_gatherings, num_problems, num_groups, num_moments) alive on top; 0 for ways not present.
        ways: By `Gathering`; None for those that are not present.
    """

    kept_change: MomentTable
    working: MomentTable
    ways: tuple["_Moments | None", ...]

    @cached_property
    def done(self) -> MomentTable:
        """(num_gatherings, ...) share of the stage's gradients that this backward pass has made."""
        nothing = np.zeros_like(self.working[0])
        return np.stack([nothing if way is None else way.done() for way in self.ways])

    @cached_property
    def beside(self) -> MomentTable:
        """(num_gatherings, ...) both changes together."""
        return self.kept_change + self.working

    @cached_property
    def at_peak(self) -> tuple[MomentTable, MomentTable]:
        """Change of the kept activations and working set at the highest moment where states don't change.

        Both (num_gatherings, num_problems, num_groups).
        """
        moment = self.beside.argmax(axis=3)[..., None]
        kept = np.broadcast_to(self.kept_change, self.working.shape)
        at_moment = [np.take_along_axis(table, moment, axis=3)[..., 0] for table in (kept, self.working)]
        return at_moment[0], at_moment[1]


@dataclass(frozen=True)
class Units:
    """What is gathered and reduced at once; (num_problems, num_groups) parameters.

    Attributes:
        layer: The largest layer.
        embedding: The input table, where it is a unit of its own.
        output: The output table and the final norm, where they are a unit of their own.
        root: Tables that stay gathered from the forward pass of the first layer to the backward pass of the last.
        root_output: Those of them whose gradients exist from the output layer's backward pass on.
        total: All of the stage's.
    """

    layer: StageTable
    embedding: StageTable
    output: StageTable
    root: StageTable
    root_output: StageTable
    total: StageTable


def units(model: StageModel) -> Units:
    """The units of every stage.

    A table that input and output share can't be a unit of its own: it lies in the root, as all tables do in
    frameworks that wrap only layers.
    """
    parameters, shape = model.parameters, model.problems.shape
    has_output = model.problems.layouts.has_output[model.problems.layout]
    both = model.has_embedding * has_output
    output = parameters.output[shape, None] * (has_output - both) + parameters.tied_output[shape, None] * both
    embedding = parameters.embedding[shape, None] * model.has_embedding
    tied = both * model.job.architecture.tied_embeddings
    trains_adapters = model.job.workload.trains_adapters
    rooted = np.maximum(tied, float(model.job.framework.roots_tables(trains_adapters=trains_adapters)))
    per_layer = parameters.dense + parameters.expert
    return Units(
        layer=model.largest(model.of_kinds(per_layer)),
        embedding=embedding * (1.0 - rooted),
        output=output * (1.0 - rooted),
        root=(embedding + output) * rooted,
        root_output=(output + embedding * tied) * rooted,
        total=model.per_stage(per_layer) + embedding + output,
    )


def stage_moments(model: StageModel, present: frozenset[int]) -> StageMoments:
    """Working sets, kept activations and gradients of every stage at every moment, for the gatherings present."""
    parts = units(model)
    ways = tuple(_Moments(model, parts, way) if way in present else None for way in Gathering)
    kept_change = next(way.kept_change() for way in ways if way is not None)
    working = np.zeros((len(ways), *kept_change.shape))
    for index, way in enumerate(ways):
        if way is not None:
            working[index] = way.working()
    return StageMoments(kept_change, working, ways)


class _Moments:
    """The moments under one way of gathering; (num_problems, num_groups) attributes."""

    def __init__(self, model: StageModel, parts: Units, gathering: Gathering) -> None:
        memory, framework = model.memory, model.job.framework
        shape = model.problems.shape
        width = float(model.job.workload.activation_bytes)
        trained, by_unit = not model.job.workload.trains_adapters, gathering >= Gathering.GRADIENTS
        self.units, self.memory = parts, memory
        self.gathered = width * (gathering == Gathering.ALL)
        # Frozen layers travel as they are held, and each of their matrices is whole in 16 bits for its own product.
        held = float(model.job.workload.frozen_bytes) if model.job.workload.trains_adapters else width
        self.gathered_layer = held * (gathering == Gathering.ALL)
        self.dequantised = width * (held < width)
        at_work = 2.0 * parts.layer + parts.root
        lasting = np.maximum(np.minimum(framework.live_parameters, parts.total) - at_work, 0.0)
        self.lasting = held * lasting * (gathering == Gathering.ALL)
        self.gradient = width * (by_unit and trained)
        self.reduced = framework.gradient_reduce_bytes * (by_unit and trained)
        self.layers = model.layer_counts.sum(axis=2)
        layouts, layout = model.problems.layouts, model.problems.layout
        self.has_output = layouts.has_output[layout] * layouts.copies[layout]
        self.head, self.logits, self.logits_gradient, self.forward, self.stream = (
            column[shape, None]
            for column in (memory.head, memory.logits, memory.logits_gradient, memory.forward, memory.boundary)
        )
        self.kept, self.kept_layer = model.kept_bytes, model.kept_bytes / np.maximum(self.layers, 1.0)
        self.inside = model.largest(
            model.of_kinds(memory.backward + (self.gradient + self.dequantised) * memory.last_projection)
            + model.recomputed_bytes
        )
        # Gradients that aren't reduced by unit lie in their buffers at once.
        self.projected = model.largest(model.of_kinds(memory.last_projection)) * (not by_unit)
        before, after = (np.maximum(self.layers - number, 0.0) for number in (1.0, 2.0))
        self.passed = [np.zeros_like(before), np.minimum(before, 1.0), after, before]

    def kept_change(self) -> MomentTable:
        """Final norm and output layer keep their inputs up to their gradients; a layer that has passed keeps none."""
        head, nothing = self.head * self.has_output, np.zeros_like(self.kept)
        layers = [-passed * self.kept_layer for passed in self.passed]
        return np.stack([nothing, head, head, nothing, *layers, -self.kept, -self.kept], axis=2)

    def done(self) -> MomentTable:
        """A unit's shard counts as soon as it exists; when the root's shard comes, its gradients are gone."""
        parts, nothing = self.units, np.zeros_like(self.kept)
        layers = [parts.output + passed * parts.layer + self.projected for passed in self.passed]
        but_tables = parts.total - parts.embedding - parts.root
        made = np.stack(
            [nothing, nothing, nothing, parts.output, *layers, but_tables, parts.total - parts.root], axis=2
        )
        return np.minimum(made / np.maximum(parts.total, 1.0)[:, :, None], 1.0)

    def working(self) -> MomentTable:
        """Everything that is alive beside states and kept activations."""
        ends = [self._forward(), self._loss(), self._output_made(), self._output_reduced()]
        layers = [self._layer(passed) for passed in self.passed]
        alive = np.stack([*ends, *layers, self._embedding_made(), self._embedding_reduced()], axis=2)
        return np.asarray(alive + self.lasting[:, :, None])

    def _forward(self) -> StageTable:
        """The last layer's output, beside its own parameters as they were gathered and as they are used."""
        return self.forward + self.gathered_layer * 2.0 * self.units.layer + self.gathered * self.units.root

    def _loss(self) -> StageTable:
        """All logits of the loss, beside the output layer."""
        return self.has_output * self.logits + self.gathered * (self.units.output + self.units.root)

    def _output_made(self) -> StageTable:
        own = (self.gathered + self.gradient) * self.units.output + self.has_output * self.logits_gradient
        return own + self._root() + self.gathered_layer * self.units.layer

    def _output_reduced(self) -> StageTable:
        """The next layer is prefetched."""
        own = (self.gradient + self.reduced) * self.units.output + self.has_output * self.stream
        return own + self._root() + self.gathered_layer * self.units.layer

    def _layer(self, passed: StageTable) -> StageTable:
        """A layer after `passed` others: the gradients of its activations, or all of its weights' ones."""
        parts = self.units
        at_end = self.gradient * parts.layer - self.kept_layer
        next_layer, table = self.gathered_layer * parts.layer, self.gathered * parts.embedding
        prefetched = np.where(passed < self.layers - 1.0, next_layer, table)
        waiting = self.reduced * np.where(passed == 0.0, parts.output, parts.layer)
        own = self.stream + np.maximum(self.inside, at_end) + self.gathered_layer * parts.layer + prefetched
        return np.asarray(own + waiting + self._root())

    def _embedding_made(self) -> StageTable:
        """The first layer's gradients are still being reduced."""
        tables = self.units.embedding + self.units.root
        return self.stream + (self.gathered + self.gradient) * tables + self.reduced * self.units.layer

    def _embedding_reduced(self) -> StageTable:
        tables = self.units.embedding + self.units.root
        return self.stream + (self.gradient + self.reduced) * tables

    def _root(self) -> StageTable:
        """Tables of the root, and their gradients once the output layer's exist."""
        return self.gathered * self.units.root + self.gradient * self.units.root_output
