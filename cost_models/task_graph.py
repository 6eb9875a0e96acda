"""The discrete-event core: tasks on streams, each as early as its stream and what it waits for allow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


class DeadlockError(Exception):
    """Some streams wait for each other for ever.

    Args:
        tasks: The next task of every stream that is stuck.
    """

    def __init__(self, tasks: IntArray) -> None:
        self.tasks = tasks
        super().__init__(f"{len(tasks)} streams wait for each other")


@dataclass(frozen=True)
class Wait:
    """For every task of a group, a task that must have ended before it starts.

    Attributes:
        task: Its number, (num_tasks,) int64; -1 for none.
        lag_s: What passes between that end and the earliest start, (num_tasks,) float64.
    """

    task: IntArray
    lag_s: FloatArray

    @classmethod
    def at_end(cls, task: IntArray) -> "Wait":
        """A wait without any lag."""
        return cls(task, np.zeros(len(task)))


@dataclass(frozen=True)
class TaskGraph:
    """Tasks on streams. A stream runs one task at a time, in the order of their numbers.

    Attributes:
        stream_start: Stream s runs tasks [s, s + 1) of it, (num_streams + 1,) int64.
        duration_s: (num_tasks,) float64.
        pause_s: How long a stream does nothing before a task, (num_tasks,) float64.
        wait: What tasks wait for; with more than one wait, the others go through relays (`TaskGraphBuilder`).
    """

    stream_start: IntArray
    duration_s: FloatArray
    pause_s: FloatArray
    wait: Wait

    @property
    def num_tasks(self) -> int:
        """Tasks of all streams."""
        return len(self.duration_s)


def end_times(graph: TaskGraph) -> FloatArray:
    """When every task ends, (num_tasks,), if all streams start at time 0: the longest path to it.

    All streams advance in lock-step: in every round each of them runs its next task, if what that waits for is known.
    No event queue is needed, as the order on a stream doesn't depend on times, and no compiled code, as a round
    costs a dozen NumPy calls however many streams there are.

    Raises:
        DeadlockError: Tasks wait for each other in a circle.
    """
    num_tasks = graph.num_tasks
    # One entry more, for the task after the last; and for "no task", which is number -1 and ended at time 0.
    wait, lag_s = np.append(graph.wait.task, -1), np.append(graph.wait.lag_s, 0.0)
    end_s = np.full(num_tasks + 1, np.inf)
    end_s[-1] = 0.0
    head, stop = graph.stream_start[:-1].copy(), graph.stream_start[1:]
    free_s = np.zeros(len(head))
    has_pauses, num_done = bool(graph.pause_s.any()), 0
    while num_done < num_tasks:
        ready_s = end_s[wait[head]] + lag_s[head]
        (streams,) = ((ready_s < np.inf) & (head < stop)).nonzero()
        if not streams.size:
            raise DeadlockError(head[head < stop])
        task = head[streams]
        start_s = free_s[streams]
        if has_pauses:
            start_s += graph.pause_s[task]
        np.maximum(start_s, ready_s[streams], out=start_s)
        start_s += graph.duration_s[task]
        end_s[task] = free_s[streams] = start_s
        head[streams] = task + 1
        num_done += task.size
    return end_s[:-1]


class TaskGraphBuilder:
    """Collects groups of tasks into one graph."""

    def __init__(self) -> None:
        self.num_tasks = 0
        self._lengths: list[IntArray] = []
        self._duration_s: list[FloatArray] = []
        self._pause_s: list[FloatArray] = []
        self._waits: list[list[Wait]] = []

    def add(
        self,
        stream_lengths: IntArray,
        duration_s: FloatArray,
        waits: Sequence[Wait] = (),
        pause_s: FloatArray | None = None,
    ) -> int:
        """Adds tasks on streams of their own, stream after stream.

        Args:
            stream_lengths: Tasks of every stream, (num_streams,) int64.
            duration_s: (num_tasks,) float64.
            waits: What they wait for.
            pause_s: How long a stream does nothing before a task, (num_tasks,) float64; None for not at all.

        Returns:
            The number of the first of them.
        """
        first = self.num_tasks
        self.num_tasks += len(duration_s)
        self._lengths.append(stream_lengths)
        self._duration_s.append(duration_s)
        self._pause_s.append(np.zeros(len(duration_s)) if pause_s is None else pause_s)
        self._waits.append(list(waits))
        return first

    def add_wait(self, group: int, wait: Wait) -> None:
        """Lets the tasks of the nth group wait for one more."""
        self._waits[group].append(wait)

    def build(self) -> TaskGraph:
        """The graph of all groups."""
        for group in range(len(self._waits)):
            if len(self._waits[group]) > 1:
                self._relay(group)
        waits = [
            found[0] if found else Wait.at_end(np.full(len(times), -1))
            for found, times in zip(self._waits, self._duration_s, strict=True)
        ]
        return TaskGraph(
            stream_start=np.concatenate([[0], np.cumsum(np.concatenate(self._lengths))]).astype(np.int64),
            duration_s=np.concatenate(self._duration_s),
            pause_s=np.concatenate(self._pause_s),
            wait=Wait(np.concatenate([w.task for w in waits]), np.concatenate([w.lag_s for w in waits])),
        )

    def _relay(self, group: int) -> None:
        """Leaves every task of a group one wait: if it has more, the last of its relays.

        Relays take no time and wait for one task each. Those of a stream's tasks are a stream, in the same order, so
        a relay is only ever behind relays of tasks that come earlier anyway.
        """
        waits = self._waits[group]
        merged = Wait(waits[0].task.copy(), waits[0].lag_s.copy())
        for wait in waits[1:]:
            (only,) = ((merged.task < 0) & (wait.task >= 0)).nonzero()
            merged.task[only], merged.lag_s[only] = wait.task[only], wait.lag_s[only]
        (many,) = np.nonzero(np.sum([wait.task >= 0 for wait in waits], axis=0) > 1)
        task = np.stack([wait.task[many] for wait in waits], axis=1)
        lag_s = np.stack([wait.lag_s[many] for wait in waits], axis=1)
        of, nth = np.nonzero(task >= 0)
        stream = np.searchsorted(np.cumsum(self._lengths[group]), many[of], "right")
        lengths = np.bincount(stream, minlength=len(self._lengths[group]))
        first = self.add(lengths, np.zeros(len(of)), [Wait(task[of, nth], lag_s[of, nth])])
        merged.task[many[of]], merged.lag_s[many] = first + np.arange(len(of)), 0.0
        self._waits[group] = [merged]


def disjoint_union(graphs: Sequence[TaskGraph]) -> TaskGraph:
    """Several graphs as one, task after task: many small ones take no more rounds than the longest alone."""
    if len(graphs) == 1:
        return graphs[0]
    builder = TaskGraphBuilder()
    for graph in graphs:
        task = np.where(graph.wait.task < 0, -1, graph.wait.task + builder.num_tasks)
        builder.add(np.diff(graph.stream_start), graph.duration_s, [Wait(task, graph.wait.lag_s)], graph.pause_s)
    return builder.build()
