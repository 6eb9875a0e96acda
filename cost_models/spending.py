"""Money and energy of a step."""

from meshwright.cost_models.candidates import FloatColumn
from meshwright.cost_models.cluster import Cluster

SECONDS_PER_HOUR = 3600.0


def cost_usd(cluster: Cluster, step_time_s: FloatColumn) -> FloatColumn | None:
    """US dollars of a step at the devices' typical rental price; None where no price is known."""
    price = cluster.accelerator.price_usd_per_hour
    return None if price is None else step_time_s * (cluster.num_devices * price / SECONDS_PER_HOUR)


def energy_j(cluster: Cluster, step_time_s: FloatColumn) -> FloatColumn | None:
    """Joules of a step with every device at its power limit and every node at its own; an upper bound.

    None where no power limit is known.
    """
    if not cluster.accelerator.power_w:
        return None
    power_w = cluster.num_devices * cluster.accelerator.power_w + cluster.num_nodes * cluster.node_power_w
    return step_time_s * power_w
