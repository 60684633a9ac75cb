"""What updates of a life forgot of what came before, and the dummy without a model: the last label seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from foretoll.records import ANSWERS, EarlierQuality, LifeEvent, ServedMetric
from foretoll.report.document import Note, Table, table
from foretoll.report.life_words import difference_text, difference_unit, value_text
from foretoll.report.words import plain

_Z = 1.645  # standard errors beyond which the model is said to be worse


class LastLabel(NamedTuple):
    """Quality of naming the last label seen, and of what was served, on the same labelled batches."""

    batches: int
    samples: int
    last_label: float
    served: float

    def better(self, served: ServedMetric = ANSWERS) -> bool:
        """Whether the dummy is better beyond what chance does (two values of independent samples)."""
        error = math.hypot(*(served.error(value, self.samples) for value in (self.last_label, self.served)))
        return served.loss(self.served) - served.loss(self.last_label) > _Z * error


def last_label_of(events: Sequence[LifeEvent], served: ServedMetric = ANSWERS) -> LastLabel | None:
    """The dummy beside what was served; None where no batch says what the dummy would have done."""
    batches = [
        e.served
        for e in events
        if e.kind == "labels" and e.served is not None and e.served.last_label is not None
    ]
    dummy = served.pooled((batch.last_label or 0.0, batch.labelled) for batch in batches)
    quality = served.pooled((batch.quality or 0.0, batch.labelled) for batch in batches)
    if dummy is None or quality is None:
        return None
    return LastLabel(len(batches), sum(batch.labelled for batch in batches), dummy, quality)


def last_label_note(events: Sequence[LifeEvent], served: ServedMetric = ANSWERS) -> Note | None:
    """The dummy in a sentence, and that the model is worse where it is."""
    found = last_label_of(events, served)
    if found is None:
        return None
    dummy, quality = (value_text(served, value) for value in (found.last_label, found.served))
    share = served.metric.share
    said = (
        f"Naming the last label seen would have been right in {dummy} of the labelled answers, what was served was in "
        f"{quality}"
        if share
        else f"Answering with the last target seen has {served.metric.title} {dummy}, what was served has {quality}"
    )
    if found.better(served):
        more = "more answers would have been right" if share else "answers would have been better"
        said += f": without any model, where labels come at once, {more}"
    return Note(f"{said}.")


def earlier_of(events: Sequence[LifeEvent]) -> list[tuple[LifeEvent, EarlierQuality]]:
    """The updates that were judged on what came before, oldest first."""
    return [(e, e.earlier) for e in events if e.kind == "update" and e.earlier is not None]


def earlier_text(earlier: EarlierQuality, served: ServedMetric = ANSWERS) -> str:
    """What an update did to the quality on what came before."""
    if served.metric.share:
        return f"{earlier.before:.2f} → {earlier.after:.2f}"
    return f"{value_text(served, earlier.before)} → {value_text(served, earlier.after)}"


def earlier_table(events: Sequence[LifeEvent], served: ServedMetric = ANSWERS) -> Table | None:
    """What each update kept of what came before; None where none was judged on it."""
    found = earlier_of(events)
    if not found:
        return None
    rows = []
    for event, earlier in found:
        error = math.hypot(*(served.error(q, earlier.samples) for q in (earlier.before, earlier.after)))
        change = difference_text(served, earlier.after - earlier.before, error)
        name = plain(event.key) + ("" if event.promoted else " (not served)")
        rows.append((name, f"{earlier.samples:,}", earlier_text(earlier, served), change))
    heads = ("update", "samples", "before → after", difference_unit(served))
    note = (
        f"{served.name[0].upper()}{served.name[1:]} of the model served before and of the updated one, on a random "
        "sample of what the life began with and served before the update's window; with a standard error. Earlier "
        "models may have been trained on them."
    )
    return table("On what came before", heads, rows, numbers=(1, 2, 3), note=note)


def earlier_data(events: Sequence[LifeEvent]) -> list[dict[str, object]]:
    """The same as plain data."""
    return [
        {"update": event.key, "served": bool(event.promoted), **earlier.model_dump()}
        for event, earlier in earlier_of(events)
    ]


def last_label_data(events: Sequence[LifeEvent], served: ServedMetric = ANSWERS) -> dict[str, object] | None:
    """The dummy beside what was served, as plain data."""
    found = last_label_of(events, served)
    return None if found is None else found._asdict()
