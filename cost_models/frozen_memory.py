"""What norms and projections keep of what they read, with trained and with frozen weights.

The gradient of a weight needs the product's input; that of the input needs only the weights. So blocks whose own
weights are frozen (LoRA, arXiv:2106.09685, §4) keep no inputs but those that adapters read.
"""

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.job import Job

FROZEN_NORM_BYTES = 4.0
"""At most the fp32 input; the normalised copy is for the gradient of the norm's scale alone."""
LAYER_NORM_BYTES = 2.0
"""LayerNorm is one kernel in PyTorch, which keeps the 16-bit input and two statistics a row, whoever calls it."""


def norm_element_bytes(job: Job) -> float:
    """Bytes that a norm keeps per element of its input, its output left out."""
    own = job.framework.norm_saved_bytes - 2.0
    if job.architecture.final_norm_params >= 2 * job.architecture.hidden:  # scale and bias: LayerNorm
        own = min(own, LAYER_NORM_BYTES)
    if job.workload.trains_adapters and not job.framework.adapters_train_norms:
        own = min(own, FROZEN_NORM_BYTES)
    return own * job.workload.activation_bytes / 2


def input_bytes(job: Job, elements: FloatColumn, adapters: int, *, is_kept: bool = False) -> FloatColumn:
    """Bytes that stay of a projection's input.

    Args:
        job: The job.
        elements: Of the input.
        adapters: Adapters that read it, if the base is frozen. Each makes a copy of its own if it has dropout.
        is_kept: Whether another operator keeps the input anyway.
    """
    width = float(job.workload.activation_bytes)
    if not job.workload.trains_adapters:
        return elements * width * (not is_kept)
    read = job.framework.adapter_input_bytes * width / 2
    own = read * adapters if read > width else read * (adapters > 0 and not is_kept)
    if job.workload.task == "qlora":
        own += max(job.framework.quantised_inputs - is_kept, 0.0) * width
    return elements * own


def output_bytes(job: Job, elements: FloatColumn) -> FloatColumn:
    """Bytes that adapters keep of `elements` of the products that they change."""
    if not job.workload.trains_adapters:
        return elements * 0.0
    return elements * job.framework.adapter_output_bytes * job.workload.activation_bytes / 2
