"""Pipeline schedules: who runs which pass when, how long they idle and what they hold."""

from meshwright.cost_models.schedules.custom import Custom, custom_schedule
from meshwright.cost_models.schedules.legality import check_legality
from meshwright.cost_models.schedules.orders import OpKind, Orders, StageMap, loop_stages, v_stages
from meshwright.cost_models.schedules.protocol import PipelineSchedule, PipelineShape
from meshwright.cost_models.schedules.registry import SCHEDULES, schedule_named

__all__ = [
    "SCHEDULES",
    "Custom",
    "OpKind",
    "Orders",
    "PipelineSchedule",
    "PipelineShape",
    "StageMap",
    "check_legality",
    "custom_schedule",
    "loop_stages",
    "schedule_named",
    "v_stages",
]
