"""Fits the kernel and collective rates that ship in `datasets/calibrations/kernels.json`.

    python bench/fit_kernels.py TABLES [--write]

TABLES is a folder as `kernel_tables.py` reads it. Every fit minimises the soft-L1 of
log(predicted/measured); a fifth of the shapes, chosen by a hash of their sizes, is never fitted on and gives
the held-out residuals. Prints the residual table; writes the calibration only with --write.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import kernel_tables
import numpy as np
import pandas as pd
from fit_collectives import fit_collectives
from robust_fit import Fit, Parameters, fit, print_residuals

from meshwright.cost_models.calibration import Residual
from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels import KernelRates, attention_time_s, gemm_time_s, streaming_time_s
from meshwright.planner.clusters import accelerator

OUTPUT = Path(__file__).parents[1] / "datasets/calibrations/kernels.json"


@dataclass(frozen=True, slots=True)
class Kind:
    """Devices of one make of matrix unit, fitted together.

    Attributes:
        devices: Catalog name by the tables' name of the system.
        precisions: Precisions of the GEMM tables, 16-bit first.
        softmax_width: Multiply-adds a core makes in the time of one exponential: the tensor cores' dense
            16-bit rate a clock over the 16 exponentials a clock of its special-function units
            (FlashAttention-3, arXiv:2407.08608, §3.2, makes that count for H100; the rates are in each
            generation's white paper).
        attention_kernels: Kernels of the tables that stand for those that training runs.
    """

    devices: Mapping[str, str]
    precisions: tuple[str, ...]
    softmax_width: float
    attention_kernels: tuple[str, ...] = ()


KINDS = {
    "nvidia-volta": Kind({"v100": "v100-pcie-16gb"}, ("fp16",), 512 / 16),
    "nvidia-ampere": Kind({"a100": "a100-80gb"}, ("bf16",), 1024 / 16, ("flash_attention",)),
    "nvidia-hopper": Kind({"h100": "h100-80gb", "h200": "h200"}, ("bf16", "fp8"), 2048 / 16, ("fa3",)),
    "nvidia-blackwell": Kind({"b200": "b200"}, ("bf16", "fp8", "mxfp8", "nvfp4"), 4096 / 16, ("trtllm_mha",)),
}


def by_device(rows: pd.DataFrame, predict: Callable[[Accelerator, pd.DataFrame], FloatColumn]) -> FloatColumn:
    """Predictions of a table whose rows come from several devices."""
    time_s = np.empty(len(rows))
    for name in rows.device.unique():
        of = (rows.device == name).to_numpy()
        time_s[of] = predict(accelerator(name), rows[of])
    return time_s


def fit_memory(tables: Path, kind: Kind) -> float:
    """Share of the memory bandwidth that products of a few rows with huge weights reach."""
    shares = []
    for system, name in kind.devices.items():
        rows = kernel_tables.memory_bound(kernel_tables.gemm_rows(tables, system, kind.precisions[0]))
        num_bytes = 2.0 * (rows.m * rows.k + rows.k * rows.n + rows.m * rows.n)
        shares.append(num_bytes / rows.time_s / accelerator(name).memory_bandwidth_bytes_per_s)
    return float(pd.concat(shares).median())


def gemm_table(tables: Path, kind: Kind, precision: str, library: str | None) -> pd.DataFrame:
    """Large products of all devices of a kind; larger ones weigh more, since steps spend their time there."""
    parts = [
        kernel_tables.large(kernel_tables.gemm_rows(tables, system, precision, library)).assign(device=name)
        for system, name in kind.devices.items()
    ]
    rows = pd.concat(parts, ignore_index=True)
    flop = rows.m * rows.n * rows.k
    return rows.assign(weight=(flop / flop.median()) ** 0.25)


def fit_gemm(tables: Path, key: str, kind: Kind, rates: KernelRates) -> tuple[KernelRates, list[Residual]]:
    """Fits the 16-bit rates, then the fraction of every lower precision with the rest held.

    Low-precision rows also quantise their left operand: passes over it (2 bytes read, 1 written) and
    launches, fitted beside the fraction and dropped.
    """
    first, *lower = kind.precisions

    def predict(p: Parameters, rows: pd.DataFrame) -> FloatColumn:
        tried = replace(rates, **p)
        return by_device(rows, lambda a, r: gemm_time_s(a, tried, first, r.m, r.n, r.k))

    start = {
        "matmul_fraction": (0.2, 0.8, 1.0),
        "ramp_k": (1.0, 120.0, 600.0),
        "small_tile_slowdown": (0.001, 0.1, 1.0),
        "launch_s": (0.5e-6, 4e-6, 30e-6),
    }
    main = fit(f"gemm {first}", key, gemm_table(tables, kind, first, None), ["n", "k"], predict, start)
    rates = replace(rates, **main.parameters)
    if key == "nvidia-volta":
        rates = replace(rates, launch_s=KernelRates().launch_s)  # that table's floor of 14 us is its timer's
    fractions, residuals = {"bf16": rates.matmul_fraction, "fp16": rates.matmul_fraction}, [main.residual]
    for precision in lower:
        fitted = fit_low_precision(tables, key, kind, precision, rates)
        fractions[precision] = fitted.parameters["matmul_fraction"]
        residuals.append(fitted.residual)
    return replace(rates, matmul_fractions=fractions), residuals


def fit_low_precision(tables: Path, key: str, kind: Kind, precision: str, rates: KernelRates) -> Fit:
    """Fits the fraction of one precision on TensorRT-LLM's rows, whose GEMMs are cuBLAS's or DeepGEMM's."""

    def predict(p: Parameters, rows: pd.DataFrame) -> FloatColumn:
        tried = replace(rates, matmul_fraction=p["matmul_fraction"])

        def time_s(a: Accelerator, r: pd.DataFrame) -> FloatColumn:
            cast_s = streaming_time_s(a, tried, p["passes"] * 3.0 * r.m * r.k, 0)
            return gemm_time_s(a, tried, precision, r.m, r.n, r.k) + cast_s + p["extra_s"]

        return by_device(rows, time_s)

    start = {"matmul_fraction": (0.2, 0.7, 1.0), "passes": (0.01, 1.0, 3.0), "extra_s": (1e-7, 5e-6, 2e-5)}
    rows = gemm_table(tables, kind, precision, "trtllm")
    return fit(f"gemm {precision}", key, rows, ["n", "k"], predict, start)


def fit_attention(tables: Path, key: str, kind: Kind, rates: KernelRates) -> tuple[KernelRates, list[Residual]]:
    """Fits the forward rate and the ramp of fused attention; what a serving engine adds a call is dropped."""
    rates = replace(rates, softmax_width=kind.softmax_width)
    if not kind.attention_kernels:
        return rates, []
    parts = [
        kernel_tables.attention_rows(tables, system, kind.attention_kernels).assign(device=name)
        for system, name in kind.devices.items()
    ]

    def predict(p: Parameters, rows: pd.DataFrame) -> FloatColumn:
        tried = replace(rates, attention_fraction=p["attention_fraction"], attention_ramp=p["attention_ramp"])

        def time_s(a: Accelerator, r: pd.DataFrame) -> FloatColumn:
            sizes = (r.batch, r.heads, r.kv_heads, r.seq, r.seq, r.head_dim, r.head_dim, 0.5)
            return attention_time_s(a, tried, "bf16", *sizes, backward=False, flash=True) + p["extra_s"]

        return by_device(rows, time_s)

    rows = pd.concat(parts, ignore_index=True)
    flop = rows.batch * rows.heads * rows.head_dim * rows.seq**2
    rows["weight"] = (flop / flop.median()) ** 0.25
    start = {
        "attention_fraction": (0.2, 0.7, 1.0),
        "attention_ramp": (1.0, 200.0, 2000.0),
        "extra_s": (1e-7, 5e-6, 5e-5),
    }
    found = fit("attention forward", key, rows, ["seq", "heads", "head_dim"], predict, start)
    del found.parameters["extra_s"]
    return replace(rates, **found.parameters), [found.residual]


MOE_KERNELS = ("moe_torch_flow_cutlass",)


def check_experts(tables: Path, key: str, kind: Kind, rates: KernelRates) -> list[Residual]:
    """Residuals of grouped GEMMs on expert layers: with the rates of single products, nothing but a constant is fitted.

    An expert layer here: gate-up and down products, activation, and the passes that gather and combine tokens; what a
    serving engine adds a call is the constant, and dropped. A factor of their own would come out at 1.1 on Hopper and
    1.2 on Blackwell, traded against that constant.
    """
    parts = [
        kernel_tables.moe_rows(tables, system, MOE_KERNELS).assign(device=name)
        for system, name in kind.devices.items()
        if system in ("h100", "h200", "b200")
    ]
    if not parts:
        return []

    def predict(p: Parameters, rows: pd.DataFrame) -> FloatColumn:
        def time_s(a: Accelerator, r: pd.DataFrame) -> FloatColumn:
            tokens = r.experts * r.rows
            passes = streaming_time_s(a, rates, tokens * (6.0 * r.inner + 10.0 * r.hidden), 3)
            up = gemm_time_s(a, rates, "bf16", r.rows, 2 * r.inner, r.hidden, r.experts)
            return up + gemm_time_s(a, rates, "bf16", r.rows, r.hidden, r.inner, r.experts) + passes + p["extra_s"]

        return by_device(rows, time_s)

    rows = pd.concat(parts, ignore_index=True)
    flop = rows.experts * rows.rows * rows.inner * rows.hidden
    rows["weight"] = (flop / flop.median()) ** 0.25
    start = {"extra_s": (1e-7, 1e-5, 1e-2)}
    return [fit("experts bf16", key, rows, ["hidden", "inner", "experts"], predict, start).residual]


def fit_kernels(tables: Path) -> tuple[dict[str, KernelRates], list[Residual]]:
    """Rates of each kind."""
    fitted, residuals = {}, []
    for key, kind in KINDS.items():
        rates = KernelRates(memory_fraction=fit_memory(tables, kind))
        rates, found = fit_gemm(tables, key, kind, rates)
        residuals += found
        rates, found = fit_attention(tables, key, kind, rates)
        residuals += [*found, *check_experts(tables, key, kind, rates)]
        fitted[key] = rates
    return fitted, residuals


def rounded(value: object) -> object:
    """Four significant digits, all the way down."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return value


PROVENANCE = {
    "aiconfigurator": "NVIDIA AIConfigurator performance database, aiconfigurator-core 0.12.0 (Apache-2.0):"
    " GEMM, context attention, NCCL on one node",
    "apex_plus": "Microsoft apex_plus profiles, commit 8769096 (MIT): V100 PCIe GEMM; collectives on 1 to 4 nodes",
    "infiniband": "NVIDIA/nccl-tests issue 290: NDR at 400 Gb/s should give 46 to 48 GB/s a port",
    "attention backward": "No table measures it. 0.83 of the forward rate follows from published figures:"
    " FlashAttention-2 on A100 (arXiv:2307.08691, §4.1: 73 % of peak forward, 63 % backward),"
    " FlashAttention-3 on H100 (arXiv:2407.08608, figs. 5 and 6), FlashAttention on B200"
    " (Dao-AILab/flash-attention pull request 2280)",
    "published": "Published, not fitted: Bekman, Machine Learning Engineering Open Book, Maximum Achievable FLOPS"
    " (2026; MI250X: 2025), large products of PyTorch in bf16: Gaudi 2 418.7 of 432, Gaudi 3 1243 of 1835, MI250X 147.0"
    " of 191.5, MI300X 668.4 of 1307.4, MI325X 784.9 of 1307.4, MI355X 1565 of 2516.6; in fp8: Gaudi 2 826.5 of 865,"
    " Gaudi 3 1289.5 of 1835. AMD, Measuring Max-Achievable FLOPs, part 2 (2025), fp16 and fp8 over bf16: MI300X 654"
    " and 1273 over 708, MI325X 794 and 1519 over 843. Attention follows products",
    "google-tpu": "Published, not fitted: JAX documentation, Pallas TPU, Matrix Multiplication: XLA's product of"
    " 8192 x 8192 x 8192 reaches 92.3 % of a TPU v5e's peak. AI-Hypercomputer, tpu-recipes, microbenchmarks (2026):"
    " 827.5 of 918 TFLOP/s of a v6e, 950.1 of the 1153.5 of a TPU7x's device",
    "nvidia-blackwell-ultra": "Kernels of nvidia-blackwell: none of a GB300 were measured",
    "method": "bench/fit_kernels.py: soft-L1 of log(predicted/measured), a fifth of the shapes held out",
}


def published(bf16: float, **others: float) -> KernelRates:
    """Rates of a device of which only the largest products were measured, by precision; its attention follows them."""
    general = KernelRates()
    return KernelRates(
        matmul_fraction=bf16,
        matmul_fractions={"bf16": bf16, "fp16": bf16, **others},
        attention_fraction=bf16 * general.attention_fraction / general.matmul_fraction,
    )


MI300X, MI325X = 668.4 / 1307.4, 784.9 / 1307.4
PUBLISHED = {
    "amd-cdna2": published(147.0 / 191.5),
    "amd-cdna3": published(MI300X, fp16=MI300X * 654 / 708, fp8=MI300X * 1273 / 708 / 2),
    "mi325x": published(MI325X, fp16=MI325X * 794 / 843, fp8=MI325X * 1519 / 843 / 2),
    "amd-cdna4": published(1565 / 2516.6),
    "gaudi2": published(418.7 / 432, fp8=826.5 / 865),
    "gaudi3": published(1243 / 1835, fp8=1289.5 / 1835),
    "google-tpu": KernelRates(matmul_fraction=0.923, matmul_fractions={"bf16": 0.923}),
    "tpu-v6e": KernelRates(matmul_fraction=827.5 / 918),
    "tpu-v7x": KernelRates(matmul_fraction=950.1 / 1153.5),
}
SAME_KERNELS = {"nvidia-blackwell-ultra": "nvidia-blackwell"}
"""Kinds that run the kernels measured on another one. They have a name of their own because a step's sustained clock
isn't the same: 1,400 W for 2.5 PFLOP/s of a GB300, 1,200 W of a GB200."""


def main() -> None:
    """Fits everything and prints the residuals."""
    parser = argparse.ArgumentParser(description="Fits the rates that ship.")
    parser.add_argument("tables", type=Path, help="folder of measured tables")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    kernels, kernel_residuals = fit_kernels(arguments.tables)
    links, link_residuals = fit_collectives(arguments.tables)
    kernels |= {kind: kernels[measured] for kind, measured in SAME_KERNELS.items()}
    links |= {kind: links[measured] for kind, measured in SAME_KERNELS.items()}
    residuals = [*kernel_residuals, *link_residuals]
    print_residuals(residuals)
    document = {
        "name": "kernels",
        "provenance": PROVENANCE,
        "kernels": {key: rounded(asdict(r)) for key, r in (kernels | PUBLISHED).items()},
        "collectives": {key: rounded(asdict(r)) for key, r in links.items()},
        "residuals": [asdict(r) for r in residuals],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if arguments.write:
        OUTPUT.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
