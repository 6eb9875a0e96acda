"""How long one kernel takes on one device: matrix multiplications, attention and memory-bound passes."""

from meshwright.cost_models.kernels.attention import attention_time_s, portable_attention_speed
from meshwright.cost_models.kernels.gemm import gemm_time_s
from meshwright.cost_models.kernels.rates import KernelRates, on_device, spec_sheet_rates
from meshwright.cost_models.kernels.streaming import streaming_time_s

__all__ = [
    "KernelRates",
    "attention_time_s",
    "gemm_time_s",
    "on_device",
    "portable_attention_speed",
    "spec_sheet_rates",
    "streaming_time_s",
]
