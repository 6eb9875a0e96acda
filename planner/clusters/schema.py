"""What a cluster file may say."""

import itertools
import reprlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from meshwright.cost_models.cluster import UNBOUNDED
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
Count = Annotated[int, Field(strict=True, gt=0, lt=UNBOUNDED)]
Extent = Annotated[
    int,
    BeforeValidator(lambda value: UNBOUNDED if value == "all" else value),
    Field(strict=True, gt=0, le=UNBOUNDED),
]
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
    num_cores: Cores = 0.0
    power: Power = 0.0
    price: Price = 0.0
    peak_flops: Annotated[dict[str, Compute], Field(min_length=1)]
    typical_nodes: dict[Count, Name] = Field(default_factory=dict)
    sources: dict[str, str] = Field(default_factory=dict)


class LevelDescription(_Described):
    """One link level; a shared one gives the bandwidth of all devices of a node together."""

    name: Name
    extent: Extent
    bandwidth: Bandwidth
    latency: Time
    shared: bool = False
    in_network_reduction: bool = False
    partial: dict[Count, Bandwidth] = Field(default_factory=dict)


class TierDescription(_Described):
    """Memory of a node outside its devices; a shared one gives the rates of all its devices together."""

    name: Literal["host", "cxl", "nvme"]
    capacity: Size
    read: Bandwidth
    write: Bandwidth
    shared: bool = False
    link: Bandwidth = 0.0
    latency: Time = 0.0
    parts: Count = 1
    through_host: bool = False
    endurance: Size = 0.0


Device = Annotated[
    Annotated[Name, Tag("name")] | Annotated[AcceleratorDescription, Tag("description")],
    Discriminator(lambda value: "description" if isinstance(value, dict) else "name"),
]


class PoolDescription(_Described):
    """Equal nodes of equal devices."""

    name: Name = ""
    accelerator: Device
    nodes: Count
    devices_per_node: Count
    levels: Annotated[list[LevelDescription], Field(min_length=1)]
    tiers: list[TierDescription] = Field(default_factory=list)
    node_power: Power = 0.0
    host_memory_bandwidth: Bandwidth = 0.0
    numa_nodes: Count = 1
    numa_link: Bandwidth = 0.0
    cpu_adam: Bandwidth = 0.0

    @field_validator("accelerator")
    @classmethod
    def _is_known(cls, described: str | AcceleratorDescription) -> str | AcceleratorDescription:
        if isinstance(described, str):
            try:
                accelerator(described)
            except ClusterError as error:
                raise ValueError(str(error)) from None
        return described

    @field_validator("levels")
    @classmethod
    def _are_nested(cls, levels: list[LevelDescription]) -> list[LevelDescription]:
        problems = _nesting_problems(levels)
        if problems:
            raise ValueError("; ".join(problems))
        return levels

    @model_validator(mode="after")
    def _joins_all_devices(self) -> Self:
        last, devices = self.levels[-1], self.nodes * self.devices_per_node
        if last.extent < devices:
            raise ValueError(
                f"the last link level, {last.name!r}, joins {last.extent} devices, but {self.nodes} nodes of"
                f" {self.devices_per_node} have {devices}: add a level with `extent: all`"
            )
        return self


def _nesting_problems(levels: Sequence[LevelDescription]) -> list[str]:
    return [
        f"link level {upper.name!r} (extent {_shown(upper.extent)}) must hold several whole domains of the"
        f" one before it, {lower.name!r} (extent {_shown(lower.extent)})"
        for lower, upper in itertools.pairwise(levels)
        if upper.extent <= lower.extent or (upper.extent != UNBOUNDED and upper.extent % lower.extent)
    ]


def _shown(extent: int) -> str:
    return "all" if extent == UNBOUNDED else str(extent)


class ClusterDescription(_Described):
    """A cluster file."""

    name: Name = ""
    title: Name = ""
    pools: Annotated[list[PoolDescription], Field(min_length=1)]
    sources: dict[str, str] = Field(default_factory=dict)


def problems_in(file: Any) -> list[str]:
    """Everything wrong with a parsed cluster file, each with its place: `pools[0].levels[1].bandwidth`."""
    try:
        ClusterDescription.model_validate(file)
    except ValidationError as error:
        return [_said(problem["loc"], problem["type"], problem["msg"], problem["input"]) for problem in error.errors()]
    return []


def _said(place: tuple[int | str, ...], kind: str, message: str, value: object) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place if step != "description"]
    where = "".join(steps).removesuffix(".name" if place[-2:] == ("accelerator", "name") else "").lstrip(".")
    match kind:
        case "extra_forbidden":
            what = "there is no such key"
        case "missing":
            what = "this key is missing"
        case "value_error":
            what = message.removeprefix("Value error, ")
        case "model_type" | "dict_type":
            what = f"a mapping is needed, but got {reprlib.repr(value)}"
        case _:
            what = f"{message}, but got {reprlib.repr(value)}"
    return f"{where or 'the file'}: {what}"
