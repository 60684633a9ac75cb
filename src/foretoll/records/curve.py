"""The forecast of one option as a whole curve, and what it answers for targets and budgets that were asked for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from foretoll.records.base import NonNegative, Record, Share
from foretoll.records.forecast import Forecast, Interval

BudgetCost = Literal["epochs", "duration_s", "energy_kwh", "emissions_kg"]
Quantiles = tuple[tuple[NonNegative, ...], ...]


class CurveKnee(Record):
    """Where quality becomes dear, on the median curve: from `quality` on to `highest`, the best that is likelier than
    not within the budget of epochs."""

    quality: float
    epochs: NonNegative
    highest: float
    highest_epochs: NonNegative


class ForecastCurve(Record):
    """Quantiles of what reaching each of `targets` costs; read the other way, the best quality within a budget.

    targets (m,): qualities on the validation data, in the metric's unit, from that before any step to the best. levels
    (k,). epochs and the other costs (m, k): the cost stays below with the probability of the level. reach (m,): the
    probability to reach the target within the budget of epochs; a level above it is never reached.
    """

    targets: tuple[float, ...]
    levels: tuple[Share, ...]
    reach: tuple[Share, ...]
    epochs: Quantiles
    duration_s: Quantiles | None = None
    energy_kwh: Quantiles | None = None
    emissions_kg: Quantiles | None = None
    knee: CurveKnee | None = None

    @model_validator(mode="after")
    def _of_one_size(self) -> Self:
        size = len(self.targets), len(self.levels)
        tables = [
            table for table in (self.epochs, self.duration_s, self.energy_kwh, self.emissions_kg) if table
        ]
        if min(size) < 2 or len(self.reach) != size[0]:
            raise ValueError("a curve has at least two targets and levels, and a probability for each target")
        if any(len(table) != size[0] or any(len(row) != size[1] for row in table) for table in tables):
            raise ValueError(f"a curve of {size[0]} targets and {size[1]} levels has a cost for each of both")
        return self


class TargetForecast(Record):
    """What one option costs to a quality target."""

    option: str
    until: float  # on the validation data, in the metric's unit
    reach_probability: Share
    forecast: Forecast


class BudgetForecast(Record):
    """What one option reaches within a budget.

    quality: the best on the validation data; None where the cost is not known, and `why_not` says so. whole: the budget
    is more than the whole budget of epochs costs by the forecast's median.
    """

    option: str
    budget: str  # as it was asked for
    cost: BudgetCost
    most: NonNegative
    quality: Interval | None = None
    reach_probability: Share | None = None  # of the quality target, within this budget
    whole: bool = False
    why_not: str = ""


class SamplesForecast(Record):
    """What an update costs and reaches with so many training samples of the target.

    samples: labelled ones that are trained on; validation and test data are those at hand. quality: on the test data,
    after the update, in the metric's unit. Probabilities and quality do not fall with the samples.
    """

    samples: int
    steps_per_epoch: int
    forecast: Forecast = Forecast()
    quality: Interval | None = None
    reach_probability: Share | None = None
    served_probability: Share | None = None
    why_not: str = ""  # why there is no forecast for so many
