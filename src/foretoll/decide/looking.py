"""How many samples of a batch are looked at, where watching may take but a share of what updates take.

Watching, that is looks, labels and estimates, may take `watch_share` of what the life's updates took so far and of the
one that is waited for. Each look has its part of what is left of that: with `window` batches within which an update
must pay back, 1/`window`. So the sum stays below the bound however long no update is due, and looks go through fewer
samples the longer that is. A look at fewer than LEAST samples says too little and is not made smaller. Where the card
says `skip_looks`, a batch is left out in its place, but of `window` batches one is looked at in any case: who does not
look cannot say that an update is due.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from foretoll.decide.offers import ESTIMATE_S, HANDED_IN, looked_at, update_bounds
from foretoll.records import LifeCard, LifeEvent

LEAST = 200  # samples: of a lead where answers differ on a tenth of them, the standard error is 2.2 points
LOOKED_BACK = 16  # looks by which the cost of the next one is told
Cost = Literal["energy_kwh", "duration_s"]


class LookCost(NamedTuple):
    """What a look and its labels take: whatever its size, and for each sample.

    only: the size that all looks had, by which the two cannot be separated; None where they differed.
    """

    fixed: float
    a_sample: float
    only: int | None = None

    def of(self, samples: int) -> float:
        """Of a look at so many samples."""
        return self.fixed + self.a_sample * samples


def samples_to_look_at(card: LifeCard, events: Sequence[LifeEvent], samples: int) -> int:
    """Of a batch of so many samples, how many the model is run on; 0: the batch is left out."""
    most = min(samples, card.look or samples)
    least = min(LEAST, most)
    cost = _known_cost(events)
    look = look_cost(card, events, cost)
    left = left_for_looks(card, events, cost)
    if not card.watch_share or look is None or left is None:
        return most
    each = left / card.window
    if look.of(most) <= each:
        return most
    if look.of(least) <= each:
        count = max(least, min(most, int((each - look.fixed) / look.a_sample)))
        # a smaller look than any before may take as much: the least one tells
        return count if look.only is None or count >= look.only else least
    bearable = look.of(least) <= left or _passed_over(events) >= card.window - 1
    return least if bearable or not card.skip_looks else 0


def left_for_looks(card: LifeCard, events: Sequence[LifeEvent], cost: Cost) -> float | None:
    """What watching may still take until the next update, below 0 where it took more; None where that is not known.

    The next update is taken for the mean of those that were made; before the first for what was estimated, and else
    for what it can take at most by what looks took, which is known when labels came.
    """
    made = [e.spent for e in events if e.kind == "update" and e.spent is not None]
    taken = [value for each in made if (value := getattr(each, cost)) is not None]
    if taken:
        coming = sum(taken) / len(taken)
    else:
        estimated = next(
            (e.offers for e in reversed(events) if e.kind == "offers" and e.spent is not None), ()
        )
        known = [value for offer in estimated if (value := getattr(offer, cost)) is not None]
        bound = update_bounds(card, events)[cost]
        if not known and bound is None:
            return None
        coming = max(known) if known else bound.most if bound is not None else 0.0
    watching = (e.spent for e in events if e.kind in ("look", "labels", "offers") and e.spent is not None)
    watched = sum(getattr(each, cost) or 0.0 for each in watching)
    left: float = card.watch_share * (sum(taken) + coming) - watched
    return left


def estimate_too_dear(card: LifeCard, events: Sequence[LifeEvent]) -> bool:
    """Whether an estimate would take more than what watching may still take."""
    left = left_for_looks(card, events, "duration_s")
    return bool(card.watch_share) and left is not None and left < ESTIMATE_S


def look_cost(card: LifeCard, events: Sequence[LifeEvent], cost: Cost) -> LookCost | None:
    """What looks took lately, with their labels, by medians over looks and pairs of them; None where none was made."""
    labels = {e.key: e.spent for e in events if e.kind == "labels" and e.spent is not None}
    found: list[tuple[int, float]] = []
    for event in events:
        if event.kind != "look" or event.served is None or event.spent is None or event.note == HANDED_IN:
            continue
        taken, further = getattr(event.spent, cost), labels.get(event.key)
        samples = looked_at(card, event.served)
        if taken is not None and samples:
            found.append((samples, taken + ((getattr(further, cost) or 0.0) if further else 0.0)))
    found = found[-LOOKED_BACK:]
    if not found:
        return None
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(found, 2) if a[0] != b[0]]
    if not slopes:
        return LookCost(0.0, median(taken / samples for samples, taken in found), found[0][0])
    slope = max(median(slopes), 0.0)
    return LookCost(max(median(taken - slope * samples for samples, taken in found), 0.0), slope)


def _known_cost(events: Sequence[LifeEvent]) -> Cost:
    """Energy, or time where it was not measured."""
    looks = [e.spent for e in events if e.kind == "look" and e.spent is not None]
    return "duration_s" if any(each.energy_kwh is None for each in looks) else "energy_kwh"


def _passed_over(events: Sequence[LifeEvent]) -> int:
    """How many batches were left out since the last that was looked at."""
    looks = [e.served for e in events if e.kind == "look" and e.served is not None]
    return sum(1 for _ in itertools.takewhile(lambda batch: batch.looked == 0, reversed(looks)))
