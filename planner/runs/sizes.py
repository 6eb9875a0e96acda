"""Sizes that a row leaves out: those of the catalog's model of its name, else the usual ratios."""

import re
from dataclasses import replace
from functools import cache
from math import log, sqrt

from meshwright.cost_models.architecture import Architecture, Attention, DenseMlp, LatentAttention, MoeMlp
from meshwright.planner.models.catalog import catalog_model, find_model, list_models, near_models
from meshwright.planner.runs.run import Run

HEAD_DIM = 128
"""Width of a head in most models of more than 3 billion parameters (GPT-3, arXiv:2005.14165, table 2.1; Llama)."""
SMALL_HEAD_DIM = 64
SMALL_HIDDEN = 2048
SAME_SIZE = log(1.2)
GPT_VOCAB = 50257
"""Tokens of GPT-2's tokenizer, which GPT-3, OPT and GPT-NeoX share or nearly so."""
LLAMA_VOCAB = 32000
TOP_K = 2
"""Experts a token (GShard, arXiv:2006.16668; Mixtral, arXiv:2401.04088)."""


def known_model(run: Run) -> Architecture | None:
    """The catalog's model of the row's name, where neither depth nor width is another."""
    name = _catalog_name(run.model)
    known = catalog_model(name) if name else None
    if known is None or run.hidden not in (None, known.hidden) or run.n_layers not in (None, known.num_layers):
        return None
    return known


@cache
def _catalog_name(model: str) -> str | None:
    """The catalog's name of a model, with or without its maker, its stage of training and remarks in brackets."""
    bare = re.sub(r"[-_ ]*\(.*\)", "", model.lower())
    bare = re.sub(r"[-_](instruct|chat|base|hf|it|pretrain|sft)$", "", bare)
    without_maker = re.sub(r"^[a-z]+[-_/](?=[a-z])", "", bare)
    return next((found for text in (model, bare, without_maker) if text and (found := find_model(text))), None)


def is_read_whole(run: Run) -> bool:
    """Whether a row of a known model says so little of its layers that the catalog's stand for all of them."""
    return run.family == "hybrid" or (run.hidden is None and run.n_heads is None)


