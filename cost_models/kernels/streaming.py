"""Memory-bound kernels: norms, activations, residuals, optimizer steps."""

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels.rates import KernelRates


def streaming_time_s(
    accelerator: Accelerator, rates: KernelRates, num_bytes: ArrayLike, num_kernels: ArrayLike = 1
) -> FloatColumn:
    """Time of kernels that read and write `num_bytes` in all, in seconds: bytes over achieved bandwidth, plus launches."""
    bandwidth = accelerator.memory_bandwidth_bytes_per_s * rates.memory_fraction
    transfer_s: FloatColumn = np.asarray(num_bytes, dtype=np.float64) / bandwidth
    return transfer_s + np.asarray(num_kernels, dtype=np.float64) * rates.launch_s
