"""Reads tables of measured kernels and collectives into plain columns: seconds, bytes and sizes.

The tables are third-party measurements that the project doesn't carry: NVIDIA AIConfigurator's performance
database (Apache-2.0) in `aic/`, Microsoft's apex_plus (MIT) profiles in folders of those names.
"""

from pathlib import Path

import numpy as np
import pandas as pd

GEMM_DTYPES = {"bf16": "bfloat16", "fp8": "fp8", "mxfp8": "fp8_block", "nvfp4": "nvfp4"}
"""The tables' names of precisions. B200's block-scaled FP8 rows have power-of-two scales, as MXFP8 has."""

MIN_SIZE = 256
"""Training multiplies large matrices; smaller rows are decode steps."""


def gemm_rows(tables: Path, system: str, precision: str, library: str | None = None) -> pd.DataFrame:
    """Columns m, n, k, time_s: the median over libraries and repeats, or one library's median."""
    if system == "v100":
        return _v100_gemm_rows(tables)
    rows = pd.read_parquet(tables / f"aic/gemm_{system}_sxm.parquet")
    rows = rows[rows.gemm_dtype == GEMM_DTYPES[precision]]
    if library is not None:
        rows = rows[rows.lib_or_backend == library]
    rows = rows.astype({"m": float, "n": float, "k": float})
    rows = rows.groupby(["m", "n", "k"], as_index=False).latency.median()
    return rows.assign(time_s=rows.latency * 1e-3)


def _v100_gemm_rows(tables: Path) -> pd.DataFrame:
    """Whole microseconds; widths that tensor cores can't take (n not a multiple of 8) are left out."""
    rows = pd.read_parquet(tables / "apex_plus/gemm_v100_pcie16.parquet")
    rows = rows[(rows.n % 8 == 0) & (rows.m <= 32768) & (rows.k <= 32768)]
    rows = rows.astype({"m": float, "n": float, "k": float})
    return rows.assign(time_s=rows["time(us)"] * 1e-6)


def large(rows: pd.DataFrame) -> pd.DataFrame:
    """Only products whose three sizes are those of training."""
    return rows[(rows.m >= MIN_SIZE) & (rows.n >= MIN_SIZE) & (rows.k >= MIN_SIZE)]


def memory_bound(rows: pd.DataFrame) -> pd.DataFrame:
    """Only products of few rows with weights far beyond any cache: they stream memory."""
    weights = 2.0 * rows.n * rows.k
    return rows[(rows.m <= 16) & (weights >= 3e8)]


def held_out(rows: pd.DataFrame, keys: list[str], every: int = 5) -> pd.Series:
    """Whether a row belongs to the fifth of the key combinations that no fit sees."""
    return pd.util.hash_pandas_object(rows[keys].astype(np.int64), index=False) % every == 0


def attention_rows(tables: Path, system: str, kernels: tuple[str, ...]) -> pd.DataFrame:
    """Causal 16-bit prefill without a window: batch, seq, heads, kv_heads, head_dim, time_s.

    Only shapes that fill the device as training does: at least 512 tokens, 8 sequences times heads.
    """
    rows = pd.read_parquet(tables / f"aic/attention_context_{system}_sxm.parquet")
    rows = rows[(rows.attn_dtype == "bfloat16") & (rows.kv_cache_dtype == "bfloat16")]
    rows = rows[rows.kernel_source.isin(kernels) & (rows.window_size.fillna(0) == 0) & (rows.head_dim <= 256)]
    names = {"batch_size": "batch", "isl": "seq", "num_heads": "heads", "num_key_value_heads": "kv_heads"}
    rows = rows.rename(columns=names)
    keys = ["batch", "seq", "heads", "kv_heads", "head_dim"]
    rows = rows.astype(dict.fromkeys(keys, float)).groupby(keys, as_index=False).latency.median()
    rows = rows[(rows.seq >= 512) & (rows.batch * rows.heads >= 8)]
    return rows.assign(time_s=rows.latency * 1e-3)


def moe_rows(tables: Path, system: str, kernels: tuple[str, ...]) -> pd.DataFrame:
    """Balanced 16-bit expert layers: experts, rows an expert, hidden, inner, time_s."""
    rows = pd.read_parquet(tables / f"aic/moe_{system}_sxm.parquet")
    rows = rows[(rows.moe_dtype == "bfloat16") & (rows.distribution == "balanced")]
    rows = rows[rows.kernel_source.isin(kernels)]
    sizes = ["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"]
    rows = rows.astype(dict.fromkeys(sizes, float)).groupby(sizes, as_index=False).latency.median()
    rows["experts"] = rows.num_experts / rows.moe_ep_size
    rows["rows"] = rows.num_tokens * rows.topk / rows.num_experts
    rows["inner"] = rows.inter_size / rows.moe_tp_size
    rows = rows[(rows.rows >= MIN_SIZE) & (rows.inner >= MIN_SIZE)]
    return rows.rename(columns={"hidden_size": "hidden"}).assign(time_s=rows.latency * 1e-3)


OPERATIONS = {
    "all_reduce": "all_reduce",
    "all_gather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "alltoall": "all_to_all",
    "sendrecv": "send_recv",
}


def nccl_rows(tables: Path, system: str) -> pd.DataFrame:
    """One node's NCCL: operation, size (ranks), num_bytes, time_s; medians over versions and repeats."""
    rows = pd.read_csv(tables / "aic/nccl_all_systems.csv")
    rows = rows[(rows.system == system) & (rows.nccl_dtype == "half")]
    rows = rows.assign(num_bytes=2.0 * rows.message_size, operation=rows.op_name.map(OPERATIONS))
    keys = ["operation", "num_gpus", "num_bytes"]
    rows = rows.groupby(keys, as_index=False).latency.median().rename(columns={"num_gpus": "size"})
    return rows.assign(time_s=rows.latency * 1e-3)


def v100_collective_rows(tables: Path) -> pd.DataFrame:
    """V100 PCIe on 1 to 4 nodes, without the swapped rows: operation, size, per_node, num_bytes, time_s."""
    rows = pd.read_csv(tables / "apex_plus/collectives.csv")
    rows = rows[rows.gpu.str.startswith("V100") & (rows.num_gpus_per_node <= 4) & (rows["size(kb)"] > 0)]
    rows = rows.assign(
        operation=rows.collective.map(OPERATIONS),
        size=rows.num_nodes * rows.num_gpus_per_node,
        per_node=rows.num_gpus_per_node,
        num_bytes=rows["size(kb)"] * 1024.0,
        time_s=rows["time(us)"] * 1e-6,
    )
    return rows[["operation", "size", "per_node", "num_bytes", "time_s"]]
