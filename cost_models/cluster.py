"""A cluster of equal accelerators: what one device can do, and the link levels between devices."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from meshwright.errors import ClusterError, MissingDataError

UNBOUNDED = 2**31 - 1
"""Extent of a link level that spans a cluster of any size."""


@dataclass(frozen=True)
class Accelerator:
    """One device as its data sheet describes it.

    Attributes:
        name: Catalog name, such as `h100-80gb`.
        peak_flops: Dense peak in FLOP/s by precision (`fp32`, `tf32`, `fp16`, `bf16`, `fp8`, `nvfp4`, ...).
        memory_bytes: Device memory that a process can see, before any context.
        memory_bandwidth_bytes_per_s: Peak device-memory bandwidth.
        num_cores: Units that a kernel's tiles are spread over (SMs, CUs, tensor cores); 0 if unknown.
        power_w: Board or module power limit in watts.
        price_usd_per_hour: Typical rental price of one device; None if unknown.
        kind: Make of the matrix unit, such as `nvidia-hopper`: picks the kernel calibration.
    """

    name: str
    peak_flops: Mapping[str, float]
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    num_cores: int = 0
    power_w: float = 0.0
    price_usd_per_hour: float | None = None
    kind: str = ""

    def peak_flops_at(self, precision: str) -> float:
        """Dense peak in FLOP/s at a precision.

        Raises:
            MissingDataError: The data sheet has no figure for it.
        """
        try:
            return self.peak_flops[precision]
        except KeyError:
            known = ", ".join(sorted(self.peak_flops))
            raise MissingDataError(
                f"{self.name} has no peak FLOP/s for {precision!r}; its data sheet gives {known}"
            ) from None


@dataclass(frozen=True, slots=True)
class LinkLevel:
    """One level of the network: devices within `extent` of each other reach each other over it.

    Attributes:
        name: Such as `nvlink` or `infiniband`.
        extent: Devices in one domain of this level, those of the levels below included. The last level spans
            all devices; its extent is `UNBOUNDED` where it would span any number of them.
        bandwidth_bytes_per_s: One direction, per device (a shared link's bandwidth is already divided by
            those that share it).
        latency_s: Time for an empty message between two devices.
        in_network_reduction: Whether switches add up on the way (NVLS, SHARP).
        partial_bandwidths: Where devices are linked to each other and not to a switch, what few of them in one domain
            get, as some links lead elsewhere: (members at most, bytes/s of each), from the smallest on.
    """

    name: str
    extent: int
    bandwidth_bytes_per_s: float
    latency_s: float
    in_network_reduction: bool = False
    partial_bandwidths: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryTier:
    """A store outside the device's own memory: host DRAM, CXL memory, NVMe.

    Attributes:
        name: `host`, `cxl` or `nvme`.
        capacity_bytes: Per device (a node's capacity divided by its devices).
        read_bytes_per_s: Towards the device, per device, all devices of a node at once.
        write_bytes_per_s: From the device, likewise.
        link_bytes_per_s: Of a device's own link, each way: what it gets while the others rest; 0 if no more than
            what all get at once.
        latency_s: Of one access that moves next to nothing.
        num_parts: CXL cards or drives of a node that the capacity and the rates are spread over.
        through_host: Whether bytes stop in host memory on their way (a drive without direct access from the device).
        endurance_bytes: Bytes that may be written over its life, per device; 0 where nothing limits them.
    """

    name: str
    capacity_bytes: float
    read_bytes_per_s: float
    write_bytes_per_s: float
    link_bytes_per_s: float = 0.0
    latency_s: float = 0.0
    num_parts: int = 1
    through_host: bool = False
    endurance_bytes: float = 0.0


@dataclass(frozen=True)
class Cluster:
    """Equal devices in equal nodes, with nested link levels.

    Attributes:
        name: What reports call it.
        accelerator: The device.
        num_devices: Devices in all.
        devices_per_node: Devices in one node.
        levels: Link levels from the fastest and nearest to the one that spans all devices.
        tiers: Memory outside the devices, nearest first.
        node_power_w: Power of a node without its accelerators.
        host_memory_bandwidth_bytes_per_s: Of one node, all sockets; 0 if unknown.
        numa_nodes: NUMA nodes that a node's host memory is divided into.
        numa_link_bytes_per_s: Between the NUMA nodes of a node, one way, all links; 0 if unknown.
        cpu_adam_bytes_per_s: Of one node: bytes that its CPUs' Adam reads and writes in a second, where it was
            measured; 0 if it wasn't.
        sources: Title of each public document that the values come from, by the key that the file gives it.
    """

    name: str
    accelerator: Accelerator
    num_devices: int
    devices_per_node: int
    levels: tuple[LinkLevel, ...]
    tiers: tuple[MemoryTier, ...] = ()
    node_power_w: float = 0.0
    host_memory_bandwidth_bytes_per_s: float = 0.0
    numa_nodes: int = 1
    numa_link_bytes_per_s: float = 0.0
    cpu_adam_bytes_per_s: float = 0.0
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def num_nodes(self) -> int:
        """Nodes in all."""
        return self.num_devices // self.devices_per_node

    def resized(self, num_devices: int) -> "Cluster":
        """The same kind of cluster with another number of devices.

        Raises:
            ClusterError: More than one node is asked for, but not whole nodes, or more devices than the last
                link level spans.
        """
        if num_devices < 1:
            raise ClusterError(f"a cluster needs at least 1 device, but got {num_devices}")
        if num_devices > self.devices_per_node and num_devices % self.devices_per_node:
            below = num_devices - num_devices % self.devices_per_node
            raise ClusterError(
                f"{num_devices} GPUs don't make whole nodes of {self.name} ({self.devices_per_node} GPUs"
                f" each); ask for {below} or {below + self.devices_per_node}"
            )
        if self.levels and num_devices > self.levels[-1].extent:
            raise ClusterError(
                f"{self.name} can't have {num_devices} GPUs: its last link level, {self.levels[-1].name!r},"
                f" spans {self.levels[-1].extent}; add a level that joins more"
            )
        return replace(
            self,
            num_devices=num_devices,
            devices_per_node=min(self.devices_per_node, num_devices),
        )

    @cached_property
    def filled_levels(self) -> tuple[LinkLevel, ...]:
        """The link levels as a job on all devices sees them; see `evenly_filled`."""
        return evenly_filled(self.levels, self.num_devices)


def evenly_filled(levels: tuple[LinkLevel, ...], num_devices: int) -> tuple[LinkLevel, ...]:
    """The levels as a job of `num_devices` sees them: a scheduler fills all domains with equally many.

    256 devices take 64 of each of four 72-device racks, not 72 + 72 + 72 + 40 (Slurm's block topology,
    segments).
    """
    filled, below = list[LinkLevel](), 1
    for level in levels:
        domains = -(-num_devices // level.extent)
        while domains < num_devices and (num_devices % domains or num_devices // domains % below):
            domains += 1
        below = num_devices // domains
        filled.append(replace(level, extent=below))
    return tuple(filled)
