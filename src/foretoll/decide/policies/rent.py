"""Rent: update when what was lost by not updating has come up to what the update costs.

For a lead that grows steadily this is the best fixed period; for a single drop it pays at most twice the best, as
renting skis until their price is spent does (Karlin et al. 1988, Algorithmica 3). Nothing is tuned.
"""

# The avoidable loss is the sum of leads × samples since the last update, never below 0. Floored at 0, sums of noise
# grow: where an update wins nothing, they would in the end pay for one. So the sum counts with its lower confidence
# bound, from the batch on from which that is largest: one standard error is what is left where the lead is real.

from __future__ import annotations

import math
from collections.abc import Sequence

from foretoll.decide.policies.base import Choice, Policy, Verdict, View, recent_lead
from foretoll.records import ServedBatch

DOUBT = 1.0  # standard errors by which the avoidable loss is taken lower


class Rent(Policy):
    """Update when avoidable loss × worth ≥ the forecast cost of the update; with a floor, when that is broken."""

    name = "rent"
    title = "update when the avoidable loss since the last update has come up to its cost"
    needs = ("labels", "lead")
    weighs = True

    def _due(self, view: View, choice: Choice) -> Verdict:
        return rent_due(view, choice)


def rent_due(view: View, choice: Choice) -> Verdict:
    """Whether what the chosen update would have won since the last one has come up to its cost."""
    if view.worth is None:
        return under_floor(view)
    wrong = avoidable_loss(view) * choice.offer.share
    cost = choice.offer.cost * (view.spending.price if view.spending is not None else 1.0)
    loss = wrong * view.worth
    figures: dict[str, float | None] = {"avoidable_loss": loss}
    if wrong > 0 and loss >= cost:
        return Verdict(
            True,
            f"{view.served.amount(wrong)} that an update would have won since the last one are worth its cost",
            "a cost above what was lost, or leads that turn out smaller",
            figures,
        )
    missing = "" if loss <= 0 else f"a loss {cost / loss:.2g} times as large"
    return Verdict(
        False,
        f"what was lost since the last update ({view.served.amount(wrong)}) is worth less than one",
        missing,
        figures,
    )


def avoidable_loss(view: View, doubt: float = DOUBT) -> float:
    """Answers that a model fitted to the newest data would have won since the last update, at the lower bound.

    Batches whose labels have not arrived count with the lead of those that have, and its doubt; of those that were left
    out, with the lead of the next that was looked at.
    """
    known = view.measured
    if not known:
        return 0.0
    counted, between = [], 0
    for batch in view.since:
        between += batch.samples if batch.looked == 0 else 0
        if batch.lead is not None:
            counted.append((batch.lead, batch.lead_error or 0.0, batch.samples + between))
            between = 0
    last = known[-1].number
    waiting = [b for b in view.since if b.lead is None and b.number > last]
    if waiting:
        recent = known[-view.window :]
        error = math.sqrt(sum(((b.lead_error or 0.0) * b.labelled) ** 2 for b in recent))
        error /= max(sum(b.labelled for b in recent), 1)
        counted += [(recent_lead(recent), error, b.samples) for b in waiting]
    return largest_lower_bound(counted, doubt)


def largest_lower_bound(counted: Sequence[tuple[float, float, int]], doubt: float) -> float:
    """The largest, over where the sum may start, of Σ n·lead − doubt·√Σ(n·error)²; never below 0."""
    total = square = best = 0.0
    for value, error, n in reversed(counted):
        total += value * n
        square += (error * n) ** 2
        best = max(best, total - doubt * math.sqrt(square))
    return best


def under_floor(view: View) -> Verdict:
    """Whether the quality that was served lately lies under the floor of the life."""
    recent: tuple[ServedBatch, ...] = view.labelled[-view.window :]
    samples = sum(b.labelled for b in recent)
    if view.floor is None or not samples:
        return Verdict(False, "no labels have arrived since the last update")
    served = view.served
    quality = served.pooled((b.quality or 0.0, b.labelled) for b in recent)
    seen = served.worse(quality or 0.0, recent[-1].quality or 0.0)
    figures: dict[str, float | None] = {"quality": seen, "floor": view.floor}
    said = f"the served {served.name} is {served.text(seen)}"
    if not served.scale.meets(seen, view.floor):
        return Verdict(True, f"{said}, {served.under(view.floor)}", "", figures)
    return Verdict(False, f"{said}, {served.not_under(view.floor)}", "", figures)
