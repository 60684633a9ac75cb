"""Which way of reusing a model to take: reads forecasts (or runs), carries nothing out.

`budget` reads what may be spent, `front` marks the candidates that no other beats in both quality and energy,
`choose` recommends one and says why and what would change it, `life` adds what serving costs, `regret` compares a
recommendation with what happened.
"""

from __future__ import annotations

from foretoll.decide.budget import Limit
from foretoll.decide.choose import CONFIDENCE, recommend
from foretoll.decide.front import mark_front
from foretoll.decide.life import life_energy
from foretoll.decide.regret import measured_best, regret_of

__all__ = ["CONFIDENCE", "Limit", "life_energy", "mark_front", "measured_best", "recommend", "regret_of"]
