"""After how many served answers an update has paid for itself."""

from __future__ import annotations

from typing import Literal

from foretoll.records.base import NonNegative, Record
from foretoll.records.forecast import Interval

PaidCost = Literal["energy_kwh", "duration_s", "emissions_kg", "money"]


class Payback(Record):
    """What an update wins an answer, and how many answers pay its cost, by what one more right answer is worth.

    worth: as it was asked for ("0.2 J"). cost, amount: the same in the unit of that cost (kWh, s, kg; money in the
    currency of the price). before: the quality on the target's validation data, in the metric's unit. gain: by how much
    the expected quality is better, above 0 where it is. answers: the median, the fewest and the most; an end that is
    None is never. why_not: a sentence where it cannot be said; gain and answers are then None.
    """

    worth: str
    cost: PaidCost
    amount: NonNegative
    before: float | None = None
    gain: Interval | None = None
    answers: Interval | None = None
    why_not: str = ""
