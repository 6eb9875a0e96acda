"""What one training step must do."""

from dataclasses import dataclass

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "mxfp8", "nvfp4")
TASKS = ("pretrain", "sft", "lora", "qlora")
NF4_BYTES = 0.5 + 4.0 / 64
"""4-bit NormalFloat with one fp32 scale for 64 parameters (QLoRA, arXiv:2305.14314, §3)."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One optimizer step of training.

    Attributes:
        global_batch: Sequences a step, over all data-parallel ranks.
        seq_len: Tokens a sequence.
        precision: Of the matrix multiplications; one of `PRECISIONS`. Parameters and activations are stored in
            16 bits for all but fp32 and tf32.
        task: `pretrain`, `sft` (all parameters train), `lora` (adapters train, the base is frozen) or `qlora` (the
            base's layers are held in 4 bits).
        lora_rank: Rank of the adapters on every linear layer, for `lora` and `qlora`.
        lora_tables: Whether embedding and output layer train beside the adapters, as copies of their own.
        document_len: Tokens of one document where sequences are packed and attention stays within each document
            (block-diagonal masks, variable-length kernels); None where it crosses them.
        routing: Which experts tokens go to: `even`, drawn evenly, or `consecutive`, one after the other as benchmarks
            with a fake gate do.
        moe_imbalance: Tokens of the busiest expert-parallel rank over the mean (1 = perfectly balanced router).
    """

    global_batch: int
    seq_len: int
    precision: str = "bf16"
    task: str = "pretrain"
    lora_rank: int = 16
    moe_imbalance: float = 1.0
    lora_tables: bool = False
    document_len: int | None = None
    routing: str = "even"

    @property
    def tokens(self) -> int:
        """Tokens a step."""
        return self.global_batch * self.seq_len

    @property
    def trains_adapters(self) -> bool:
        """Whether only low-rank adapters train."""
        return self.task in ("lora", "qlora")

    @property
    def frozen_bytes(self) -> float:
        """Bytes of one frozen parameter of a layer."""
        return NF4_BYTES if self.task == "qlora" else self.activation_bytes

    @property
    def activation_bytes(self) -> int:
        """Bytes of one stored activation or parameter."""
        return 4 if self.precision in ("fp32", "tf32") else 2
