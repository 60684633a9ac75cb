"""A forecast of the costs of an update, and the one that was made for a run."""

from __future__ import annotations

from datetime import datetime

from foretoll.records.base import Record, Share


class Interval(Record):
    """A forecast: median and the ends of an interval at `level`. `high` is None where it has no upper end."""

    median: float | None
    low: float | None
    high: float | None
    level: Share = 0.9


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
