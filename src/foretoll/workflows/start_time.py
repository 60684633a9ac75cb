"""When to start an update that is due: later, where the grid emits less by more than the waiting loses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foretoll.decide.budget import parse_patience
from foretoll.errors import MeasureError, UsageError
from foretoll.measure import IntensitySeries, green_window, read_series
from foretoll.records import Decision, LifeCard, LifeEvent, Offer
from foretoll.units import human_mass, human_share
from foretoll.workflows.context import Watcher


@dataclass(frozen=True)
class Patience:
    """How long an update may wait for a grid that emits less, and what the grid is going to emit."""

    series: IntensitySeries
    seconds: float
    pue: float = 1.0

    @classmethod
    def read(cls, file: str | Path, patience: str, *, pue: float = 1.0) -> Patience:
        """From a CSV file (columns timestamp and gCO2e_per_kWh) and a text such as "24h".

        Raises MeasureError and UsageError where they cannot be read.
        """
        return cls(read_series(Path(file)), parse_patience(patience), pue)

    def applied(
        self,
        decision: Decision,
        offer: Offer | None,
        card: LifeCard,
        events: Sequence[LifeEvent],
        now: datetime,
    ) -> Decision:
        """The decision with its start: where CO2e emitted and answers lost by waiting are least together.

        Answers are worth what the life says, energy at the intensity of now; where only a floor is given, lost answers
        have no price and are counted. Raises UsageError where the series cannot show the wait, or the worth is a time.
        """
        if decision.action != "update" or offer is None:
            return decision
        if not offer.energy_kwh or not offer.duration_s:
            return decision.model_copy(
                update={"start_why": "at once: what energy and time an update takes is not known"}
            )
        if self.series.end < now + timedelta(seconds=self.seconds + offer.duration_s):
            raise UsageError(
                f"the intensity series ends at {self.series.end:%Y-%m-%d %H:%M} UTC, before the patience and the "
                "update are over: give a longer series or a shorter --patience"
            )
        rate = answers_per_second(events)
        lost = max(decision.figures.get("lead") or 0.0, 0.0) * (rate or 0.0)  # in the metric's unit, a second
        energy = offer.energy_kwh * self.pue
        try:
            waiting = self._worth_g(card, now) * lost / energy
            found = green_window(
                self.series, duration_s=offer.duration_s, horizon_s=self.seconds, now=now, waiting=waiting
            )
        except MeasureError as error:
            raise UsageError(str(error)) from error
        if found.start is None or found.start <= now:
            return decision.model_copy(update={"start_why": "at once: no later start is worth waiting for"})
        saved = energy * ((found.now_intensity_kg_per_kwh or 0.0) - (found.intensity_kg_per_kwh or 0.0))
        waited = (found.start - now).total_seconds()
        why = f"{human_mass(saved)} CO2e less than now ({human_share(found.saving or 0.0)})"
        served = card.served
        right = f"{lost * waited:.1f} right answers" if served.metric.share else served.amount(lost * waited)
        why += (
            f", for {right} lost by waiting"
            if rate
            else "; how many answers are served meanwhile is not known"
        )
        return decision.model_copy(update={"start_at": found.start, "start_why": why})

    def _worth_g(self, card: LifeCard, now: datetime) -> float:
        """What one more right answer is worth, in g CO2e; 0 where the life has a floor in place of a worth."""
        if card.worth is None:
            return 0.0
        if card.cost == "emissions_kg":
            return card.worth * 1e3
        if card.cost == "energy_kwh":
            return card.worth * self.pue * self.series.mean(now, 1.0)
        raise UsageError(
            "the worth of this life is a time, which emissions cannot be weighed against: leave --patience out, or "
            "begin a life with a worth in J or mg of CO2e"
        )


def answers_per_second(events: Sequence[LifeEvent]) -> float | None:
    """How fast the model serves, from the times and sizes of its batches; None of fewer than two at different times."""
    looks = [event for event in events if event.kind == "look" and event.served is not None]
    if len(looks) < 2 or looks[-1].at <= looks[0].at:
        return None
    samples = sum(event.served.samples for event in looks[1:] if event.served is not None)
    return samples / (looks[-1].at - looks[0].at).total_seconds()


def wait_until(moment: datetime, watcher: Watcher) -> None:
    """Sleep until then; a look at the clock every minute, since machines sleep too."""
    watcher.stage(f"wait until {moment:%Y-%m-%d %H:%M} UTC for a grid that emits less")
    while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left, 60.0))
