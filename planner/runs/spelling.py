"""What a row's free-form cells mean in the table's own words: published runs spell one thing in many ways."""

import re
from collections.abc import Sequence
from dataclasses import replace

from meshwright.planner.runs.run import Run

Words = Sequence[tuple[str, str]]
"""(pattern, word) pairs; the first pattern found in a cell gives its word."""

PRECISIONS: Words = (
    (r"nvfp4|mxfp4|fp4", "nvfp4"),
    (r"mxfp8|fp8.?mx|mx.?fp8", "mxfp8"),
    (r"fp8|float8|e4m3|e5m2", "fp8"),
    (r"tf32|tensorfloat", "tf32"),
    (r"bf16|bfloat16|int8|int4|nf4|[48].?bit", "bf16"),  # quantised weights are multiplied in 16 bits
    (r"fp16|float16|half|16.?mixed|\bamp\b", "fp16"),
    (r"fp32|float32|single", "fp32"),
)
SHARDINGS: Words = (
    (r"hsdp|hybrid", "hsdp"),
    (r"(zero|stage)[^a-z0-9]*3|zero\+\+|gemini|full.?shard", "zero3"),
    (r"(zero|stage)[^a-z0-9]*2|shard.?grad.?op|\bsdp\b", "zero2"),
    (r"(zero|stage)[^a-z0-9]*1|dist[a-z]*[^a-z0-9]*opt", "zero1"),
    (r"fsdp|fully.?shard", "fsdp"),
    (r"none|\bno\b|(zero|stage)[^a-z0-9]*0|ddp|^dp$|replicat|off|false", "none"),
)
RECOMPUTES: Words = (
    (r"none|\bno\b|off|false|disabled|^0$", "none"),
    (r"select|partial|minimal|\bsac\b|attn|attention|^op$|^save_|dots|proj", "selective"),
    (r"full|uniform|block|every|all|yes|true|^on$|^1$|checkpoint|\bac\b|layer|remat", "full"),
)
TASKS: Words = (
    (r"qlora|q-lora", "qlora"),
    (r"lora|adapter|peft", "lora"),
    (r"sft|tun|full|dpo|rlhf|ppo|grpo|instruct|align|reward", "sft"),
    (r"train|continu|cpt", "pretrain"),
)


def spelled_out(run: Run) -> Run:
    """The row with precision, sharding, recomputation and task in the table's words.

    Sharding and recomputation in words that nobody knows count as untold; other cells stay as they are.
    """
    recompute = _known(_word(run.recompute, RECOMPUTES), RECOMPUTES)
    return replace(
        run,
        precision=_word(run.precision, PRECISIONS),
        sharding=_known(_word(run.sharding, SHARDINGS), SHARDINGS),
        recompute=recompute,
        recompute_detail=run.recompute_detail or (run.recompute if recompute == "selective" != run.recompute else ""),
        task=_word(run.task, TASKS),
    )


def _known(cell: str, words: Words) -> str:
    return cell if cell in {word for _, word in words} else ""


def _word(cell: str, words: Words) -> str:
    """The word of a cell; a cell that is a word already, or says nothing known, as it is."""
    if cell in {word for _, word in words}:
        return cell
    return next((word for pattern, word in words if re.search(pattern, cell.lower())), cell)
