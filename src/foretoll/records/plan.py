"""What a year of updates costs and what quality it holds, planned from one case."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from foretoll.records.base import NonNegative, PresentedRecord, Record
from foretoll.records.data import DataCard
from foretoll.records.forecast import Interval, Money


class Schedule(Record):
    """One option, evenly spread over the periods: its cost, and the quality that it holds."""

    option: str
    updates: int  # 0: the model of today is kept throughout
    cost: Interval  # of all updates together, in the plan's unit
    mean_quality: Interval  # over the periods
    least_quality: float  # in the last period before an update
    money: Money | None = None  # of all updates together, where a price was named
    fits: bool  # whether the upper end of its cost keeps to the budget


class LifePlan(PresentedRecord):
    """Schedules of updates under a drift like the one from source to target, and the one to take."""

    schema_: Literal["foretoll.plan/1"] = Field("foretoll.plan/1", alias="schema")
    created_at: datetime
    comparison_id: str  # what it rests on
    model: str
    source: DataCard | None
    target: DataCard
    periods: int
    cost: Literal["energy_kwh", "emissions_kg", "duration_s", "money"]
    currency: str = ""  # of a cost in money
    price: str = ""  # money for energy or hours, as it was named
    budget: NonNegative | None = None
    floor: float | None = None  # the least quality that may be served
    drift: Interval  # quality that a model loses in one period, against one made for it
    schedules: tuple[Schedule, ...]
    chosen: int | None  # its position; None: none keeps to the budget, or holds the floor
    reason: str
    warnings: tuple[str, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
