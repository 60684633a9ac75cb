"""What updates of a life forgot of what came before, and the dummy without a model: the last label seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from foretoll.records import EarlierQuality, LifeEvent
from foretoll.report.document import Note, Table, table
from foretoll.report.words import plain

_Z = 1.645  # standard errors beyond which the model is said to be worse


class LastLabel(NamedTuple):
    """Quality of naming the last label seen, and of what was served, on the same labelled batches."""

    batches: int
    samples: int
    last_label: float
    served: float

    @property
    def better(self) -> bool:
        """Whether the dummy is better beyond what chance does (two shares of independent samples)."""
        shares = (self.last_label, self.served)
        error = math.sqrt(sum(share * (1 - share) for share in shares) / self.samples)
        return self.last_label - self.served > _Z * error


def last_label_of(events: Sequence[LifeEvent]) -> LastLabel | None:
    """The dummy beside what was served; None where no batch says what the dummy would have done."""
    batches = [
        e.served
        for e in events
        if e.kind == "labels" and e.served is not None and e.served.last_label is not None
    ]
    samples = sum(batch.labelled for batch in batches)
    if not samples:
        return None
    dummy = sum((batch.last_label or 0.0) * batch.labelled for batch in batches) / samples
    served = sum((batch.quality or 0.0) * batch.labelled for batch in batches) / samples
    return LastLabel(len(batches), samples, dummy, served)


def last_label_note(events: Sequence[LifeEvent]) -> Note | None:
    """The dummy in a sentence, and that the model is worse where it is."""
    found = last_label_of(events)
    if found is None:
        return None
    said = (
        f"Naming the last label seen would have been right in {found.last_label:.3f} of the labelled answers, what was "
        f"served was in {found.served:.3f}"
    )
    if found.better:
        said += ": without any model, where labels come at once, more answers would have been right"
    return Note(f"{said}.")


def earlier_of(events: Sequence[LifeEvent]) -> list[tuple[LifeEvent, EarlierQuality]]:
    """The updates that were judged on what came before, oldest first."""
    return [(e, e.earlier) for e in events if e.kind == "update" and e.earlier is not None]


def earlier_text(earlier: EarlierQuality) -> str:
    """What an update did to the quality on what came before."""
    return f"{earlier.before:.2f} → {earlier.after:.2f}"


def earlier_table(events: Sequence[LifeEvent]) -> Table | None:
    """What each update kept of what came before; None where none was judged on it."""
    found = earlier_of(events)
    if not found:
        return None
    rows = []
    for event, earlier in found:
        error = 100 * math.sqrt(sum(q * (1 - q) for q in (earlier.before, earlier.after)) / earlier.samples)
        change = 100 * (earlier.after - earlier.before)
        name = plain(event.key) + ("" if event.promoted else " (not served)")
        rows.append((name, f"{earlier.samples:,}", earlier_text(earlier), f"{change:+.1f} ± {error:.1f}"))
    heads = ("update", "samples", "before → after", "points")
    note = (
        "Quality of the model served before and of the updated one, on a random sample of what the life began with and "
        "served before the update's window; with a standard error. Earlier models may have been trained on them."
    )
    return table("On what came before", heads, rows, numbers=(1, 2, 3), note=note)


def earlier_data(events: Sequence[LifeEvent]) -> list[dict[str, object]]:
    """The same as plain data."""
    return [
        {"update": event.key, "served": bool(event.promoted), **earlier.model_dump()}
        for event, earlier in earlier_of(events)
    ]


def last_label_data(events: Sequence[LifeEvent]) -> dict[str, object] | None:
    """The dummy beside what was served, as plain data."""
    found = last_label_of(events)
    return None if found is None else found._asdict()
