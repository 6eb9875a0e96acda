"""A model in Megatron-LM's flags, and back.

Only what decides bytes and FLOP is written: an architecture doesn't know its rotary base or its initialisation.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

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
from meshwright.planner.launchers.launcher import Obstacle
from meshwright.planner.launchers.megatron.flags import FlagReader

_PATTERN_RUN = re.compile(r"\(?\[(?P<values>[01,\s]+)\](?:\*(?P<times>\d{1,4}))?\)?")
DEFAULT_VOCAB_MULTIPLE = 128


def model_obstacles(model: Architecture) -> tuple[Obstacle, ...]:
    """What of a model `pretrain_gpt.py` can't build."""
    mixers = {layer.mixer for layer in model.layers}
    said: list[str] = []
    if not all(isinstance(mixer, Attention | LatentAttention) for mixer in mixers) or None in {
        layer.mlp for layer in model.layers
    }:
        said.append("pretrain_gpt.py builds layers of attention and a feed-forward block only")
    elif len(mixers) > 1:
        said.append("its flags describe one kind of attention for all layers")
    for mixer in mixers:
        said += _attention_obstacles(mixer) if isinstance(mixer, Attention) else []
    said += _layer_obstacles(model)
    return tuple(Obstacle((), f"{model.name}: {reason}") for reason in dict.fromkeys(said))


def _attention_obstacles(mixer: Attention) -> list[str]:
    said = []
    if mixer.output_gate:
        said.append("no flag gates the output of attention")
    if mixer.qk_norm_params not in (0, 2 * mixer.head_dim):
        said.append("--qk-layernorm norms every head by itself, not all queries together")
    if mixer.output_bias and not mixer.qkv_bias:
        said.append("a bias on the output projection goes with biases on queries, keys and values")
    return said


def _layer_obstacles(model: Architecture) -> list[str]:
    said = []
    dense = {layer.mlp for layer in model.layers if isinstance(layer.mlp, DenseMlp)}
    experts = {layer.mlp for layer in model.layers if isinstance(layer.mlp, MoeMlp)}
    if len(dense) > 1 or len(experts) > 1:
        said.append("its flags describe one feed-forward block and one mixture of experts")
    if {layer.num_norms for layer in model.layers} != {2} or model.embedding_norm_params:
        said.append("layers have two norms, and none stands after the embedding")
    if model.final_norm_params not in (model.hidden, 2 * model.hidden):
        said.append("norms are RMSNorm or LayerNorm with parameters")
    if len({mlp.gated for mlp in dense} | {mlp.gated for mlp in experts}) > 1:
        said.append("--swiglu holds for every feed-forward block")
    if len({bias for layer in model.layers for bias in _biases(layer)}) > 1 or model.lm_head_bias:
        said.append("--disable-bias-linear holds for all projections together, and the output layer has no bias")
    return said


def _biases(layer: Layer) -> tuple[bool, ...]:
    """Whether each projection that --disable-bias-linear rules over has a bias."""
    mlp = (layer.mlp.bias,) if isinstance(layer.mlp, DenseMlp | MoeMlp) else ()
    return (*mlp, layer.mixer.output_bias) if isinstance(layer.mixer, Attention) else mlp


def model_flags(model: Architecture) -> dict[str, tuple[str, ...]]:
    """The flags that describe a model without obstacles."""
    first = model.layers[0]
    norm = "RMSNorm" if model.final_norm_params == model.hidden else "LayerNorm"
    positions = "learned_absolute" if model.learned_positions else "rope"
    flags = {
        "num-layers": (str(model.num_layers),),
        "hidden-size": (str(model.hidden),),
        **_mlp_flags(model),
        **_mixer_flags(first.mixer),
        "normalization": (norm,),
        "position-embedding-type": (positions,),
        "vocab-size": (str(model.vocab),),
    }
    if not model.tied_embeddings:
        flags["untie-embeddings-and-output-weights"] = ()
    if not any(_biases(first)):
        flags["disable-bias-linear"] = ()
    if model.mtp_layers:
        flags["mtp-num-layers"] = (str(len(model.mtp_layers)),)
    return flags


