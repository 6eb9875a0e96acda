"""The architecture of a run, from the columns of its row."""

from dataclasses import replace
from functools import lru_cache
from itertools import product

from meshwright.cost_models.architecture import (
    Architecture,
    Attention,
    DenseMlp,
    LatentAttention,
    Layer,
    Mixer,
    Mlp,
    MoeMlp,
)
from meshwright.cost_models.parameters import total_parameters
from meshwright.errors import ModelError
from meshwright.planner.runs.run import Run
from meshwright.planner.runs.sizes import is_read_whole, known_model


def run_architecture(run: Run) -> Architecture:
    """The architecture that a row describes.

    A row without widths, or of a hybrid, is the catalog's model of that name and depth. A row that leaves out whether
    the feed-forward block is gated or the embeddings are tied gets what comes nearest to the printed parameters, and
    without printed parameters gated and untied, as in Llama.

    Raises:
        ModelError: The row lacks a needed width, or is of a family that the columns can't describe.
    """
    known = known_model(run)
    if known is not None and is_read_whole(run):
        return known
    if run.family == "hybrid":
        raise ModelError("hybrid models: the table has no columns for state-space layers")
    needed = ("n_layers", "hidden", "n_heads", "ffn_hidden", "vocab", "seq_len")
    missing = [name for name in needed if getattr(run, name) is None]
    if run.n_experts and run.n_experts > 1:
        missing += [name for name in ("moe_topk", "moe_ffn_hidden") if getattr(run, name) is None]
    if missing:
        raise ModelError(f"architecture unknown: {', '.join(missing)}")
    options = product(
        (True, False) if run.gated_mlp is None else (run.gated_mlp,),
        (False, True) if run.tied_embeddings is None else (run.tied_embeddings,),
    )
    candidates = [_architecture(run, gated=gated, tied=tied) for gated, tied in options]
    if known is not None:
        candidates = [_grouped_as(known, one) for one in candidates]
    if run.params_b is None:
        return candidates[0]
    printed = run.params_b * 1e9
    return min(candidates, key=lambda architecture: abs(total_parameters(architecture) - printed))


def _grouped_as(known: Architecture, architecture: Architecture) -> Architecture:
    """The architecture with the groups of experts that the catalog's model of that name has."""
    groups = {(layer.mlp.num_groups, layer.mlp.top_k_groups) for layer in known.layers if isinstance(layer.mlp, MoeMlp)}
    if groups in (set(), {(1, 1)}):
        return architecture
    (num_groups, top_k_groups) = groups.pop()

    @lru_cache(maxsize=8)
    def grouped(layer: Layer) -> Layer:
        if not isinstance(layer.mlp, MoeMlp):
            return layer
        return replace(layer, mlp=replace(layer.mlp, num_groups=num_groups, top_k_groups=top_k_groups))

    return replace(
        architecture,
        layers=tuple(map(grouped, architecture.layers)),
        mtp_layers=tuple(map(grouped, architecture.mtp_layers)),
    )


def _architecture(run: Run, *, gated: bool, tied: bool) -> Architecture:
    layers = tuple(_layer(run, index, gated=gated) for index in range(run.n_layers or 1))
    return Architecture(
        name=run.model,
        hidden=run.hidden or 1,
        vocab=run.vocab or 1,
        layers=layers,
        tied_embeddings=tied,
        final_norm_params=_norm_params(run, gated=gated),
        mtp_layers=(layers[-1],) * run.extra().get("mtp", 0),
    )


def _norm_params(run: Run, *, gated: bool) -> int:
    """RMS norms have a scale; the layer norms of ungated (GPT-like) models also a bias."""
    return (run.hidden or 0) * (1 if gated else 2)


def _layer(run: Run, index: int, *, gated: bool) -> Layer:
    return _cached_layer(_mixer(run, index), _mlp(run, index, gated=gated), 2 * _norm_params(run, gated=gated))


@lru_cache(maxsize=4096)
def _cached_layer(mixer: Mixer, mlp: Mlp, norm_params: int) -> Layer:
    return Layer(mixer, mlp, norm_params)


def _mixer(run: Run, index: int) -> Mixer:
    extra, heads, hidden = run.extra(), run.n_heads or 1, run.hidden or 1
    if run.attention == "mla" and "kv_lora" in extra:
        head_dim = run.head_dim or hidden // heads
        return LatentAttention(
            num_heads=heads,
            q_lora_rank=extra.get("q_lora") or None,
            kv_lora_rank=extra["kv_lora"],
            qk_nope_head_dim=extra.get("qk_nope", head_dim),
            qk_rope_head_dim=extra.get("qk_rope", 0),
            v_head_dim=extra.get("v_dim", head_dim),
        )
    return Attention(
        num_heads=heads,
        num_kv_heads=run.n_kv_heads or heads,
        head_dim=run.head_dim or hidden // heads,
        window=_window(extra, index),
    )


def _window(extra: dict[str, int], index: int) -> int | None:
    """Sliding window or chunk: in all layers, or in all but every `window_every`-th one.

    Llama-4 attends in chunks in three layers of four (its `no_rope_layer_interval`).
    """
    if "chunked_attention" in extra:
        return None if (index + 1) % extra.get("window_every", 4) == 0 else extra["chunked_attention"]
    if "sliding_window" in extra and (index + 1) % extra.get("window_every", index + 2):
        return extra["sliding_window"]
    return None


def _mlp(run: Run, index: int, *, gated: bool) -> Mlp:
    every = run.extra().get("moe_every", 1)
    leading_dense = 0 if every > 1 else run.n_dense_layers or 0
    if not run.n_experts or run.n_experts < 2 or index < leading_dense or (index + 1) % every:
        return DenseMlp(run.ffn_hidden or 0, gated=gated)
    expert = run.moe_ffn_hidden or 0
    return MoeMlp(
        num_experts=run.n_experts,
        top_k=run.moe_topk or 1,
        expert_ffn_hidden=expert,
        shared_ffn_hidden=(run.shared_experts or 0) * expert,
        gated=gated,
    )
