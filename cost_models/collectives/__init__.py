"""How long collectives take over the nested link levels of a cluster.

A group is `size` ranks, `stride` apart in the device numbering; all groups of that shape run at once on the
whole cluster. A level's bandwidth belongs to each device: the members of a group in one domain add theirs
up, and groups side by side take nothing from each other.
"""

from meshwright.cost_models.collectives.rates import CollectiveRates
from meshwright.cost_models.collectives.times import (
    all_gather_time_s,
    all_reduce_time_s,
    all_to_all_time_s,
    reduce_scatter_time_s,
    send_recv_time_s,
)

__all__ = [
    "CollectiveRates",
    "all_gather_time_s",
    "all_reduce_time_s",
    "all_to_all_time_s",
    "reduce_scatter_time_s",
    "send_recv_time_s",
]
