"""When to start: the window of a user's series of grid intensities in which a job emits least.

The series is the user's (a forecast or a typical week of the grid): foretoll ships annual averages only, and with
those no saving by shifting can be computed.
"""

from __future__ import annotations

import csv
import itertools
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from statistics import median

from foretoll.errors import MeasureError
from foretoll.records import GridIntensity
from foretoll.units import kg_from_grams

COLUMNS = ("timestamp", "gCO2e_per_kWh")
NO_SERIES = (
    "an annual average cannot show a saving by starting at another hour: give an hourly series of the grid "
    "(a CSV file with the columns timestamp and gCO2e_per_kWh)"
)


@dataclass(frozen=True)
class GreenWindow:
    """The best start of a job and what it saves.

    Intensities are means over the job's duration at constant power, in kg CO2e per kWh. `saving` is the share
    of the emissions saved against starting at `now`; None (with a note) where it cannot be computed.
    """

    now: datetime | None
    start: datetime | None
    intensity_kg_per_kwh: float | None
    now_intensity_kg_per_kwh: float | None
    saving: float | None
    note: str = ""


@dataclass(frozen=True)
class IntensitySeries:
    """A step function: each value holds from its time to the next one's, the last for the median step."""

    times: tuple[datetime, ...]
    g_per_kwh: tuple[float, ...]

    @cached_property
    def end(self) -> datetime:
        """Where the last value ends."""
        steps = [(b - a).total_seconds() for a, b in itertools.pairwise(self.times)]
        return self.times[-1] + timedelta(seconds=median(steps))

    def mean(self, start: datetime, duration_s: float) -> float:
        """Mean of the series over [start, start + duration], in g/kWh."""
        stop = start + timedelta(seconds=duration_s)
        total = 0.0
        for position in range(max(0, bisect_right(self.times, start) - 1), len(self.times)):
            after = self.times[position + 1] if position + 1 < len(self.times) else self.end
            low, high = max(start, self.times[position]), min(stop, after)
            if low >= stop:
                break
            total += max(0.0, (high - low).total_seconds()) * self.g_per_kwh[position]
        return total / duration_s


def read_series(path: Path) -> IntensitySeries:
    """Read a CSV file with the columns timestamp (ISO 8601; UTC where no zone is given) and gCO2e_per_kWh.

    Raises:
        MeasureError: no such file, other columns, a time or number that cannot be read, times that do not rise,
            fewer than two rows.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise MeasureError(
                    f"the intensity series {str(path)!r} must have the columns {', '.join(COLUMNS)}"
                )
            rows = [(row["timestamp"], row["gCO2e_per_kWh"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MeasureError(f"cannot read the intensity series {str(path)!r}: {error}") from error
    points: list[tuple[datetime, float]] = []
    for line, (time_text, value_text) in enumerate(rows, start=2):
        try:
            moment = datetime.fromisoformat((time_text or "").strip())
            value = float(value_text or "")
        except ValueError as error:
            raise MeasureError(f"line {line} of {str(path)!r} is no time and intensity: {error}") from error
        if not math.isfinite(value) or value < 0:
            raise MeasureError(
                f"line {line} of {str(path)!r} has the intensity {value_text}: it must be 0 or more"
            )
        points.append((moment if moment.tzinfo else moment.replace(tzinfo=UTC), value))
    return make_series(points, name=str(path))


def make_series(
    points: Sequence[tuple[datetime, float]], *, name: str = "intensity series"
) -> IntensitySeries:
    """Check and freeze (time, g/kWh) points; times must rise."""
    if len(points) < 2:
        raise MeasureError(f"{name!r} has {len(points)} rows: an intensity series needs at least two")
    times = tuple(moment for moment, _ in points)
    for before, after in itertools.pairwise(times):
        if after <= before:
            raise MeasureError(
                f"the times of {name!r} must rise, and {after.isoformat()} follows {before.isoformat()}"
            )
    return IntensitySeries(times, tuple(float(value) for _, value in points))


def green_window(
    series: IntensitySeries | GridIntensity,
    *,
    duration_s: float,
    horizon_s: float | None = None,
    now: datetime | None = None,
    waiting: float = 0.0,
) -> GreenWindow:
    """The start within `horizon_s` seconds from `now` with the least mean intensity over the job.

    `waiting`: what a second of waiting is worth, in g CO2e per kWh of the job, which is added.
    Exact for a step function: the mean changes its slope only where the job's start or end meets a step, so only
    those starts (and `now`) are compared; among equals the earliest. `now` defaults to the start of the series,
    the horizon to its end. The job must end within the series.

    Raises:
        MeasureError: a duration that is not positive, or a job that does not fit into the series.
    """
    if isinstance(series, GridIntensity):
        return GreenWindow(None, None, None, None, None, note=NO_SERIES)
    if not math.isfinite(duration_s) or duration_s <= 0:
        raise MeasureError(f"a job of {duration_s:g} s has no greenest start: give a duration above 0")
    first = now or series.times[0]
    if first.tzinfo is None:
        first = first.replace(tzinfo=UTC)
    length = timedelta(seconds=duration_s)
    latest = series.end - length
    if not series.times[0] <= first <= latest:
        raise MeasureError(
            f"a job of {duration_s:.0f} s from {first.isoformat()} does not fit into the intensity series "
            f"({series.times[0].isoformat()} to {series.end.isoformat()}): give a longer series"
        )
    if horizon_s is not None:
        latest = min(latest, first + timedelta(seconds=max(0.0, horizon_s)))
    starts = {first, latest, *series.times, *(moment - length for moment in series.times)}

    def price(start: datetime) -> tuple[float, datetime]:
        waited = (start - first).total_seconds()
        return round(series.mean(start, duration_s) + waiting * waited, 9), start

    best = min((start for start in starts if first <= start <= latest), key=price)
    here, there = series.mean(first, duration_s), series.mean(best, duration_s)
    return GreenWindow(
        now=first,
        start=best,
        intensity_kg_per_kwh=kg_from_grams(there),
        now_intensity_kg_per_kwh=kg_from_grams(here),
        saving=None if here == 0 else 1.0 - there / here,
        note="",
    )
