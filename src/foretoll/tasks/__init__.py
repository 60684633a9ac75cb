"""Kinds of problems, each with its targets, loss, head, metrics and progress: one file each, one table of all."""

from foretoll.tasks.base import Direction, Metric, Tally, TargetScale, Task, Whole
from foretoll.tasks.table import (
    OWN_METRICS,
    TASKS,
    Targets,
    check_metric,
    check_until,
    get_task,
    known_metric,
    metric,
    metric_names,
    read_targets,
    recognised,
    register_task,
)

__all__ = [
    "OWN_METRICS",
    "TASKS",
    "Direction",
    "Metric",
    "Tally",
    "TargetScale",
    "Targets",
    "Task",
    "Whole",
    "check_metric",
    "check_until",
    "get_task",
    "known_metric",
    "metric",
    "metric_names",
    "read_targets",
    "recognised",
    "register_task",
]
