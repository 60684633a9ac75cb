"""All tasks in one table, read without torch; and the metrics of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from foretoll.errors import UsageError, unknown_name
from foretoll.registry import Registry, instance_of
from foretoll.tasks.base import Direction, Metric, Task, Whole, named
from foretoll.tasks.binary import Binary
from foretoll.tasks.classification import Classification
from foretoll.tasks.language import Language
from foretoll.tasks.multilabel import Multilabel
from foretoll.tasks.regression import Regression
from foretoll.tasks.segmentation import Segmentation

if TYPE_CHECKING:
    import numpy.typing as npt

TASKS: dict[str, Task] = {
    task.name: task
    for task in (Classification(), Binary(), Regression(), Multilabel(), Language(), Segmentation())
}
"""By name; of several that recognise a target's form the last one is taken."""

OTHERS: Registry[Task] = Registry("task", "foretoll.tasks", {}, made=instance_of(Task))  # type: ignore[type-abstract]
"""Of other packages, by their entry points; imported when they are named."""

OWN_METRICS: dict[str, Metric] = {}
"""The user's own, by name: of any task, and of this process."""


def get_task(name: str) -> Task:
    """The task of that name; UsageError with the nearest names otherwise."""
    if name not in TASKS:
        if name not in OTHERS:
            raise UsageError(unknown_name("task", name, [*TASKS, *OTHERS]))
        register_task(OTHERS[name])
    return TASKS[name]


def register_task(task: Task) -> None:
    """Add a task of your own; its laws are those of `Task`."""
    TASKS[task.name] = task


def recognised(values: npt.NDArray[Any]) -> Task:
    """The task that targets of this form are taken for."""
    return next(task for task in reversed(TASKS.values()) if task.recognises(values))


class Targets(NamedTuple):
    """Targets as they are stored, the names of the outputs, and the task that they are of."""

    values: npt.NDArray[Any]
    names: tuple[str, ...]
    task: str


def read_targets(
    values: Any, where: str, *, names: Sequence[str] | None = None, task: str | None = None
) -> Targets:
    """Targets of the task that is named, else of the one that their form tells. Errors as `Task.read`."""
    import numpy as np

    found = get_task(task) if task is not None else recognised(np.asarray(values))
    return Targets(*found.read(values, where, names=names), found.name)


def metric_names() -> tuple[str, ...]:
    """The names of all metrics of all tasks, and of the user's own."""
    return tuple(dict.fromkeys([*(m.name for task in TASKS.values() for m in task.metrics), *OWN_METRICS]))


def known_metric(name: str, task: str | None = None) -> Metric | None:
    """The metric of that name, of one task or of the first that has it; None where there is none."""
    if name in OWN_METRICS:
        return OWN_METRICS[name]
    tasks = TASKS.values() if task is None else (get_task(task),)
    return next((metric for one in tasks if (metric := one.metric(name)) is not None), None)


def check_metric(name: str, task: str | None = None) -> str:
    """Return `name` if it is a known metric (of that task); raise UsageError with the nearest names otherwise."""
    if known_metric(name, task) is not None:
        return name
    if task is None or known_metric(name) is None:
        raise UsageError(unknown_name("metric", name, metric_names()))
    own = [metric.name for metric in get_task(task).metrics]
    raise UsageError(unknown_name(f"metric of {get_task(task).title}", name, [*own, *OWN_METRICS]))


def check_until(until: float, metric: str = "accuracy") -> float:
    """Return a quality target that values of the metric can meet; UsageError otherwise."""
    found = known_metric(check_metric(metric))
    return until if found is None else found.check_until(until)


def metric(
    function: Callable[..., Any],
    *,
    direction: Direction = "higher",
    name: str | None = None,
    best: float | None = None,
) -> Metric:
    """A metric of your own, to be named in the settings: ``TrainingSettings(metric=metric(f, direction="lower"))``.

    `function(outputs, targets)` gets what the model gives for all samples, (n, width) float32, and their targets, and
    returns a number. `best`: its best possible value, 1 where higher is better and 0 where lower is. The value of
    the best constant prediction is measured, and is where progress begins.
    """
    if direction not in ("higher", "lower"):
        raise UsageError(unknown_name("direction of a metric", direction, ("higher", "lower")))
    own = name or named(function)
    if any(one.metric(own) for one in TASKS.values()):
        raise UsageError(f"the name {own!r} is taken by a metric of foretoll: give another with name=")
    end = best if best is not None else (1.0 if direction == "higher" else 0.0)
    low, high = (float("-inf"), end) if direction == "higher" else (end, float("inf"))
    OWN_METRICS[own] = Metric(
        own,
        own.replace("_", " "),
        partial(_of_whole, function),
        direction=direction,
        low=low,
        high=high,
        trivial=None,
        whole=True,
    )
    return OWN_METRICS[own]


def _of_whole(function: Callable[..., Any], tally: Whole) -> float:
    return float(function(*tally.both()))