def with_sizes(run: Run) -> Run:
    """Widths from the catalog's model of that name, else from the usual ratios."""
    known = known_model(run)
    if known is not None and is_read_whole(run):
        return replace(run, n_layers=known.num_layers)
    run = _as_in(known, run) if known is not None else _with_usual_shape(run)
    if run.hidden is None or run.n_layers is None:
        return run
    head = run.head_dim or (HEAD_DIM if run.hidden > SMALL_HIDDEN and run.hidden % HEAD_DIM == 0 else SMALL_HEAD_DIM)
    is_moe = (run.n_experts or 1) > 1
    experts_only = is_moe and not run.n_dense_layers and "moe_every" not in run.extra()
    # Where all layers have experts, Megatron-LM's --ffn-hidden-size is theirs.
    expert = run.moe_ffn_hidden or (run.ffn_hidden if experts_only else None) or _usual_expert(run)
    return replace(
        run,
        n_heads=run.n_heads or max(run.hidden // head, 1),
        moe_ffn_hidden=expert,
        ffn_hidden=run.ffn_hidden or (expert if experts_only else _usual_ffn(run)),
        vocab=run.vocab or _vocab_of_its_like(run.model) or (GPT_VOCAB if run.gated_mlp is False else LLAMA_VOCAB),
        moe_topk=run.moe_topk or (TOP_K if is_moe else None),
    )


def _as_in(known: Architecture, run: Run) -> Run:
    """The row with the widths of one of the catalog's models where it has none."""
    attention = next((kind.mixer for kind in known.layer_kinds if isinstance(kind.mixer, Attention)), None)
    dense = next((kind.mlp for kind in known.layer_kinds if isinstance(kind.mlp, DenseMlp)), None)
    moe = next((kind.mlp for kind in known.layer_kinds if isinstance(kind.mlp, MoeMlp)), None)
    gaps: dict[str, object] = {"hidden": known.hidden, "n_layers": known.num_layers, "vocab": known.vocab}
    if attention is not None and run.n_heads is None:
        gaps |= {"n_heads": attention.num_heads, "head_dim": attention.head_dim}
    if attention is not None and run.n_heads in (None, attention.num_heads) and run.attention != "mha":
        gaps["n_kv_heads"] = attention.num_kv_heads
    if dense is not None:
        gaps["ffn_hidden"] = dense.ffn_hidden
    if moe is not None and run.n_experts in (None, moe.num_experts):
        with_experts = [isinstance(layer.mlp, MoeMlp) for layer in known.layers]
        leading = with_experts.index(True)
        gaps |= {
            "n_experts": moe.num_experts,
            "moe_topk": moe.top_k,
            "moe_ffn_hidden": moe.expert_ffn_hidden,
            "shared_experts": moe.shared_ffn_hidden // moe.expert_ffn_hidden,
            "n_dense_layers": leading,
        }
        if not all(with_experts[leading:]) and "moe_every" not in run.extra():
            every = len(with_experts) // sum(with_experts)
            run = replace(run, arch_extra=f"{run.arch_extra};moe_every={every}".strip(";"))
    latent = next((kind.mixer for kind in known.layer_kinds if isinstance(kind.mixer, LatentAttention)), None)
    if latent is not None and run.attention in ("", "mla") and "kv_lora" not in run.extra():
        run = replace(run, attention="mla", arch_extra=f"{run.arch_extra};{_latent_widths(latent)}".strip(";"))
    return replace(run, **{name: value for name, value in gaps.items() if getattr(run, name) is None})  # type: ignore[arg-type]


def _latent_widths(latent: LatentAttention) -> str:
    """The widths of latent attention as the table writes them."""
    return (
        f"q_lora={latent.q_lora_rank or 0};kv_lora={latent.kv_lora_rank};qk_nope={latent.qk_nope_head_dim};"
        f"qk_rope={latent.qk_rope_head_dim};v_dim={latent.v_head_dim}"
    )


def _with_usual_shape(run: Run) -> Run:
    """Depth from the width or width from the depth of a dense model, by its printed parameters: 12 · layers · width².

    (Kaplan et al., arXiv:2001.08361, section 2.1; with a gate of 8/3 times the width it is the same.)
    """
    if run.params_b is None or (run.n_experts or 1) > 1:
        return run
    if run.hidden is None and run.n_layers is None:
        like = _of_such_size(run.params_b)
        return _as_in(catalog_model(like), run) if like else run
    squares = run.params_b * 1e9 / 12
    if run.hidden and run.n_layers is None:
        return replace(run, n_layers=max(round(squares / run.hidden**2), 1))
    if run.n_layers and run.hidden is None:
        return replace(run, hidden=max(round(sqrt(squares / run.n_layers) / HEAD_DIM), 1) * HEAD_DIM)
    return run


@cache
def _of_such_size(params_b: float) -> str | None:
    """The catalog's Llama or GPT nearest in size, within a fifth: dense models of one size are much alike."""
    alike = [model for model in list_models() if model.family in ("llama", "gpt2")]
    off = {model.name: abs(log(model.total_parameters / (params_b * 1e9))) for model in alike}
    nearest = min(off, key=lambda name: off[name])
    return nearest if off[nearest] < SAME_SIZE else None


def _usual_ffn(run: Run) -> int | None:
    """Four times the width, or with a gate 8/3 of it (GPT-3; Shazeer, arXiv:2002.05202, section 3)."""
    hidden = run.hidden or 0
    return round(hidden * 8 / 3 / 256) * 256 if run.gated_mlp else 4 * hidden


def _usual_expert(run: Run) -> int | None:
    """Width of a gated expert, such that all of them make up the printed parameters that attention leaves."""
    experts, hidden, layers = run.n_experts or 1, run.hidden or 1, run.n_layers or 1
    if experts == 1 or not run.params_b:
        return None
    left = run.params_b * 1e9 - 4 * hidden**2 * layers
    width = left / (3 * hidden * (layers - (run.n_dense_layers or 0)) * (experts + (run.shared_experts or 0)))
    return max(round(width / HEAD_DIM), 1) * HEAD_DIM


@cache
def _vocab_of_its_like(model: str) -> int | None:
    """Vocabulary of the catalog's model whose name is nearest: models of one family share their tokenizer."""
    near = near_models(model)
    return catalog_model(near[0]).vocab if near else None
