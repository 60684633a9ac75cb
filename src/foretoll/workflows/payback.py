"""Whether an update is worth it: after how many answers it has paid, by the forecast of its cost and its quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from foretoll.decide.budget import Limit
from foretoll.decide.payback import answers_to_repay, gain_of
from foretoll.quality import Evaluation
from foretoll.records import Interval, Payback, TrainingSettings
from foretoll.records.payback import PaidCost
from foretoll.records.served_metric import served_metric
from foretoll.tasks import get_task
from foretoll.workflows.context import Update

UNKNOWN_COST = {
    "energy_kwh": "its energy is not known: name a meter (--energy auto), or a worth in seconds (5s)",
    "duration_s": "its duration is not known",
    "emissions_kg": "its emissions are not known: name a meter (--energy auto), or a worth in seconds (5s)",
    "money": "what it costs is not known: its time or energy is not, or no price is for this hardware",
}


@dataclass(frozen=True)
class Qualities:
    """How good the answers are before an update and after it.

    before: of the model as it is, on the target's validation data. after: the expected test quality, in the metric's
    unit; runs that miss their target are part of it, as they are of the cost. unchanged: whether the model stays as it
    is.
    """

    before: Evaluation | None
    after: Interval | None
    unchanged: bool = False


def payback(
    worth: Limit, update: Update, settings: TrainingSettings, cost: Interval | None, of: Qualities
) -> Payback:
    """After how many answers an update has paid for itself, or the sentence why that cannot be said.

    cost: what it costs, of the kind that `worth` is.
    """
    found = Payback(worth=worth.text, cost=cast("PaidCost", worth.cost), amount=worth.most)
    before, after = of.before, of.after
    gain, why_not = None, why_no_gain(update, settings, of)
    if not why_not and before is not None and after is not None:
        served = served_metric(settings.metric, update.model.card.task, settings.known_scale)
        found = found.model_copy(update={"before": before.quality})
        error = served.error(before.quality, before.samples) if before.error is None else before.error
        nothing = Interval(median=0.0, low=0.0, high=0.0, level=after.level)
        gain = nothing if of.unchanged else gain_of(after, before.quality, error, served)
    if not why_not and (cost is None or cost.median is None):
        why_not = UNKNOWN_COST[worth.cost]
    if why_not or gain is None or cost is None:
        return found.model_copy(update={"why_not": why_not})
    return found.model_copy(update={"gain": gain, "answers": answers_to_repay(cost, worth.most, gain)})


def why_no_gain(update: Update, settings: TrainingSettings, of: Qualities) -> str:
    """Why it is not known by how many right answers an update is better; empty where it is."""
    task = get_task(update.model.card.task)
    metric = task.metric(settings.metric)
    if task.places or metric is None or metric.each is None:
        can = [] if task.places else [each.name for each in task.metrics if each.each is not None]
        title = settings.metric if metric is None else metric.title
        way = f"; --metric {' or '.join(can)} is" if can else ""
        return f"{title} is no mean over single answers, of which one could be worth something{way}"
    if update.target.train.labels is None:
        return "the target has no labels, so nothing says how good the model is on it"
    if of.before is None:
        return "the classes are new, and the model as it is has no answers to them that could be compared"
    if of.after is None or None in (of.after.low, of.after.median, of.after.high):
        return "the quality after the update could not be forecast"
    return ""
