"""Data-parallel collectives on the link on which stages send: sends go first, collectives get what is left."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.simulator.side_tasks import SideTasks
from meshwright.cost_models.simulator.step_graph import StepGraph
from meshwright.cost_models.task_graph import end_times

FloatArray = NDArray[np.float64]

_MAX_ROUNDS = 20
"""Longer collectives meet more sends, which makes them longer; two or three rounds are usual."""


def share_links(step: StepGraph, end_s: FloatArray) -> tuple[StepGraph, FloatArray]:
    """Lengthens gathers and reductions by the sends that they meet, until they meet no more.

    A short message that shares a link fairly with a long one delays it by just its own time, and is itself delayed
    by no more than that; the latter is left out.

    Args:
        step: The step, simulated with links of their own.
        end_s: When its tasks end, (num_tasks,).

    Returns:
        The step with longer collectives, and when its tasks end.
    """
    collectives = [step.side[name] for name in ("gather", "reduce") if name in step.side]
    base_s = step.graph.duration_s
    for _ in range(_MAX_ROUNDS):
        duration_s = step.graph.duration_s.copy()
        for side in collectives:
            met_s = _sends_met(step, end_s, side)
            duration_s[side.tasks] = np.maximum(duration_s[side.tasks], base_s[side.tasks] + met_s)
        if np.allclose(duration_s, step.graph.duration_s, rtol=1e-9, atol=0.0):
            break
        step = replace(step, graph=replace(step.graph, duration_s=duration_s))
        end_s = end_times(step.graph)
    return step, end_s


def send_windows(step: StepGraph, end_s: FloatArray) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """The ops that send, and when their messages occupy the link of their device: ops, starts and ends."""
    inputs = step.inputs
    (ops,) = np.nonzero(inputs.sent_s)
    is_queued = inputs.queued[ops] >= 0
    sent_s = end_s[np.where(is_queued, inputs.queued[ops], ops)] + np.where(is_queued, 0.0, inputs.sent_s[ops])
    return ops, sent_s - inputs.sent_s[ops], sent_s


def _sends_met(step: StepGraph, end_s: FloatArray, side: SideTasks) -> FloatArray:
    """Seconds that every collective shares with sends of its device, (num_tasks,)."""
    ops, begin_s, stop_s = send_windows(step, end_s)
    sender = step.orders.device[ops]
    met_s = np.zeros(len(side.device))
    until_s = end_s[side.tasks]
    since_s = until_s - step.graph.duration_s[side.tasks]
    for device in np.unique(side.device):
        mine, here = side.device == device, sender == device
        if not here.any():
            continue
        sent_s = np.cumsum(stop_s[here] - begin_s[here])
        times_s = np.stack([begin_s[here], stop_s[here]], axis=1).ravel()
        link_s = np.stack([sent_s - (stop_s[here] - begin_s[here]), sent_s], axis=1).ravel()
        met_s[mine] = np.interp(until_s[mine], times_s, link_s) - np.interp(since_s[mine], times_s, link_s)
    return met_s
