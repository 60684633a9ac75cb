"""Kinds of problems, each with its targets, loss, head, metrics and progress: one file each, one table of all."""

from foretoll.tasks.base import Direction, Metric, Tally, TargetScale, Task, Whole
from foretoll.tasks.table import (
    TASKS,
    check_metric,
    check_until,
    get_task,
    known_metric,
    metric,
    metric_names,
    recognised,
    register_task,
)

__all__ = [
    "TASKS",
    "Direction",
    "Metric",
    "Tally",
    "TargetScale",
    "Task",
    "Whole",
    "check_metric",
    "check_until",
    "get_task",
    "known_metric",
    "metric",
    "metric_names",
    "recognised",
    "register_task",
]
