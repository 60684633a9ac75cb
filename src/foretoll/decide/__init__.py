"""Which way of reusing a model to take: reads forecasts (or runs), carries nothing out.

`budget` reads what may be spent, `price` says what candidates are compared by, `front` marks those that no other
beats in both quality and cost, `choose` recommends one and says why and what would change it, `serving` adds what
serving costs, `regret` compares a recommendation with what happened.
"""

from __future__ import annotations

from foretoll.decide.budget import Limit
from foretoll.decide.choose import CONFIDENCE, recommend
from foretoll.decide.front import forecast_point, mark_front, measured_point
from foretoll.decide.price import kind_of_price, measured_price, price
from foretoll.decide.regret import measured_best, regret_of
from foretoll.decide.serving import energy_with_serving

__all__ = [
    "CONFIDENCE",
    "Limit",
    "energy_with_serving",
    "forecast_point",
    "kind_of_price",
    "mark_front",
    "measured_best",
    "measured_point",
    "measured_price",
    "price",
    "recommend",
    "regret_of",
]
