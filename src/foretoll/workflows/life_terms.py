"""What a life is begun with, as it was asked for: what an answer is worth, what updates may cost, what is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from foretoll.decide.budget import Limit, parse_budget
from foretoll.decide.policies import get_policy
from foretoll.errors import UsageError
from foretoll.options import get_option
from foretoll.records import Looking, TrainingSettings
from foretoll.tasks import get_task
from foretoll.workflows.goal import USUAL, on_data

if TYPE_CHECKING:
    from foretoll.data import TaskData
    from foretoll.records import ModelCard, ServedMetric


def life_terms(
    *,
    worth: str | None,
    floor: float | None,
    budget: str | None,
    options: Sequence[str],
    policy: str,
    look: int | Looking | None,
) -> dict[str, Any]:
    """The terms of a life as its card keeps them; UsageError where they cannot be read, or do not go together."""
    if (worth is None) == (floor is None):
        raise UsageError(
            "a life needs either a worth of a right answer (--worth 0.2J) or the least quality that may be served "
            "(--floor 0.85): give one of them"
        )
    looking = said_looking(look)
    if not options:
        raise UsageError("no option was named by which the model may be updated: name one at least")
    for option in options:
        get_option(option)
    get_policy(policy, None)
    value = None if worth is None else Limit.parse(worth, "worth")
    limit, days, batches = (None, None, None) if budget is None else parse_budget(budget)
    if value is not None and limit is not None and value.cost != limit.cost:
        raise UsageError(
            f"the worth {worth} and the budget {budget} are of different kinds: give both as one, such as J and kWh"
        )
    return {
        "cost": (value or limit or Limit("energy_kwh", 0.0)).cost,
        "worth": None if value is None else value.most,
        "floor": floor,
        "budget": None if limit is None else limit.most,
        "budget_days": days,
        "budget_batches": batches,
        "options": tuple(options),
        "policy": policy,
        "look": looking.most,
        "watch_share": looking.share,
        "skip_looks": looking.skip,
    }


def scored_settings(settings: TrainingSettings, source: TaskData, model: ModelCard) -> TrainingSettings:
    """The settings with the metric by which single samples are compared, where none of the task was named.

    Raises UsageError for a metric that the task has not.
    """
    task = get_task(model.task)
    own = task.sample_metric(settings.metric)
    if own is not None and task.metric(settings.metric) is None and settings.metric == USUAL:
        settings = settings.model_copy(update={"metric": own.name})
    return on_data(settings, source)


def said_task(model: ModelCard) -> str | None:
    """What labels are of, said where data are opened; None where their form tells."""
    return None if get_task(model.task).has_probabilities else model.task


def said_looking(look: int | Looking | None) -> Looking:
    """How much a life looks at; UsageError where that says nothing."""
    most = look.most if isinstance(look, Looking) else look
    if most is not None and (most < 0 or most == 1):
        raise UsageError(f"a look at {most} samples says nothing: give 2 or more, or 0 for all")
    if isinstance(look, Looking):
        return look
    return Looking() if look is None else Looking(most=look)


def check_policy_fits(policy: str, model: ModelCard, served: ServedMetric) -> None:
    """Raise UsageError where a policy's number is none of this metric, or it needs what the task has not."""
    if "confidence" in get_policy(policy, served).needs and not get_task(model.task).has_probabilities:
        raise UsageError(
            f"the policy {policy} needs probabilities of classes, and this model is of {get_task(model.task).title}: "
            "take another, such as rent"
        )
