"""The forecast of a run that goes on, renewed at each of its evaluations, and when such a run is given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from foretoll.errors import UsageError
from foretoll.forecast.live import Course, shipped
from foretoll.records import EvalPoint, Interval, LiveForecast, MadeForecast, TrainingSettings
from foretoll.units import human_number
from foretoll.workflows.experience import experience_of
from foretoll.workflows.planned import case_of_update, start_quality

if TYPE_CHECKING:
    from foretoll.indices.survey import Survey
    from foretoll.ledger import Ledger
    from foretoll.workflows.context import Update

SO = "the run goes on without it"  # what follows from a fault
MOST_SEEN = (
    200  # evaluations that are read of a curve: a long run's renewals take no longer than a short one's
)


def check_give_up(settings: TrainingSettings) -> None:
    """Refuse to give a run up that has no quality target (UsageError): there is no chance of reaching it."""
    if settings.give_up is not None and settings.until is None:
        raise UsageError("--give-up needs a quality target, whose chance may fall: name one (--until 0.9)")


class Renewals:
    """What is left of a run, as of its last evaluation.

    latest: the forecast; None before it can be made: without a target, or where nobody knows how long an epoch is
    """

    def __init__(self, settings: TrainingSettings, made: MadeForecast | None, validation: int) -> None:
        """`made`: the forecast before the run; `validation`: samples that its quality is seen on, 0: not known."""
        self.settings, self.made, self.validation = settings, made, validation
        self.latest: LiveForecast | None = None
        self._met = False

    def renew(
        self, curve: Sequence[EvalPoint], steps_per_epoch: int | None, energy_kwh: float | None
    ) -> LiveForecast | None:
        """The forecast after these evaluations, of which the last is now; `energy_kwh`: spent so far."""
        self.latest = None
        settings, now = self.settings, curve[-1]
        self._met = self._met or settings.meets(now.quality)
        some = thinned(curve)
        if steps_per_epoch is None or any(point.epochs is None for point in some):
            return None
        course = Course.of(settings, steps_per_epoch, self.validation, self.made)
        if course is None:
            return None
        seen = [course.seen(p.epochs or 0.0, settings.progress(p.quality)) for p in some]
        found = shipped()(course, seen, met=self._met)
        if found is not None:
            found = course.told(found)
        if found is not None and found.epochs > 0:
            rates = {
                "duration_left_s": _at_rate(found, now.duration_s),
                "energy_left_kwh": _at_rate(found, energy_kwh),
            }
            found = found.model_copy(update=rates)
        self.latest = found
        return found

    @property
    def hopeless(self) -> str:
        """Why the run is to be given up, in a sentence; empty while it is not.

        Never before the first step, nor once the budget is spent.
        """
        found, settings = self.latest, self.settings
        if found is None or settings.give_up is None or settings.until is None:
            return ""
        if not found.epochs or found.reach_probability >= settings.give_up or not found.epochs_left.high:
            return ""
        return (
            f"its chance of reaching {settings.metric} {settings.until:g} within its budget had fallen to "
            f"{found.reach_probability:.2%} after {human_number(found.epochs)} epochs, under the "
            f"{100 * settings.give_up:g}% of give_up"
        )


def thinned(curve: Sequence[EvalPoint]) -> Sequence[EvalPoint]:
    """The first and the last evaluation, and of those between them so many that there are MOST_SEEN at the most."""
    if len(curve) <= MOST_SEEN:
        return curve
    step = -(-(len(curve) - 1) // (MOST_SEEN - 1))
    return [*curve[:-1:step], curve[-1]]


def _at_rate(found: LiveForecast, spent: float | None) -> Interval | None:
    """What the epochs left take where each takes as much as those so far did."""
    if spent is None:
        return None
    rate, left = spent / found.epochs, found.epochs_left

    def of(epochs: float | None) -> float | None:
        return None if epochs is None else epochs * rate

    return Interval(median=of(left.median), low=of(left.low), high=of(left.high), level=left.level)


def forecast_before(
    update: Update,
    option: str,
    settings: TrainingSettings,
    seen: Survey,
    pilot: dict[str, float | None],
    ledger: Ledger,
) -> MadeForecast | None:
    """Epochs and chance of an update that is about to be carried out; None where there are too few runs."""
    case = case_of_update(update, option, settings, seen, pilot, start_quality(update, settings))
    told = experience_of(ledger)[1].foretell(case, time_only=True)
    if told.reach_probability is None:
        return None
    return MadeForecast(
        made_at=datetime.now(UTC), forecast=told.forecast, reach_probability=told.reach_probability
    )
