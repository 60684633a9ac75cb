"""What a policy is: a pure rule from what may be known at a time (a `View`) to a `Decision`.

The laws, tested for every policy that is registered (and by `View` itself, which is all that a policy sees):
1. blind to the future: what happens after a time changes no decision up to it;
2. a label counts from when it arrived, not before;
3. the same batch twice changes nothing, and a batch cut in two is one batch;
4. no state: a decision follows from the view alone, so that a life that was interrupted goes on as one that was not;
5. the upper end of an update's forecast cost never exceeds the budget that is left;
6. worth, costs and budget times one number: the same decision; a worth of 0: keep;
7. with costs of 0, a policy that weighs them updates wherever the measured lead is positive.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, NamedTuple

from foretoll.records import ANSWERS, Decision, Offer, ServedBatch, ServedMetric

WINDOW = 8  # batches within which an update must pay back


@dataclass(frozen=True)
class Spending:
    """A budget for updates over a time: what it was, what is spent, and which share of the time is gone."""

    budget: float
    spent: float
    gone: float  # above 0; more than 1 where the time is over

    @property
    def left(self) -> float:
        """What may still be spent."""
        return max(self.budget - self.spent, 0.0)

    @property
    def price(self) -> float:
        """How dear a unit is now, 1 or more: it rises when spending runs ahead of the plan."""
        planned = self.budget * min(self.gone, 1.0)
        return max(1.0, self.spent / planned) if planned > 0 else 1.0


@dataclass(frozen=True)
class View:
    """What may be known at a time. Batches are in order; the served model changed after those of `updated`.

    worth: what one more right answer is worth, or one unit of the metric on one sample, in the unit of the offers'
    costs; None where a floor is kept instead: the least quality that may be served. tried: batches after which an
    update was made, also if it was not promoted. start: the model's quality when it was deployed. served: in what
    qualities and leads are.
    """

    batches: tuple[ServedBatch, ...]
    offers: tuple[Offer, ...]
    worth: float | None = None
    floor: float | None = None
    updated: tuple[int, ...] = ()
    tried: tuple[int, ...] = ()
    start: float | None = None
    spending: Spending | None = None
    window: int = WINDOW
    served: ServedMetric = ANSWERS

    @property
    def now(self) -> int:
        """The number of the last batch; −1 before the first."""
        return self.batches[-1].number if self.batches else -1

    @cached_property
    def since(self) -> tuple[ServedBatch, ...]:
        """The batches that the model of today served."""
        last = max(self.updated, default=-1)
        return tuple(batch for batch in self.batches if batch.number > last)

    @cached_property
    def measured(self) -> tuple[ServedBatch, ...]:
        """Those of them whose lead is known: labels arrived, and there was a shadow."""
        return tuple(batch for batch in self.since if batch.lead is not None)

    @cached_property
    def labelled(self) -> tuple[ServedBatch, ...]:
        """Those of them whose quality is known."""
        return tuple(batch for batch in self.since if batch.quality is not None)


class Verdict(NamedTuple):
    """Whether an update is due, and why or why not."""

    due: bool
    reason: str
    would_change: str = ""
    figures: dict[str, float | None] = {}  # noqa: RUF012  (never changed)


@dataclass(frozen=True)
class Choice:
    """The update that would be made, if one is due."""

    offer: Offer
    lead: float  # by how much it is expected to be better, from the batches that were measured
    gain: float | None  # over the window, in the unit of the cost; None without a worth
    figures: dict[str, float | None] = field(default_factory=dict)


class Policy(ABC):
    """A rule for when to update. A subclass has `_due`; guards and the choice of the option are the same for all."""

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[
        tuple[str, ...]
    ] = ()  # "labels", "lead", "confidence", "drift": else it keeps, and says so
    weighs: ClassVar[bool] = False  # whether it compares what an update wins with what it costs

    def decide(self, view: View) -> Decision:
        """The decision on what may be known; a pure function of `view`."""
        if view.worth is not None and not view.worth > 0:
            what = "one more right answer" if view.served.metric.share else "a better answer"
            return self._keep(view, f"{what} is worth nothing")
        if not view.since:
            return self._keep(view, "the model of today has served no batch yet")
        if max(view.tried, default=-1) > max(view.updated, default=-1):
            waited = [b for b in view.measured if b.number > max(view.tried)]
            if not waited and "labels" in self.needs:
                return self._keep(view, "the last update was not promoted, and no newer labels say more")
        choice = self._choose(view)
        if choice is None:
            lead = recent_lead(view.measured[-view.window :]) if view.measured else None
            cheapest = min((offer.cost for offer in view.offers), default=None)
            return self._keep(view, self._why_none(view), figures={"lead": lead, "cost": cheapest})
        found = self._due(view, choice)
        figures = {**choice.figures, **found.figures}
        if not found.due:
            return self._keep(view, found.reason, found.would_change, figures)
        return Decision(
            policy=str(self),
            action="update",
            option=choice.offer.option,
            reason=found.reason,
            would_change=found.would_change,
            figures=figures,
            after=view.now,
        )

    def _choose(self, view: View) -> Choice | None:
        """The update that would be made, if one is due; None where there is none."""
        return choose_offer(view, positive=self.weighs)

    def _why_none(self, view: View) -> str:
        """Why no update can be chosen, in words."""
        return why_no_offer(view, positive=self.weighs)

    @abstractmethod
    def _due(self, view: View, choice: Choice) -> Verdict:
        """Whether an update is due, of which `choice` would be the one."""

    def _keep(
        self,
        view: View,
        reason: str,
        would_change: str = "",
        figures: dict[str, float | None] | None = None,
    ) -> Decision:
        return Decision(
            policy=str(self),
            action="keep",
            reason=reason,
            would_change=would_change,
            figures=figures or {},
            after=view.now,
        )

    def __str__(self) -> str:
        """The name by which `get_policy` makes it again."""
        return self.name


def affordable(view: View) -> tuple[Offer, ...]:
    """The offers whose upper end of cost the budget still bears."""
    if view.spending is None:
        return view.offers
    left = view.spending.left
    return tuple(offer for offer in view.offers if offer.cost_high <= left)


def recent_lead(batches: Sequence[ServedBatch]) -> float:
    """Mean lead of these batches by their labelled samples, each batch counting half of the next newer one.

    So a lead that grows is not taken for what it was at first, nor a single batch for all. 0 where none was measured.
    """
    known = [(batch.lead, batch.labelled) for batch in batches if batch.lead is not None and batch.labelled]
    weights = [n * 0.5**age for age, (_, n) in enumerate(reversed(known))][::-1]
    total = sum(weights)
    return sum(value * w for (value, _), w in zip(known, weights, strict=True)) / total if total else 0.0


def choose_offer(view: View, *, positive: bool) -> Choice | None:
    """Of the affordable offers the one with the largest net benefit over the window.

    With `positive`, and a worth, only those that pay back within the window count; without a worth the cheapest of
    those that win most. None where there is none.
    """
    lead = recent_lead(view.measured[-view.window :])
    samples = sum(b.samples for b in view.since) / len(view.since) * view.window
    price = view.spending.price if view.spending is not None else 1.0
    best: tuple[float, float] | None = None
    chosen: Choice | None = None
    for offer in affordable(view):
        cost = offer.cost * price
        won = lead * offer.share * samples
        gain = None if view.worth is None else won * view.worth
        if positive and gain is not None and (gain < cost or not won > 0):
            continue
        if positive and gain is None and not won > 0:
            continue
        rank = (won, -cost) if gain is None else (gain - cost, -cost)
        if best is None or rank > best:
            best = rank
            figures = {"lead": lead, "cost": offer.cost, "gain": gain, "price": price}
            chosen = Choice(offer, lead * offer.share, gain, figures)
    return chosen


def why_no_offer(view: View, *, positive: bool) -> str:
    """Why no update can be chosen, in words."""
    if not view.offers:
        return "no option can be forecast for this model"
    if not affordable(view):
        return "the budget that is left does not bear any update's forecast cost"
    if not positive:
        return "no option can be chosen"
    if not view.measured:
        return "no labels have arrived since the last update, so that nothing is known to be won"
    if recent_lead(view.measured[-view.window :]) <= 0:
        return "a model fitted to the newest data is no better than the served one"
    return f"no update would pay back within {view.window} batches"