def _mixer_flags(mixer: Mixer | None) -> dict[str, tuple[str, ...]]:
    if isinstance(mixer, LatentAttention):
        sizes = {
            "num-attention-heads": mixer.num_heads,
            "q-lora-rank": mixer.q_lora_rank,
            "kv-lora-rank": mixer.kv_lora_rank,
            "qk-head-dim": mixer.qk_nope_head_dim,
            "qk-pos-emb-head-dim": mixer.qk_rope_head_dim,
            "v-head-dim": mixer.v_head_dim,
        }
        return {"multi-latent-attention": (), **{name: (str(size),) for name, size in sizes.items() if size}}
    if not isinstance(mixer, Attention):
        return {}
    flags: dict[str, tuple[str, ...]] = {
        "num-attention-heads": (str(mixer.num_heads),),
        "kv-channels": (str(mixer.head_dim),),
    }
    if mixer.num_kv_heads != mixer.num_heads:
        flags |= {"group-query-attention": (), "num-query-groups": (str(mixer.num_kv_heads),)}
    if mixer.qkv_bias and not mixer.output_bias:
        flags["add-qkv-bias"] = ()
    if mixer.qk_norm_params:
        flags["qk-layernorm"] = ()
    if mixer.sinks:
        flags["softmax-type"] = ("learnable",)
    if mixer.window is not None:
        flags["window-size"] = (f"{mixer.window - 1},0",)
    return flags


def _mlp_flags(model: Architecture) -> dict[str, tuple[str, ...]]:
    blocks = [layer.mlp for layer in model.layers]
    dense = next((mlp for mlp in blocks if isinstance(mlp, DenseMlp)), None)
    experts = next((mlp for mlp in blocks if isinstance(mlp, MoeMlp)), None)
    width = dense.ffn_hidden if dense else experts.expert_ffn_hidden if experts else 4 * model.hidden
    flags: dict[str, tuple[str, ...]] = {"ffn-hidden-size": (str(width),)}
    if experts:
        flags |= {
            "num-experts": (str(experts.num_experts),),
            "moe-router-topk": (str(experts.top_k),),
            "moe-ffn-hidden-size": (str(experts.expert_ffn_hidden),),
        }
        if dense:
            flags["moe-layer-freq"] = (_pattern([isinstance(mlp, MoeMlp) for mlp in blocks]),)
        if experts.shared_ffn_hidden:
            flags["moe-shared-expert-intermediate-size"] = (str(experts.shared_ffn_hidden),)
        if experts.shared_gate:
            flags["moe-shared-expert-gate"] = ()
        if experts.num_groups > 1:
            flags |= {
                "moe-router-num-groups": (str(experts.num_groups),),
                "moe-router-group-topk": (str(experts.top_k_groups),),
            }
        if experts.router_bias:
            flags |= {"moe-router-enable-expert-bias": (), "moe-router-score-function": ("sigmoid",)}
    if any(isinstance(mlp, DenseMlp | MoeMlp) and mlp.gated for mlp in blocks):
        flags["swiglu"] = ()
    return flags


def _pattern(has_experts: Iterable[bool]) -> str:
    """Which layers have experts, as `([0]*3+[1]*58)`."""
    runs = [(int(has), len(list(run))) for has, run in groupby(has_experts)]
    return "(" + "+".join(f"[{has}]*{length}" for has, length in runs) + ")"


