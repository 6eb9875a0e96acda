"""Describes a device and a network in Python, and asks how much the network matters."""

import meshwright as mw

DEVICE = mw.Accelerator(
    name="prototype",
    peak_flops={"bf16": 1.0e15, "fp32": 60e12},
    memory_bytes=96 * 2**30,
    memory_bandwidth_bytes_per_s=4e12,
)


def cluster(network_bytes_per_s: float) -> mw.Cluster:
    """32 prototypes, 8 in a node."""
    levels = (
        mw.LinkLevel("in-node", extent=8, bandwidth_bytes_per_s=450e9, latency_s=1e-6),
        mw.LinkLevel("network", extent=32, bandwidth_bytes_per_s=network_bytes_per_s, latency_s=5e-6),
    )
    return mw.Cluster("lab", DEVICE, num_devices=32, devices_per_node=8, levels=levels)


for gigabytes_per_s in (5, 25, 50, 100):
    best = mw.plan("llama-3-8b", cluster(gigabytes_per_s * 1e9), global_batch=128, seq_len=8192, top=1).best
    print(f"{gigabytes_per_s:4} GB/s: {best.step_time_s:.3f} s a step, {best.mfu:.1%} MFU")
