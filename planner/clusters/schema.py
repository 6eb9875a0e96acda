"""What a cluster file may say."""

import itertools
import reprlib
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from meshwright.errors import ClusterError
from meshwright.planner.clusters.catalog import accelerator
from meshwright.planner.clusters.units import quantity


def _in(dimension: str) -> BeforeValidator:
    return BeforeValidator(lambda text: quantity(text, dimension))


Size = Annotated[float, _in("size")]
Bandwidth = Annotated[float, _in("bandwidth")]
Compute = Annotated[float, _in("compute")]
Time = Annotated[float, _in("time")]
Power = Annotated[float, _in("power")]
Price = Annotated[float, _in("price")]
Cores = Annotated[float, _in("cores")]
Count = Annotated[int, Field(strict=True, gt=0, lt=2**31)]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AcceleratorDescription(_Described):
    """One device; `cost_models.cluster.Accelerator` says what the fields mean."""

    name: Name
    title: Name = ""
    kind: str = ""
    memory: Size
    memory_bandwidth: Bandwidth
    num_cores: Cores | None = None
    power: Power | None = None
    price: Price | None = None
    peak_flops: Annotated[dict[str, Compute], Field(min_length=1)]
    typical_nodes: dict[Count, Name] = Field(default_factory=dict)
    sources: dict[str, str] = Field(default_factory=dict)


class LevelDescription(_Described):
    """One link level; a shared one gives the bandwidth of all devices behind it."""

    name: Name
    extent: Count | Literal["all"]
    bandwidth: Bandwidth
    latency: Time
    shared: bool = False
    in_network_reduction: bool = False


class TierDescription(_Described):
    """Memory of a node outside its devices; a shared one gives the rates of all devices of the node together."""

    name: Literal["host", "cxl", "nvme"]
    capacity: Size
    read: Bandwidth
    write: Bandwidth
    shared: bool = False


class PoolDescription(_Described):
    """Equal nodes of equal devices."""

    name: Name | None = None
    accelerator: Name | AcceleratorDescription
    nodes: Count
    devices_per_node: Count
    levels: Annotated[list[LevelDescription], Field(min_length=1)]
    tiers: list[TierDescription] = Field(default_factory=list)
    node_power: Power | None = None
    host_memory_bandwidth: Bandwidth | None = None

    @field_validator("accelerator")
    @classmethod
    def _is_known(cls, described: str | AcceleratorDescription) -> str | AcceleratorDescription:
        if isinstance(described, str):
            try:
                accelerator(described)
            except ClusterError as error:
                raise ValueError(str(error)) from None
        return described

    @model_validator(mode="after")
    def _joins_all_devices(self) -> "PoolDescription":
        problems = [*_nesting_problems(self.levels), *self._reach_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _reach_problems(self) -> list[str]:
        last, devices = self.levels[-1], self.nodes * self.devices_per_node
        if last.extent == "all" or last.extent >= devices:
            return []
        return [
            f"the last link level, {last.name!r}, joins {last.extent} devices, but there are {self.nodes} nodes"
            f" x {self.devices_per_node} = {devices}: add a level with `extent: all`"
        ]


def _nesting_problems(levels: list[LevelDescription]) -> list[str]:
    return [
        f"link level {upper.name!r} (extent {upper.extent}) must hold whole domains of {lower.name!r}"
        f" (extent {lower.extent}), and more than one"
        for lower, upper in itertools.pairwise(levels)
        if lower.extent == "all"
        or (upper.extent != "all" and (upper.extent % lower.extent or upper.extent <= lower.extent))
    ]


class ClusterDescription(_Described):
    """A cluster file."""

    name: Name | None = None
    title: Name = ""
    pools: Annotated[list[PoolDescription], Field(min_length=1)]
    sources: dict[str, str] = Field(default_factory=dict)


def problems_in(file: Any) -> list[str]:
    """Everything wrong with a parsed cluster file, each with its place, such as `pools[0].levels[1].bandwidth`."""
    try:
        ClusterDescription.model_validate(file)
    except ValidationError as error:
        return [
            _said(problem["loc"], problem["type"], problem["msg"], problem["input"])
            for problem in error.errors()
        ]
    return []


def _said(place: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    where = (
        "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".") or "file"
    )
    if kind == "extra_forbidden":
        return f"{where}: there is no such key"
    if kind == "missing":
        return f"{where}: this key is missing"
    if kind == "value_error":
        return f"{where}: {message.removeprefix('Value error, ')}"
    return f"{where}: {message}, but got {reprlib.repr(value)}"
