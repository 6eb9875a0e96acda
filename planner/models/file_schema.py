"""The keys of Meshwright's own model files."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from meshwright.cost_models.architecture import (
    Architecture,
    Attention,
    DenseMlp,
    LatentAttention,
    Layer,
    Mixer,
    Mlp,
    MoeMlp,
    StateSpace,
)
from meshwright.planner.models.config import LARGEST_SIZE
from meshwright.planner.models.decoder import MOST_LAYERS

Size = Annotated[int, Field(ge=1, le=LARGEST_SIZE)]
Count = Annotated[int, Field(ge=0, le=LARGEST_SIZE)]
Depth = Annotated[int, Field(ge=1, le=MOST_LAYERS)]
Norm = Literal["rms", "layer", "none"]

SCALES_OF_NORM = {"rms": 1, "layer": 2, "none": 0}
"""Parameters per channel: RMSNorm has a scale, LayerNorm a scale and a bias."""


class _Part(BaseModel):
    """A part of the file; words that aren't known and numbers in quotes are problems."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Attention(_Part):
    num_heads: Size
    num_kv_heads: Size | None = None
    head_dim: Size | None = None
    window: Size | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: Literal["none", "head", "all"] = "none"
    sinks: bool = False
    output_gate: bool = False

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.num_heads % (self.num_kv_heads or 1):
            values = f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"
            raise ValueError(f"`num_heads % num_kv_heads == 0` must hold, but got ({values})")
        return self

    def built(self, hidden: int) -> Attention:
        head_dim = self.head_dim or hidden // self.num_heads
        kv_heads = self.num_kv_heads or self.num_heads
        normed_dim = {"none": 0, "head": 2, "all": self.num_heads + kv_heads}[self.qk_norm] * head_dim
        return Attention(
            num_heads=self.num_heads,
            num_kv_heads=kv_heads,
            head_dim=head_dim,
            window=self.window,
            qkv_bias=self.qkv_bias,
            output_bias=self.output_bias,
            qk_norm_params=normed_dim,
            sinks=self.sinks,
            output_gate=self.output_gate,
        )


class _LatentAttention(_Part):
    num_heads: Size
    q_lora_rank: Size | None = None
    kv_lora_rank: Size
    qk_nope_head_dim: Size
    qk_rope_head_dim: Size
    v_head_dim: Size


class _StateSpace(_Part):
    num_heads: Size
    head_dim: Size
    state_size: Size
    num_groups: Size = 1
    conv_kernel: Size = 4
    delta_rule: bool = False


class _Mlp(_Part):
    ffn_hidden: Size
    gated: bool = True
    bias: bool = False


class _Moe(_Part):
    num_experts: Size
    top_k: Size
    expert_ffn_hidden: Size
    shared_ffn_hidden: Count = 0
    gated: bool = True
    bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False
    num_groups: Size = 1
    top_k_groups: Size = 1

    @model_validator(mode="after")
    def _top_k_fits(self) -> Self:
        if self.top_k > self.num_experts:
            values = f"top_k={self.top_k}, num_experts={self.num_experts}"
            raise ValueError(f"`top_k <= num_experts` must hold, but got ({values})")
        if self.top_k_groups > self.num_groups:
            values = f"top_k_groups={self.top_k_groups}, num_groups={self.num_groups}"
            raise ValueError(f"`top_k_groups <= num_groups` must hold, but got ({values})")
        return self


class _Group(_Part):
    """Equal layers: at most one mixer over tokens and one feed-forward block."""

    count: Depth = 1
    attention: _Attention | None = None
    latent_attention: _LatentAttention | None = None
    state_space: _StateSpace | None = None
    mlp: _Mlp | None = None
    moe: _Moe | None = None
    num_norms: Count | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        mixers = [name for name in ("attention", "latent_attention", "state_space") if getattr(self, name)]
        mlps = [name for name in ("mlp", "moe") if getattr(self, name)]
        if not mixers + mlps or len(mixers) > 1 or len(mlps) > 1:
            raise ValueError(
                "a layer has one of attention, latent_attention, state_space and one of mlp, moe"
                f" (or lacks one of the two), but this has {', '.join(mixers + mlps) or 'neither'}"
            )
        return self

    def built(self, hidden: int, scales: int) -> tuple[Layer, ...]:
        mixer, mlp = self._mixer(hidden), self._mlp()
        blocks = (mixer is not None) + (mlp is not None)
        num_norms = blocks if self.num_norms is None else self.num_norms
        return (Layer(mixer, mlp, scales * hidden * num_norms, num_norms),) * self.count

    def _mixer(self, hidden: int) -> Mixer | None:
        if self.attention:
            return self.attention.built(hidden)
        if self.latent_attention:
            return LatentAttention(**self.latent_attention.model_dump())
        return StateSpace(**self.state_space.model_dump()) if self.state_space else None

    def _mlp(self) -> Mlp | None:
        if self.moe:
            return MoeMlp(**self.moe.model_dump())
        return DenseMlp(**self.mlp.model_dump()) if self.mlp else None


class ModelFile(_Part):
    """A whole model file."""

    name: str | None = None
    hidden: Size
    vocab: Size
    layers: list[_Group] = Field(min_length=1)
    mtp_layers: list[_Group] = []
    norm: Norm = "rms"
    tied_embeddings: bool = False
    max_seq_len: Size | None = None
    learned_positions: Count = 0
    embedding_norm: bool = False
    final_norm: bool = True
    lm_head_bias: bool = False

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        for attention in (group.attention for group in self.layers + self.mtp_layers):
            if attention and not attention.head_dim and self.hidden % attention.num_heads:
                values = f"hidden={self.hidden}, num_heads={attention.num_heads}"
                raise ValueError(f"`hidden % num_heads == 0` must hold where head_dim isn't given, but got ({values})")
        return self

    def built(self, name: str) -> Architecture:
        """The architecture; `name` is what it is called if the file doesn't say."""
        scales = SCALES_OF_NORM[self.norm]
        return Architecture(
            name=self.name or name,
            hidden=self.hidden,
            vocab=self.vocab,
            layers=tuple(layer for group in self.layers for layer in group.built(self.hidden, scales)),
            tied_embeddings=self.tied_embeddings,
            max_seq_len=self.max_seq_len,
            learned_positions=self.learned_positions,
            embedding_norm_params=scales * self.hidden * self.embedding_norm,
            final_norm_params=scales * self.hidden * self.final_norm,
            lm_head_bias=self.lm_head_bias,
            mtp_layers=tuple(layer for group in self.mtp_layers for layer in group.built(self.hidden, scales)),
        )
