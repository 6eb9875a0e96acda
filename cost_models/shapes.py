"""The work of one micro-batch on one device: the axes that decide kernel shapes, each distinct combination once."""

from dataclasses import dataclass

import numpy as np

from meshwright.cost_models.candidates import BoolColumn, Candidates, FloatColumn, IntColumn, Sharding
from meshwright.cost_models.job import Job

KEY_BASE = 2**12
"""Five degrees below it fit one 64-bit number."""


@dataclass(frozen=True)
class Shapes:
    """Distinct rows of the axes up to `hooked`; columns have shape (num_shapes,).

    Attributes:
        micro_batch: Sequences of a micro-batch.
        tp: Tensor-parallel ranks.
        cp: Context-parallel ranks.
        ep: Expert-parallel ranks.
        etp: Expert-tensor-parallel ranks.
        sequence_parallel: Whether the residual stream is divided over the tp ranks.
        stages_apart: Whether pipeline stages on several nodes hold up collectives.
        hooked: Whether ZeRO-3's hooks cost the host time.
        tokens: Tokens of the micro-batch on one device (its context-parallel share of every sequence).
        stream_tokens: Tokens of the residual stream that one device holds (divided by tp under sequence parallelism).
    """

    micro_batch: IntColumn
    tp: IntColumn
    cp: IntColumn
    ep: IntColumn
    etp: IntColumn
    sequence_parallel: BoolColumn
    stages_apart: BoolColumn
    hooked: BoolColumn
    tokens: FloatColumn
    stream_tokens: FloatColumn

    def __len__(self) -> int:
        return len(self.tp)

    def positions(self, others: "Shapes") -> IntColumn | None:
        """Index of every other shape among these; None unless all are among them."""
        own, wanted = self._keys, others._keys  # noqa: SLF001 - its own class
        if own is None or wanted is None:
            return None
        order = np.argsort(own)
        found = order[np.minimum(np.searchsorted(own, wanted, sorter=order), len(own) - 1)]
        return found if bool(np.all(own[found] == wanted)) else None

    @property
    def _keys(self) -> IntColumn | None:
        """One number for every shape; None where a degree is too large for that."""
        columns = (self.micro_batch, self.tp, self.cp, self.ep, self.etp)
        if any(int(column.max(initial=0)) >= KEY_BASE for column in columns):
            return None
        key = _flags(self.sequence_parallel, self.stages_apart, self.hooked)
        for column in columns:
            key = key * KEY_BASE + column
        return np.asarray(key)

    @property
    def expert_tokens(self) -> FloatColumn:
        """Tokens that one device brings to the expert layer (each tp rank brings its own share)."""
        return self.tokens / self.tp


def pack(*columns: IntColumn) -> IntColumn:
    """One integer key a row from several small non-negative columns (mixed radix)."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        key = key * (int(column.max(initial=0)) + 1) + column
    return key


def distinct_rows(*columns: IntColumn) -> tuple[IntColumn, IntColumn]:
    """First row of every distinct combination, and for each row the index of its combination."""
    _, first, index = np.unique(pack(*columns), return_index=True, return_inverse=True)
    return first.astype(np.int64), index.reshape(-1).astype(np.int64)


def stages_apart(job: Job, candidates: Candidates) -> BoolColumn:
    """Whether pipeline stages lie on several nodes, where the framework minds: they are the outermost axis."""
    minds = job.framework.collective_stall_s > 0 and job.cluster.num_devices > job.cluster.devices_per_node
    return (candidates.pp > 1) & (candidates.tp > 1) & minds


def _flags(*flags: BoolColumn) -> IntColumn:
    """One bit for each flag."""
    return np.asarray(sum(flag.astype(np.int64) << bit for bit, flag in enumerate(flags)))


def distinct_shapes(job: Job, candidates: Candidates) -> tuple[Shapes, IntColumn]:
    """The distinct shapes of a table, and each row's index into them."""
    c = candidates
    apart = stages_apart(job, c)
    hooked = (c.sharding >= Sharding.ZERO3) & (job.framework.shard_hooks_s > 0)
    flags = _flags(c.sequence_parallel, apart, hooked)
    first, index = distinct_rows(c.micro_batch, c.tp, c.cp, c.ep, c.etp, flags)
    row = c[first]
    tokens = row.micro_batch * (job.workload.seq_len / row.cp)
    shapes = Shapes(
        micro_batch=row.micro_batch,
        tp=row.tp,
        cp=row.cp,
        ep=row.ep,
        etp=row.etp,
        sequence_parallel=row.sequence_parallel,
        stages_apart=apart[first],
        hooked=hooked[first],
        tokens=tokens,
        stream_tokens=np.where(row.sequence_parallel, tokens / row.tp, tokens),
    )
    return shapes, index
