"""A forecast of the costs of an update, the one that was made for a run, and what is left of a run that goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from foretoll.records.base import NonNegative, Record, Share


class Interval(Record):
    """A forecast: median and the ends of an interval at `level`. `high` is None where it has no upper end."""

    median: float | None
    low: float | None
    high: float | None
    level: Share = 0.9


class Money(Interval):
    """Money for an update, by the price that was named, in whatever currency that was."""

    currency: Annotated[str, Field(max_length=8)] = ""


class Forecast(Record):
    """The forecast toll. A cost that cannot be forecast is None."""

    epochs: Interval | None = None
    gradient_norm: Interval | None = None
    parameter_change: Interval | None = None
    energy_kwh: Interval | None = None
    emissions_kg: Interval | None = None
    duration_s: Interval | None = None


class MadeForecast(Record):
    """The forecast that was made for a run before its first step, so that the two can be held against each other."""

    made_at: datetime | None = None
    estimate_id: str = ""  # of the estimate or comparison that it stood in
    forecast: Forecast
    reach_probability: Share | None = None
    quality: Interval | None = None  # on the test data, after the update


class LiveForecast(Record):
    """What is left of a run that goes on, forecast anew at one of its evaluations.

    The epochs left are those to the target, with ends at the budget where they lie beyond it; time and energy follow
    from them at the rate of the run so far, and are None where that was not measured.
    """

    epochs: NonNegative  # trained so far
    reach_probability: Share  # of meeting the target within the budget
    epochs_left: Interval
    duration_left_s: Interval | None = None
    energy_left_kwh: Interval | None = None
