"""What a training framework does with memory, kernels and overlap: facts about it, not fitted factors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshwright.cost_models.offload_offer import OffloadOffer
from meshwright.cost_models.parameter_bytes import StateBytes
from meshwright.cost_models.published_runs import PublishedRuns


@dataclass(frozen=True, slots=True)
class SendStall:
    """Time by which every message between stages holds up both of its ends, in large jobs.

    Attributes:
        seconds: Of one message at one end.
        devices: Jobs of so many devices have it,
        tp: and so have tensor-parallel groups of so many, whatever the job's size.
    """

    seconds: float
    devices: int
    tp: int


@dataclass(frozen=True)
class FrameworkProfile:
    """One framework: which axes it offers, what it keeps, what it fuses, what it overlaps.

    Attributes:
        name: Catalog name, such as `megatron-core`.
        title: Name in reports.
        schedules: Names of the pipeline schedules that it runs.
        shardings: Names of the sharding modes that it runs.
        recomputes: `none`, `selective`, `full`.
        selective_modules: Sets of modules that selective recomputation may choose, `+`-joined, cheapest first.
        dense_activation_recompute: Whether `mlp_act` exists for dense feed-forward blocks, too, or for experts alone.
        recompute_per_layer: Whether k of a stage's n layers can be recomputed.
        interleaving: Whether virtual pipeline stages exist.
        context_parallel: Whether context parallelism exists.
        expert_parallel: Whether expert parallelism exists.
        expert_copies_once: Whether a token crosses to each domain of its experts once, however many of them are there.
        gathers_tokens: Whether experts get their tokens from an all-gather of all of them, or from an all-to-all.
        grouped_matmul: Whether the products of all experts on a device are one kernel, whose tiles share waves, or one
            kernel each.
        fuses_mxfp8_experts: Whether at MXFP8 one kernel runs the products of all experts with activation and casts, and
            whole steps are one graph in which their exchange runs beside compute.
        expert_tensor_parallel: Whether experts may use another tensor-parallel degree than the rest.
        pipeline_with_fsdp: Whether ZeRO-3/HSDP and pipeline stages combine.
        experts_with_fsdp: Whether ZeRO-3/HSDP and expert parallelism combine.
        tensor_parallel: Whether tensor parallelism exists.
        sequence_parallel: Whether norms and residuals can be divided along the sequence over tp.
        kv_head_replication: Whether tp may exceed the number of KV heads.
        uneven_stages: Whether layers may divide unevenly over stages.
        explicit_splits: Whether it can be told the layers of every virtual stage.
        stages_by_cost: Whether layers are placed by their share of the cost, the output layer included.
        states: State bytes under none, ZeRO-1 and ZeRO-2.
        fsdp_states: State bytes under ZeRO-3 and HSDP.
        adapter_states: State bytes of low-rank adapters, and of tables that train beside them, without sharding; None
            if they are those of any parameter.
        reduce_buffer_bytes: Buffers that ZeRO-1 and ZeRO-2 collect gradients in, on however many devices.
        fsdp_reduce_buffer_bytes: The same under ZeRO-3.
        live_parameters: Parameters that ZeRO-3 leaves gathered because they are soon needed again; 0 for those of the
            units at work.
        step_parameters: Parameters whose temporaries of the optimizer step exist at once under ZeRO-3; None for all.
        loads_whole: Whether ZeRO-3 gathers the whole model on every device to load its weights.
        buffers_per_stage: Micro-batches for which every stage but the last has buffers, over the number of stages; 0
            for as many as the schedule has in flight.
        gradients_persist: Whether gradient buffers live through the whole step, or only from the first backward pass to
            the optimizer step.
        zero2_by_unit: Whether ZeRO-2 is ZeRO-3 that doesn't reshard after the forward pass: gradients are whole for one
            unit at a time, and parameters reshard during the backward pass.
        tables_in_root: Whether ZeRO-3 keeps embedding and output layer gathered from the forward to the backward pass,
            because only layers are units.
        adapter_tables_in_root: The same where only adapters train; None if it is the same.
        vocab_multiple: The vocabulary is padded to a multiple of this times the tensor-parallel degree.
        gradient_reduce_bytes: Bytes per parameter that the data-parallel reduction moves.
        reduces_whole_gradients: Whether ZeRO-1 reduces every gradient to all ranks of its shard group, or each share to
            the rank that owns it.
        broadcast_tensors_per_layer: Tensors of a layer, where ZeRO-1 deals whole tensors out to the ranks and each
            broadcasts those that it has updated; 0 where it gathers equal shares.
        gradient_accumulate_bytes: HBM traffic per parameter and micro-batch to accumulate gradients (0 if fused into
            the weight-gradient GEMM).
        gradient_buffer_bytes: HBM traffic per parameter of a device and step beside the optimizer's: zeroing gradients,
            checking them, averaging them.
        adapts_all_linears: Whether low-rank adapters sit beside all linear layers, or only beside the one of queries,
            keys and values.
        adapts_experts: Whether routed experts have adapters, each its own beside its joint gate and up projection and
            beside its down projection.
        adapter_input_bytes: What an adapter keeps of every element that it reads: the input itself or, with dropout, a
            copy for each adapter and its mask.
        adapter_output_bytes: What it keeps of every element of the product that it changes.
        adapters_train_norms: Whether the scales of norms train beside the adapters.
        fused_values: Whether values are a view of one product of queries, keys and values, which stays whole beside the
            rotated copies of queries and keys; where query heads share keys and values, these are repeated for each.
        quantised_inputs: Micro-batches whose inputs of 4-bit products stay, though no gradient needs them.
        flash_attention: Whether attention avoids the score matrix.
        attention_speed: Speed of its fused attention kernel relative to FlashAttention-2.
        native_attention: Whether fused attention is written for each generation's matrix units (cuDNN,
            FlashAttention-3), or the portable FlashAttention-2.
        norm_saved_bytes: Activation bytes kept per hidden element by one norm (its input and its output).
        keeps_gathered_sequence: Whether sequence parallelism keeps the gathered input of a projection (DTensor), or
            gathers it again in the backward pass (Megatron).
        gated_activation_saved: Tensors of the inner width that a gated feed-forward block keeps.
        plain_activation_saved: Tensors of the inner width that an ungated one keeps.
        dropout: Whether dropout masks are kept (one byte an element, two a layer).
        norm_traffic: HBM traffic of norms relative to one fused kernel; None if it is `elementwise_traffic`.
        elementwise_traffic: HBM traffic of norms, activations, residuals relative to ideally fused kernels.
        logits_saved_bytes: Bytes per logit alive at the loss, the 16-bit output included.
        parallel_logits_saved_bytes: The same where tensor parallelism divides the vocabulary; None if it is the same.
        loss_traffic_bytes: HBM traffic per logit of the loss, forward and backward.
        overlap_gradient_reduce: Whether gradients reduce beside the backward pass.
        overlap_beside_model_parallel: Whether they do so with tensor or pipeline parallelism, too.
        overlap_parameter_gather: Whether ZeRO-1/2 parameters gather beside the next forward pass.
        overlap_fsdp: Whether ZeRO-3 gathers are prefetched beside compute.
        overlap_tensor_backward: Whether tensor-parallel communication of the backward pass runs beside
            weight-gradient GEMMs.
        separate_input_gradients: Whether queries, keys, values, gate and up are products of their own, each with an
            all-reduce of its input's gradient.
        overlap_tensor_forward: Share of tensor-parallel communication that fused or pipelined kernels hide.
        overlap_pipeline: Whether sends between interleaved stages run beside compute.
        scattered_sends: Whether each tensor-parallel rank sends its share of what all of them hold to the next stage,
            where the shares are gathered.
        overlap_expert: Share of expert all-to-all hidden by other micro-batches' compute.
        shard_slice_s: Host time, for each data-parallel rank and layer, of cutting tensors to slices of the ranks and
            putting them together again: a step with ZeRO-1, a micro-batch with ZeRO-3; 0 where they lie in one buffer.
        exchange_traffic: HBM traffic of the copies beside ZeRO-3's collectives, over the bytes exchanged; 0 where they
            work on one buffer.
        fsdp_reduce_each_micro_batch: Whether ZeRO-3 reduces gradients after every micro-batch, or sums whole ones up
            and reduces them after the last.
        flat_units: Whether ZeRO-3 holds a unit as one flat parameter, which has a gradient as a whole though only
            adapters in it train.
        recompute_stops_early: Whether a layer's recomputation leaves out its last product, whose result no gradient
            needs.
        recompute_gathers: Whether ZeRO-3 gathers a recomputed layer once for recomputation and again for its backward
            pass.
        gathers_per_layer: Collectives in which ZeRO-3 gathers the parameters of a layer.
        kernels_per_layer: Kernels launched in the forward pass of a dense layer.
        kernels_per_collective: Kernels that take the host as long to launch as one tensor-parallel collective.
        host_launch_s: Host time to launch one kernel; 0 with graphs or whole-program compilation.
        blocking_launches: Whether the host waits for every kernel (CUDA_LAUNCH_BLOCKING=1).
        collective_stall_s: Time by which every tensor-parallel collective is held up: on the device per node that its
            ring passes, and on the host per rank of its group once pipeline stages lie on several nodes.
        send_stall: What messages between stages wait for beside their links; None for nothing.
        context_bytes: Device memory outside the allocator: context, communicators, library workspaces.
        communication_bytes: The part of it that only several devices have: communicators' buffers, and buckets that
            collect gradients.
        fragmentation: Reserved-over-allocated excess of the caching allocator.
        offloads: What it can keep off the device, and how.
        stands_for: Other profiles of which at least one must allow a plan; empty for a framework of its own.
        published: How its published runs were made.
        forced_schedules: Schedules that a user asks for whether or not the framework runs them; never from a file.
        sources: Where each value comes from, by attribute name.
    """

    name: str
    title: str
    schedules: tuple[str, ...]
    shardings: tuple[str, ...]
    recomputes: tuple[str, ...]
    selective_modules: tuple[str, ...]
    dense_activation_recompute: bool
    recompute_per_layer: bool
    interleaving: bool
    tensor_parallel: bool
    sequence_parallel: bool
    context_parallel: bool
    expert_parallel: bool
    expert_copies_once: bool
    gathers_tokens: bool
    grouped_matmul: bool
    fuses_mxfp8_experts: bool
    expert_tensor_parallel: bool
    pipeline_with_fsdp: bool
    experts_with_fsdp: bool
    kv_head_replication: bool
    uneven_stages: bool
    explicit_splits: bool
    stages_by_cost: bool
    states: StateBytes
    fsdp_states: StateBytes
    adapter_states: StateBytes | None
    reduce_buffer_bytes: float
    fsdp_reduce_buffer_bytes: float
    live_parameters: float
    step_parameters: float | None
    loads_whole: bool
    buffers_per_stage: float
    gradients_persist: bool
    zero2_by_unit: bool
    tables_in_root: bool
    adapter_tables_in_root: bool | None
    vocab_multiple: int
    gradient_reduce_bytes: float
    reduces_whole_gradients: bool
    broadcast_tensors_per_layer: float
    gradient_accumulate_bytes: float
    gradient_buffer_bytes: float
    adapts_all_linears: bool
    adapts_experts: bool
    adapter_input_bytes: float
    adapter_output_bytes: float
    adapters_train_norms: bool
    fused_values: bool
    quantised_inputs: float
    flash_attention: bool
    attention_speed: float
    native_attention: bool
    norm_saved_bytes: float
    keeps_gathered_sequence: bool
    gated_activation_saved: float
    plain_activation_saved: float
    dropout: bool
    norm_traffic: float | None
    elementwise_traffic: float
    logits_saved_bytes: float
    parallel_logits_saved_bytes: float | None
    loss_traffic_bytes: float
    overlap_gradient_reduce: bool
    overlap_beside_model_parallel: bool
    overlap_parameter_gather: bool
    overlap_fsdp: bool
    overlap_tensor_backward: bool
    separate_input_gradients: bool
    overlap_tensor_forward: float
    overlap_pipeline: bool
    scattered_sends: bool
    overlap_expert: float
    shard_slice_s: float
    exchange_traffic: float
    fsdp_reduce_each_micro_batch: bool
    flat_units: bool
    recompute_stops_early: bool
    recompute_gathers: bool
    gathers_per_layer: float
    kernels_per_layer: float
    kernels_per_collective: float
    host_launch_s: float
    blocking_launches: bool
    shard_hooks_s: float
    collective_stall_s: float
    send_stall: SendStall | None
    context_bytes: float
    communication_bytes: float
    fragmentation: float
    offloads: tuple[OffloadOffer, ...]
    published: PublishedRuns
    stands_for: tuple[str, ...]
    forced_schedules: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def roots_tables(self, *, trains_adapters: bool) -> bool:
        """Whether ZeRO-3 keeps embedding and output layer gathered."""
        told = self.adapter_tables_in_root
        return told if trains_adapters and told is not None else self.tables_in_root

    def reduce_bytes_at(self, precision: str) -> float:
        """Bytes per parameter that the data-parallel reduction moves: in fp16 no more than gradients are kept in."""
        kept = self.states.gradient_fp16
        if precision != "fp16" or kept is None:
            return self.gradient_reduce_bytes
        return min(self.gradient_reduce_bytes, kept)

    def accumulate_bytes_at(self, precision: str) -> float:
        """HBM traffic per parameter and micro-batch to add up gradients: in fp16 where they are kept."""
        kept = self.states.gradient_fp16
        if precision != "fp16" or kept is None:
            return self.gradient_accumulate_bytes
        return min(self.gradient_accumulate_bytes, 2 + 2 * kept)
