"""The kernels of one job: device, rates and precision bound once, so that block models read like the blocks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meshwright.cost_models import collectives, kernels
from meshwright.cost_models.candidates import FloatColumn, IntColumn
from meshwright.cost_models.collectives import CollectiveRates
from meshwright.cost_models.job import Job
from meshwright.cost_models.kernels import KernelRates
from meshwright.cost_models.training_rates import TrainingRates

CAST_BYTES = 4.0
"""HBM traffic of quantising one 16-bit element to 8 bits: read 2 bytes, write a row-wise copy and a column-wise one for
the weight gradient's product (Transformer Engine's cast-transpose kernels; MXFP8 scales either copy by itself)."""


@dataclass(frozen=True)
class LinearTime:
    """Seconds of one linear layer: forward, gradient of the input, gradient of the weights."""

    forward: FloatColumn
    input_gradient: FloatColumn
    weight_gradient: FloatColumn

    @property
    def backward(self) -> FloatColumn:
        """Both gradients."""
        return self.input_gradient + self.weight_gradient

    def __add__(self, other: "LinearTime") -> "LinearTime":
        return LinearTime(
            self.forward + other.forward,
            self.input_gradient + other.input_gradient,
            self.weight_gradient + other.weight_gradient,
        )


@dataclass(frozen=True)
class KernelCalls:
    """Kernel and collective times of one job; all arguments broadcast, all results are seconds."""

    job: Job

    @cached_property
    def kernel_rates(self) -> KernelRates:
        """Rates of the cluster's accelerator."""
        return self.job.calibration.kernel_rates(self.job.cluster.accelerator)

    @cached_property
    def collective_rates(self) -> CollectiveRates:
        """Rates of the cluster's links."""
        return self.job.calibration.collective_rates(self.job.cluster)

    @property
    def training(self) -> TrainingRates:
        """What a training step loses against its kernels run alone."""
        return self.job.calibration.training

    @property
    def width(self) -> int:
        """Bytes of one activation."""
        return self.job.workload.activation_bytes

    @property
    def is_low_precision(self) -> bool:
        """Whether matrix multiplications run below 16 bits, so that their inputs must be quantised."""
        return self.job.workload.precision in ("fp8", "mxfp8", "nvfp4")

    @property
    def fuses_experts(self) -> bool:
        """Whether experts' products, activation and casts are one kernel."""
        return self.job.framework.fuses_mxfp8_experts and self.job.workload.precision == "mxfp8"

    def matmul(
        self,
        m: FloatColumn | float,
        n: FloatColumn | float,
        k: FloatColumn | float,
        groups: FloatColumn | IntColumn | int = 1,
        precision: str | None = None,
    ) -> FloatColumn:
        """Time of `groups` (m×k)·(k×n) products."""
        accelerator, precision = self.job.cluster.accelerator, precision or self.job.workload.precision
        if self.job.framework.grouped_matmul or self.fuses_experts:
            return kernels.gemm_time_s(accelerator, self.kernel_rates, precision, m, n, k, groups)
        return groups * kernels.gemm_time_s(accelerator, self.kernel_rates, precision, m, n, k)

    def linear(
        self,
        tokens: FloatColumn,
        in_dim: FloatColumn | float,
        out_dim: FloatColumn | float,
        groups: FloatColumn | IntColumn | int = 1,
        precision: str | None = None,
        *,
        adapts: bool = True,
        is_quantised: bool = True,
    ) -> LinearTime:
        """A linear layer on `tokens` rows a group.

        A frozen base model (LoRA, arXiv:2106.09685) needs no weight gradient. Beside a layer with an adapter two
        products of tiny rank stream their operands: forward reads the input, adds to the output (read, write); backward
        reads the output's gradient and the input, adds to the input's gradient. Weights held in 4 bits are written out
        in 16 for every product (QLoRA, arXiv:2305.14314, eq. 5), unless `is_quantised` says that these never are.
        """
        forward = self.matmul(tokens, out_dim, in_dim, groups, precision)
        input_gradient = self.matmul(tokens, in_dim, out_dim, groups, precision)
        if self.job.workload.trains_adapters:
            rows_bytes = tokens * np.asarray(groups, dtype=np.float64) * self.width * adapts
            weights = np.asarray(groups, dtype=np.float64) * in_dim * out_dim * is_quantised
            beside = self.elementwise(rows_bytes * (in_dim + 2.0 * out_dim)) + self.dequantise(weights)
            beside_gradient = self.elementwise(rows_bytes * (out_dim + 3.0 * in_dim)) + self.dequantise(weights)
            return LinearTime(forward + beside, input_gradient + beside_gradient, np.zeros_like(forward))
        return LinearTime(forward, input_gradient, self.matmul(in_dim, out_dim, tokens, groups, precision))

    def elementwise(self, num_bytes: FloatColumn | float, excess: float | None = None) -> FloatColumn:
        """Time of memory-bound kernels that would move `num_bytes` if ideally fused; none run where there are none.

        They move `excess` times as much, by default the framework's `elementwise_traffic`.
        """
        times = self.job.framework.elementwise_traffic if excess is None else excess
        traffic = np.asarray(num_bytes, dtype=np.float64) * times
        time_s = kernels.streaming_time_s(self.job.cluster.accelerator, self.kernel_rates, traffic)
        return np.where(traffic > 0, time_s, 0.0)

    def copy(self, num_bytes: FloatColumn) -> FloatColumn:
        """Time of copies that move `num_bytes`, whatever the framework fuses; none run where there are none."""
        time_s = kernels.streaming_time_s(self.job.cluster.accelerator, self.kernel_rates, num_bytes)
        return np.where(num_bytes > 0, time_s, 0.0)

    def stream(self, num_bytes: FloatColumn) -> FloatColumn:
        """Time of memory-bound kernels that move exactly `num_bytes`; none run where there are none."""
        time_s = kernels.streaming_time_s(self.job.cluster.accelerator, self.kernel_rates, num_bytes)
        return np.where(num_bytes > 0, time_s, 0.0)

    def dequantise(self, num_weights: FloatColumn) -> FloatColumn:
        """Time to write frozen weights out in 16 bits; zero unless they are held in fewer."""
        held = self.job.workload.frozen_bytes
        if held >= self.width:
            return np.zeros_like(num_weights)
        return self.stream(num_weights * (held + self.width))

    def quantise(self, num_elements: FloatColumn) -> FloatColumn:
        """Time to quantise the inputs of matrix multiplications; zero at 16 bits."""
        if not self.is_low_precision:
            return np.zeros_like(num_elements)
        return kernels.streaming_time_s(self.job.cluster.accelerator, self.kernel_rates, CAST_BYTES * num_elements)

    def all_reduce(self, num_bytes: FloatColumn, size: IntColumn, stride: IntColumn) -> FloatColumn:
        """All-reduce of `num_bytes` a rank."""
        return collectives.all_reduce_time_s(self.job.cluster, self.collective_rates, num_bytes, size, stride)

    def all_gather(self, num_bytes: FloatColumn, size: IntColumn, stride: IntColumn) -> FloatColumn:
        """All-gather whose result is `num_bytes` a rank."""
        return collectives.all_gather_time_s(self.job.cluster, self.collective_rates, num_bytes, size, stride)

    def reduce_scatter(self, num_bytes: FloatColumn, size: IntColumn, stride: IntColumn) -> FloatColumn:
        """Reduce-scatter whose input is `num_bytes` a rank."""
        return collectives.reduce_scatter_time_s(self.job.cluster, self.collective_rates, num_bytes, size, stride)

    def all_to_all(self, num_bytes: FloatColumn, size: IntColumn, stride: IntColumn) -> FloatColumn:
        """All-to-all in which every rank holds `num_bytes`."""
        return collectives.all_to_all_time_s(self.job.cluster, self.collective_rates, num_bytes, size, stride)

    def send_recv(self, num_bytes: FloatColumn, stride: IntColumn) -> FloatColumn:
        """Point-to-point message between devices `stride` apart."""
        return collectives.send_recv_time_s(self.job.cluster, self.collective_rates, num_bytes, stride)