def read_model_flags(read: FlagReader, name: str) -> Architecture | None:
    """The model that flags describe; None where the sizes that every model needs aren't there."""
    sizes = [read.whole(flag) for flag in ("num-layers", "hidden-size", "num-attention-heads", "vocab-size")]
    layers, hidden, heads, vocab = sizes
    if layers is None or hidden is None or heads is None or vocab is None or min(layers, hidden, heads, vocab) < 1:
        return None
    if layers > 10_000:
        read.problems.append(f"--num-layers {layers:,} is more than any model has")
        return None
    norm = hidden if read.text("normalization") == "RMSNorm" else 2 * hidden
    mixer = _read_mixer(read, hidden, heads)
    blocks = _read_mlps(read, hidden, layers)
    built = tuple(Layer(mixer, mlp, 2 * norm) for mlp in blocks)
    mtp = read.whole("mtp-num-layers") or 0
    positions = read.whole("max-position-embeddings") or read.whole("seq-length")
    learned = read.text("position-embedding-type") in (None, "learned_absolute")
    return Architecture(
        name=name,
        hidden=hidden,
        vocab=vocab,
        layers=built,
        tied_embeddings=not read.has("untie-embeddings-and-output-weights"),
        max_seq_len=positions,
        learned_positions=(positions or 0) if learned else 0,
        final_norm_params=norm,
        mtp_layers=(built[-1],) * min(mtp, 100),
    )


def _read_mixer(read: FlagReader, hidden: int, heads: int) -> Mixer:
    if read.has("multi-latent-attention"):
        return LatentAttention(
            num_heads=heads,
            q_lora_rank=read.whole("q-lora-rank"),
            kv_lora_rank=read.whole("kv-lora-rank") or 32,
            qk_nope_head_dim=read.whole("qk-head-dim") or 128,
            qk_rope_head_dim=read.whole("qk-pos-emb-head-dim") or 64,
            v_head_dim=read.whole("v-head-dim") or 128,
        )
    biased = not read.has("disable-bias-linear")
    head_dim = read.whole("kv-channels") or max(hidden // heads, 1)
    window = (read.text("window-size") or "").strip("()").split(",")[0].strip()
    groups = read.whole("num-query-groups") if read.has("group-query-attention") else heads
    return Attention(
        num_heads=heads,
        num_kv_heads=max(groups or 1, 1),
        head_dim=head_dim,
        window=int(window) + 1 if window.isdigit() else None,
        qkv_bias=biased or read.has("add-qkv-bias"),
        output_bias=biased,
        qk_norm_params=2 * head_dim if read.has("qk-layernorm") else 0,
        sinks=read.text("softmax-type") == "learnable",
    )


def _read_mlps(read: FlagReader, hidden: int, layers: int) -> Sequence[Mlp]:
    gated, bias = read.has("swiglu"), not read.has("disable-bias-linear")
    default = int(4 * hidden * 2 / 3 / 64) * 64 if gated else 4 * hidden
    dense = DenseMlp(read.whole("ffn-hidden-size") or default, gated, bias)
    count = read.whole("num-experts")
    if not count:
        return [dense] * layers
    experts = MoeMlp(
        num_experts=count,
        top_k=read.whole("moe-router-topk") or 2,
        expert_ffn_hidden=read.whole("moe-ffn-hidden-size") or dense.ffn_hidden,
        shared_ffn_hidden=read.whole("moe-shared-expert-intermediate-size") or 0,
        gated=gated,
        bias=bias,
        router_bias=read.has("moe-router-enable-expert-bias"),
        shared_gate=read.has("moe-shared-expert-gate"),
        num_groups=read.whole("moe-router-num-groups") or 1,
        top_k_groups=read.whole("moe-router-group-topk") or 1,
    )
    return [experts if has else dense for has in _expert_layers(read, layers)]


def _expert_layers(read: FlagReader, layers: int) -> list[bool]:
    """Which layers have experts: every n-th, or those of a pattern such as `([0]*3+[1]*58)`."""
    text = (read.text("moe-layer-freq") or "1").replace(" ", "")
    if text.isdigit() and int(text):
        return [index % int(text) == 0 for index in range(layers)]
    pattern: list[bool] = []
    for run in text.removeprefix("(").removesuffix(")").split("+"):
        match = _PATTERN_RUN.fullmatch(run)
        values = [value == "1" for value in match["values"].split(",")] if match else []
        pattern += values * int((match["times"] if match else None) or 1)
    if len(pattern) != layers:
        read.problems.append(f"--moe-layer-freq {text!r} names {len(pattern)} layers, but the model has {layers}")
        return [True] * layers
    return pattern
