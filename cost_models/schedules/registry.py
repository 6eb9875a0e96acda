"""All schedules by name."""

from collections.abc import Mapping
from types import MappingProxyType

from meshwright.cost_models.schedules.controllable_memory import V_HALF, V_MIN
from meshwright.cost_models.schedules.dualpipe import DualPipe, DualPipeV
from meshwright.cost_models.schedules.one_f_one_b import GPipe, Interleaved, OneFOneB
from meshwright.cost_models.schedules.protocol import PipelineSchedule
from meshwright.cost_models.schedules.vocabulary_parallel import VocabularyParallel
from meshwright.cost_models.schedules.zero_bubble import ZeroBubble
from meshwright.cost_models.schedules.zero_bubble_v import ZeroBubbleV
from meshwright.errors import AxisError

_ALL: tuple[PipelineSchedule, ...] = (
    GPipe(),
    OneFOneB(),
    Interleaved(),
    ZeroBubble("zb-h1", pipelines_in_flight=1),
    ZeroBubble("zb-h2", pipelines_in_flight=2),
    ZeroBubbleV(),
    V_HALF,
    V_MIN,
    DualPipe(),
    DualPipeV(),
    VocabularyParallel("vocab-1", num_barriers=2),
    VocabularyParallel("vocab-2", num_barriers=1),
)

SCHEDULES: Mapping[str, PipelineSchedule] = MappingProxyType({schedule.name: schedule for schedule in _ALL})
"""Every schedule but `custom`, which has no orders of its own."""


def schedule_named(name: str) -> PipelineSchedule:
    """The schedule of a name.

    Raises:
        AxisError: There is none.
    """
    try:
        return SCHEDULES[name]
    except KeyError:
        raise AxisError(f"there is no schedule {name!r}; known are {', '.join(SCHEDULES)}") from None
