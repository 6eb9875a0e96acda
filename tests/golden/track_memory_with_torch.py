"""Counts the bytes of one training step with PyTorch's own memory trackers: no GPU, nothing materialised.

Reads a JSON list of cases from stdin, writes the list of their snapshots to stdout, `{category: bytes}` at the highest
point of the `forward` pass with the loss, the `backward` pass and the optimizer `step`, and as `kept` between the first
two.
Rank 0 of a fake process group runs FSDP2 (and DTensor tensor parallelism) on fake tensors as TorchTitan wraps its
Llama: the embedding, every layer, and the final norm with the output layer are units; the last unit never reshards.

Where PyTorch's CPU kernels keep other tensors than its CUDA kernels, the model below keeps what CUDA keeps:
RMSNorm its input and one fp32 statistic a row (`aten::_fused_rms_norm`). Attention needs no stand-in: the CPU flash
kernel keeps queries, keys, values, output and one fp32 statistic a row, as FlashAttention-2 does.
"""

import contextlib
import json
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, _sharding_prop
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)
from torch.nn import functional as fn
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

# DTensor works out output shapes on global fake tensors, which the tracker would count if they shared our fake mode.
_sharding_prop.detect_fake_mode = lambda *_, **__: None


class NormKernel(torch.autograd.Function):
    """Allocates what CUDA's fused RMSNorm allocates, forward and backward."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight, x.new_empty(x.shape[:-1], dtype=torch.float32))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, _ = ctx.saved_tensors
        return torch.empty_like(x), torch.empty_like(weight)


class Norm(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))

    def forward(self, x):
        if not isinstance(x, DTensor):
            return NormKernel.apply(x, self.weight)
        local = NormKernel.apply(x.to_local(), self.weight.to_local())
        return DTensor.from_local(local, x.device_mesh, x.placements)


def rotate(x, frequencies):
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * frequencies).flatten(3).type_as(x)


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class Attention(nn.Module):
    def __init__(self, case):
        super().__init__()
        hidden, self.dim = case["hidden"], case["head_dim"]
        self.wq = linear(hidden, case["heads"] * self.dim)
        self.wk = linear(hidden, case["kv_heads"] * self.dim)
        self.wv = linear(hidden, case["kv_heads"] * self.dim)
        self.wo = linear(case["heads"] * self.dim, hidden)
        self.q_norm, self.k_norm = (Norm(self.dim) if case["qk_norm"] else nn.Identity() for _ in range(2))

    def forward(self, x, frequencies):
        batch, seq, _ = x.shape
        q, k, v = (project(x).view(batch, seq, -1, self.dim) for project in (self.wq, self.wk, self.wv))
        q, k = rotate(self.q_norm(q), frequencies), rotate(self.k_norm(k), frequencies)
        q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))
        output = fn.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.wo(output.transpose(1, 2).contiguous().view(batch, seq, -1))


class FeedForward(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.w1 = linear(case["hidden"], case["ffn"])
        self.w2 = linear(case["ffn"], case["hidden"])
        self.w3 = linear(case["hidden"], case["ffn"])

    def forward(self, x):
        return self.w2(fn.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.attention_norm, self.attention = Norm(case["hidden"]), Attention(case)
        self.ffn_norm, self.feed_forward = Norm(case["hidden"]), FeedForward(case)

    def forward(self, x, frequencies):
        x = x + self.attention(self.attention_norm(x), frequencies)
        return x + self.feed_forward(self.ffn_norm(x))


class Head(nn.Module):
    """Final norm and output layer: one module, since the tracker can't follow a unit of several."""

    def __init__(self, case):
        super().__init__()
        self.norm, self.output = Norm(case["hidden"]), linear(case["hidden"], case["vocab"])

    def forward(self, x):
        return self.output(self.norm(x))


