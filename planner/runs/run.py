"""One published run: a row of the table, typed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run (or published failure). None and "" mean that the source doesn't say.

    Fields are the table's columns; `datasets/runs/README.md` says what each holds and in which unit.
    """

    run_id: str
    source: str = ""
    group_id: str = ""
    rank_group: str = ""
    model: str = ""
    family: str = ""
    n_layers: int | None = None
    hidden: int | None = None
    n_heads: int | None = None
    n_kv_heads: int | None = None
    head_dim: int | None = None
    ffn_hidden: int | None = None
    gated_mlp: bool | None = None
    tied_embeddings: bool | None = None
    vocab: int | None = None
    seq_len: int | None = None
    n_experts: int | None = None
    moe_topk: int | None = None
    moe_ffn_hidden: int | None = None
    shared_experts: int | None = None
    n_dense_layers: int | None = None
    attention: str = ""
    arch_extra: str = ""
    params_b: float | None = None
    accelerator: str = ""
    n_gpus: int | None = None
    gpus_per_node: int | None = None
    precision: str = ""
    framework: str = ""
    task: str = ""
    global_batch: int | None = None
    micro_batch: int | None = None
    dp: int | None = None
    tp: int | None = None
    pp: int | None = None
    vpp: int | None = None
    cp: int | None = None
    ep: int | None = None
    etp: int | None = None
    sequence_parallel: bool | None = None
    sharding: str = ""
    shard_group: int | None = None
    recompute: str = ""
    recompute_detail: str = ""
    offload: str = ""
    step_time_s: float | None = None
    peak_mem_gib: float | None = None
    mem_basis: str = ""
    oom: bool | None = None
    failed: bool | None = None
    quality: str = ""
    suspect_time: bool | None = None
    note: str = ""

    @property
    def has_scorable_time(self) -> bool:
        """Whether its step time counts: measured, and everything critical about the run is known."""
        return self.quality in ("A", "B") and bool(self.step_time_s)

    @property
    def has_scorable_memory(self) -> bool:
        """Whether its memory counts: measured on a run that finished."""
        return bool(self.peak_mem_gib) and not self.failed

    @property
    def plan(self) -> tuple[object, ...]:
        """What makes two rows of one group the same plan, measured twice."""
        return (
            self.micro_batch, self.dp, self.tp, self.pp, self.vpp, self.cp, self.ep, self.etp, self.sharding,
            self.shard_group, self.recompute, self.recompute_detail, self.offload, self.sequence_parallel,
        )  # fmt: skip

    def extra(self) -> dict[str, int]:
        """The `key=value` pairs of `arch_extra`; values that aren't integers are left out."""
        pairs = (part.split("=", 1) for part in self.arch_extra.split(";") if "=" in part)
        return {key.strip(): int(value) for key, value in pairs if value.strip().isdigit()}
