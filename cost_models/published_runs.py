"""How the published runs of a framework were made, where a row doesn't say: for reading them, not for planning."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshwright.cost_models.parameter_bytes import StateBytes


@dataclass(frozen=True)
class PublishedRuns:
    """Defaults of scripts and benchmarks, and what they print.

    Attributes:
        default_recompute: What a run that doesn't say recomputes.
        sharded_recompute: The same under ZeRO-3 and HSDP; None if it is the same.
        recompute_as_needed: Whether its recipes recompute whole layers where memory is short, and nothing elsewhere.
        default_sequence_parallel: Whether a run with tensor parallelism that doesn't say divides the sequence too.
        adapter_rank: Rank of low-rank adapters where a run doesn't say.
        adapts_all_linears_of: How models are called whose published recipes adapt all linear layers though others
            don't: beginnings of names.
        masks_documents: Whether packed sequences keep attention within their documents.
        pads_batches: Whether examples that aren't packed are padded to the longest of their micro-batch, or strung
            together without padding.
        unties_embeddings: Whether an output layer that shares the embedding table gets a table of its own.
        recipe_states: State bytes of the framework's own recipe for one device, whose optimizer isn't plain AdamW;
            None if it has none. Its published runs are read with it where they leave everything to the recipe.
        autocast_logits_bytes: Bytes per logit alive at the loss in fine-tuning runs without sharding, whose precision
            is automatic mixed precision, not the engine's; None if it is the same.
        printed_memory: How the memory that it prints is measured, `allocated` or `reserved`; None if it isn't known.
        prints_first_device: Whether the memory that it prints is its first device's, not the fullest one's.
        held_tensors: Tensors of the whole hidden width, for every layer of a micro-batch, that the allocator can't use
            again while the host runs ahead of the device, because tensor-parallel collectives read them.
        chunk_layers: Layers of a virtual stage in its published runs, where these don't say; 0 for no
            interleaving.
        imbalance: Tokens of the busiest expert rank over the mean in its published fine-tuning runs, whose
            routers are those of trained models on narrow data.
        routing: Which experts the tokens of its published runs go to, as in `Workload.routing`.
        single_device_sharding: What its scripts shard with even on a device by itself, by task; nothing if left out.
        on: Catalog cluster of its published runs by accelerator, where that isn't the usual one.
    """

    default_recompute: str
    sharded_recompute: str | None
    recompute_as_needed: bool
    default_sequence_parallel: bool
    adapter_rank: int
    adapts_all_linears_of: tuple[str, ...]
    masks_documents: bool
    pads_batches: bool
    unties_embeddings: bool
    recipe_states: StateBytes | None
    autocast_logits_bytes: float | None
    printed_memory: str | None
    prints_first_device: bool
    held_tensors: float
    chunk_layers: int
    imbalance: float
    routing: str
    single_device_sharding: Mapping[str, str] = field(default_factory=dict, compare=False)
    on: Mapping[str, str] = field(default_factory=dict, compare=False)
