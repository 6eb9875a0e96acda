"""Whether a schedule can run at all: every op once, on its own device, in an order that can't deadlock."""

import numpy as np
from numpy.typing import NDArray

from meshwright.cost_models.schedules.dependencies import dependencies
from meshwright.cost_models.schedules.orders import OP_SYMBOLS, OpKind, Orders
from meshwright.cost_models.task_graph import DeadlockError, TaskGraphBuilder, Wait, end_times
from meshwright.errors import AxisError

IntArray = NDArray[np.int64]

_MAX_SHOWN = 5


def check_legality(orders: Orders) -> None:
    """Proves that the devices can run these orders to the end.

    Raises:
        AxisError: Says every kind of fault found, with the first ops that show it.
    """
    # Later checks index by stage and micro-batch, or look for ops that an earlier check has missed.
    for check in (_out_of_range, _not_once, _wrong_sequence, _deadlocks):
        if problems := check(orders):
            raise AxisError(problems)


def _op_name(orders: Orders, op: int) -> str:
    """An op as messages name it, such as `F(micro-batch 3, stage 1) on device 1`."""
    symbol = OP_SYMBOLS[orders.kind[op]]
    where = f"on device {orders.device[op]}"
    return f"{symbol}(micro-batch {orders.micro_batch[op]}, stage {orders.stage[op]}) {where}"


def _named(orders: Orders, ops: IntArray) -> str:
    names = "; ".join(_op_name(orders, int(op)) for op in ops[:_MAX_SHOWN])
    return names + (f"; and {len(ops) - _MAX_SHOWN} more" if len(ops) > _MAX_SHOWN else "")


def _out_of_range(orders: Orders) -> list[str]:
    problems = []
    for name, values, limit in (
        ("kind", orders.kind, len(OpKind)),
        ("micro-batch", orders.micro_batch, orders.num_micro_batches),
        ("stage", orders.stage, orders.stages.num_stages),
    ):
        bad = values[(values < 0) | (values >= limit)]
        if bad.size:
            problems.append(f"`0 <= {name} < {limit}` must hold, but the schedule has {name} {bad[0]}")
    if not problems:
        (strangers,) = np.nonzero(orders.stages.device[orders.stage] != orders.device)
        if strangers.size:
            problems.append(f"ops of stages that live elsewhere: {_named(orders, strangers)}")
    (dangling,) = np.nonzero(orders.overlaps_next)
    if dangling.size and (np.isin(dangling + 1, orders.device_start).any() or (np.diff(dangling) == 1).any()):
        problems.append("only pairs of ops of one device can overlap")
    return problems


def _not_once(orders: Orders) -> list[str]:
    """Every micro-batch passes all stages of one chain forward once, and each of them backward once."""
    stages = orders.stages
    count = np.zeros((len(OpKind), stages.num_stages, orders.num_micro_batches), np.int64)
    np.add.at(count, (orders.kind, orders.stage, orders.micro_batch), 1)
    if (count > 1).any():
        kind, stage, micro_batch = np.argwhere(count > 1)[0]
        return [f"{OP_SYMBOLS[kind]}(micro-batch {micro_batch}, stage {stage}) is listed twice"]
    forward, whole, for_input, for_weight = count
    passed = forward[~stages.is_shard].reshape(stages.num_chains, stages.chain_length, -1).sum(axis=1)
    complete = ((passed == stages.chain_length).sum(axis=0) == 1) & ((passed > 0).sum(axis=0) == 1)
    complete &= forward[stages.is_shard].all(axis=0)
    if not complete.all():
        return [f"micro-batch {np.argmin(complete)} doesn't pass every stage of one copy of the model forward"]
    # With one barrier (Vocab-2) a shard's forward pass makes its input's gradient too, so that only W is left.
    for_input[stages.is_shard] = for_weight[stages.is_shard]
    once = (whole + for_input == forward) & (for_input == for_weight)
    if not once.all():
        stage, micro_batch = np.argwhere(~once)[0]
        return [f"stage {stage} must run micro-batch {micro_batch} backward once: either BW, or B and W"]
    return []


def _wrong_sequence(orders: Orders) -> list[str]:
    """F before B, B before W on their device; output shards in the order of micro-batches (they are collectives)."""
    key = orders.stage * orders.num_micro_batches + orders.micro_batch
    rank = np.choose(orders.kind, (0, 1, 1, 2))
    by_key = np.lexsort((np.arange(len(orders)), key))
    early = (np.diff(key[by_key]) == 0) & (np.diff(rank[by_key]) < 0)
    problems = []
    if early.any():
        problems.append(f"passes that run before what they need: {_named(orders, by_key[:-1][early])}")
    on_shard = orders.stages.is_shard[orders.stage]
    for rank_value in (0, 1, 2):
        (ops,) = np.nonzero(on_shard & (rank == rank_value))
        same = np.diff(orders.stage[ops]) == 0
        if (same & (np.diff(orders.micro_batch[ops]) < 0)).any():
            problems.append("the shards of the output layer must run micro-batches in order, as collectives do")
            break
    return problems


def _deadlocks(orders: Orders) -> list[str]:
    """Runs the ops without any times."""
    needs = dependencies(orders)
    no_time = np.zeros(needs.num_tasks)
    builder = TaskGraphBuilder()
    waits = [Wait(needs.source, no_time), Wait(needs.partner, no_time)]
    builder.add(np.diff(needs.stream_start), no_time, waits if needs.has_partners else waits[:1])
    try:
        end_times(builder.build())
    except DeadlockError as deadlock:
        blocked = deadlock.tasks[deadlock.tasks < len(orders)]
        return [f"the devices wait for each other for ever at {_named(orders, blocked)}"]
    return []