class Llama(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.tok_embeddings = nn.Embedding(case["vocab"], case["hidden"])
        self.layers = nn.ModuleList(Block(case) for _ in range(case["layers"]))
        self.head = Head(case)

    def forward(self, tokens, frequencies):
        x = self.tok_embeddings(tokens)
        for layer in self.layers:
            x = layer(x, frequencies)
        return self.head(x)


def named(snapshot):
    return {getattr(category, "value", category): size for category, size in snapshot.items() if size}


class Phases:
    """Restarts a tracker's peak at every phase of the step."""

    def _restart(self):
        self._peak_mem_snap = self.get_tracker_snapshot()
        self._peak_mem = {device: snapshot["Total"] for device, snapshot in self._peak_mem_snap.items()}

    def peak(self):
        (snapshot,) = self._peak_mem_snap.values()
        self._restart()
        return named(snapshot)

    def now(self):
        (snapshot,) = self.get_tracker_snapshot().values()
        return named(snapshot)


class FsdpPhases(Phases, FSDPMemTracker):
    pass


class PlainPhases(Phases, MemTracker):
    pass


def tensor_parallel(model, mesh):
    """Column- and row-wise parallel layers with sequence parallelism, as TorchTitan divides a Llama."""
    gather = {"input_layouts": (Shard(1), None), "desired_input_layouts": (Replicate(), None)}
    parallelize_module(
        model,
        mesh,
        {
            "tok_embeddings": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
            "head.norm": SequenceParallel(),
            "head.output": ColwiseParallel(input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False),
        },
    )
    plan = {
        "attention_norm": SequenceParallel(),
        "attention": PrepareModuleInput(**gather),
        "attention.wo": RowwiseParallel(output_layouts=Shard(1)),
        "ffn_norm": SequenceParallel(),
        "feed_forward": PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)),
        "feed_forward.w2": RowwiseParallel(output_layouts=Shard(1)),
    }
    columns = ("attention.wq", "attention.wk", "attention.wv", "feed_forward.w1", "feed_forward.w3")
    for layer in model.layers:
        parallelize_module(layer, mesh, plan | {name: ColwiseParallel() for name in columns})


def selective_contexts():
    """Keeps matrix products but every second, attention and reduce-scatter outputs, as TorchTitan's `op` does."""
    products = {False: 0, True: 0}
    kept = {
        torch.ops.aten.mm.default,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
        torch.ops._c10d_functional.reduce_scatter_tensor.default,
    }

    def policy(context, operator, *_, **__):
        if operator is torch.ops.aten.mm.default:
            products[context.is_recompute] += 1
        even = operator is torch.ops.aten.mm.default and products[context.is_recompute] % 2 == 0
        return CheckpointPolicy.MUST_SAVE if operator in kept and not even else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


def shard_units(model, mesh, *, reshard, tables_in_root):
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    options = {"mesh": mesh, "mp_policy": policy}
    if not tables_in_root:
        fully_shard(model.tok_embeddings, reshard_after_forward=reshard, **options)
        fully_shard(model.head, reshard_after_forward=False, **options)
    for layer in model.layers:
        fully_shard(layer, reshard_after_forward=reshard, **options)
    fully_shard(model, **options)


def build(case):
    """The model on the meta device: wrapping needs real device-mesh arithmetic, so it can't run on fake tensors."""
    with torch.device("meta"):
        model = Llama(case)
    replicas, shards, tp = case["replicas"], case["shards"], case["tp"]
    world = replicas * shards * tp
    if not case["fsdp"]:
        return model.bfloat16()
    dist.init_process_group("fake", rank=0, world_size=world, store=FakeStore())
    mesh = init_device_mesh("cpu", (replicas, shards, tp), mesh_dim_names=("replicate", "shard", "tp"))
    if tp > 1:
        tensor_parallel(model, mesh["tp"])
    if case["recompute"] != "none":
        contexts = {"context_fn": selective_contexts} if case["recompute"] == "op" else {}
        for index, layer in enumerate(model.layers):
            model.layers[index] = checkpoint_wrapper(layer, **contexts)
    shard_units(
        model,
        mesh["replicate", "shard"] if replicas > 1 else mesh["shard"],
        reshard=case["reshard"],
        tables_in_root=case["tables_in_root"],
    )
    return model


def track(case: dict[str, Any]) -> dict[str, dict[str, int]]:
    model = build(case)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=True)
        tokens = torch.randint(0, case["vocab"], (case["micro_batch"], case["seq"]))
        frequencies = torch.empty(case["seq"], 1, case["head_dim"] // 2, dtype=torch.complex64)
        tracker = FsdpPhases(model, optimizer) if case["fsdp"] else PlainPhases()
        if case["fsdp"]:
            tracker.track_inputs((tokens, frequencies))
        else:
            tracker.track_external(model, optimizer, tokens, frequencies)
        for _step in range(2):  # the first step makes the optimizer's states
            tracker.reset_mod_stats()
            loss_context = loss_parallel() if case["tp"] > 1 else contextlib.nullcontext()
            with tracker, loss_context:
                peaks = {}
                for _ in range(case["micro_batches"]):
                    logits = model(tokens, frequencies)
                    loss = fn.cross_entropy(logits.flatten(0, 1).float(), tokens.flatten())
                    del logits
                    peaks["forward"], peaks["kept"] = tracker.peak(), tracker.now()
                    loss.backward()
                    peaks["backward"] = tracker.peak()
                    tracker.reset_mod_stats()
                optimizer.step()
                peaks["step"] = tracker.peak()
                optimizer.zero_grad()
    if case["fsdp"]:
        dist.destroy_process_group()
    return peaks


if __name__ == "__main__":
    json.dump([track(case) for case in json.load(sys.stdin)], sys.stdout)
