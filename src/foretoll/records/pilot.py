"""The pilot of an estimate that went on: the beginning of the run itself, and the forecast after each of its stages."""

from __future__ import annotations

from foretoll.records.base import NonNegative, Record, Share
from foretoll.records.forecast import Interval


class PilotStage(Record):
    """The forecast after so many steps of the run itself; after none, the one from the look and the short pilot.

    share: of the forecast's own cost that was spent by then, by the forecast of the stage before. quality: of the
    validation data, in the metric's unit. forecast_epochs: in all, those of the pilot among them.
    """

    step: int
    epochs: NonNegative
    share: NonNegative = 0.0
    quality: float | None = None
    forecast_epochs: Interval
    reach_probability: Share


class PilotRecord(Record):
    """How far the pilot went on and why no farther; `kept`: the folder from which `retrain` goes on."""

    within: float | None = None
    spend: Share
    ended: str
    stages: tuple[PilotStage, ...] = ()
    kept: str | None = None

    @property
    def steps(self) -> int:
        """Optimisation steps that it took."""
        return self.stages[-1].step if self.stages else 0
