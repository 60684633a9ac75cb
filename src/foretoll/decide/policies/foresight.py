"""Foresight: rent, and only where the forecast lead of the next batches pays for the update."""

# Rent takes the recent lead for what an update will win. Here that is forecast (`foretoll.forecast.lead`, learned from
# replayed lives): a drift that stays wins more than one that has gone, and one that has gone may come again. Option and
# time are chosen by the forecast together.

from __future__ import annotations

from foretoll.decide.policies.base import Choice, Policy, Verdict, View, affordable, recent_lead
from foretoll.decide.policies.rent import rent_due
from foretoll.forecast.lead import LeadForecast, LeadModel, lead_features, shipped
from foretoll.records import Offer

AHEAD = 12.0  # batches within which an update must pay back
ONLY_HEAD = "head"


class Foresight(Policy):
    """Update when the avoidable loss has come up to the cost, and the forecast lead pays it back within `ahead`."""

    name = "foresight"
    title = "update when rent says so and the forecast lead of the next batches pays for it"
    needs = ("labels", "lead")
    weighs = True

    def __init__(self, ahead: float = AHEAD, *, model: LeadModel | None = None) -> None:
        self.ahead = ahead
        self._model = model

    def forecast(self, view: View, offer: Offer) -> LeadForecast | None:
        """The mean lead of this update over the next batches; None where no lead was measured yet."""
        start = view.start if not view.updated else None
        features = lead_features(view.since, start, view.served, only_head=offer.option == ONLY_HEAD)
        found = None if features is None else (self._model or shipped())(features)
        return None if found is None else LeadForecast(*(end * view.served.unit for end in found))

    def _choose(self, view: View) -> Choice | None:
        """Of the affordable offers the one with the largest forecast benefit; at no worth, or cost, the least lead."""
        samples = sum(b.samples for b in view.since) / len(view.since) * self.ahead
        price = view.spending.price if view.spending is not None else 1.0
        lead = recent_lead(view.measured[-view.window :])
        best: tuple[float, float] | None = None
        chosen: Choice | None = None
        for offer in affordable(view):
            forecast = self.forecast(view, offer)
            if forecast is None or not lead > 0:
                continue
            cost = offer.cost * price
            won = max(forecast.value, 0.0) * offer.share * samples
            gain = None if view.worth is None else won * view.worth
            if gain is not None and gain < cost:
                continue
            rank = (won, -cost) if gain is None else (gain - cost, -cost)
            if best is None or rank > best:
                best = rank
                figures = {
                    "lead": lead,
                    "forecast_lead": forecast.value,
                    "forecast_lead_low": forecast.low,
                    "forecast_lead_high": forecast.high,
                    "cost": offer.cost,
                    "gain": gain,
                    "price": price,
                }
                chosen = Choice(offer, forecast.value * offer.share, gain, figures)
        return chosen

    def _why_none(self, view: View) -> str:
        if (
            view.offers
            and affordable(view)
            and view.measured
            and recent_lead(view.measured[-view.window :]) > 0
        ):
            return f"no update is forecast to pay back within {self.ahead:g} batches"
        return super()._why_none(view)

    def _due(self, view: View, choice: Choice) -> Verdict:
        return rent_due(view, choice)

    def __str__(self) -> str:
        return self.name if self.ahead == AHEAD else f"{self.name}:{self.ahead:g}"
