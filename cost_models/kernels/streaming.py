"""Memory-bound kernels: norms, activations, residuals, optimizer steps."""

import numpy as np
from numpy.typing import ArrayLike

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Accelerator
from meshwright.cost_models.kernels.rates import KernelRates


def streaming_time_s(
    accelerator: Accelerator, rates: KernelRates, num_bytes: ArrayLike, num_kernels: ArrayLike = 1
) -> FloatColumn:
    """Time of memory-bound kernels, in seconds: bytes over achieved bandwidth, plus the launches.

    Args:
        accelerator: The device.
        rates: What it reaches.
        num_bytes: Bytes read and written by all of them together.
        num_kernels: How many they are.
    """
    transfer_s: FloatColumn = np.asarray(num_bytes, dtype=np.float64) / rates.memory_bytes_per_s(accelerator)
    return transfer_s + np.asarray(num_kernels, dtype=np.float64) * rates.launch_s
