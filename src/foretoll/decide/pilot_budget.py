"""How far the pilot of an estimate goes on, read from texts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from foretoll.errors import UsageError, shown
from foretoll.records import Interval

SHARE = 0.03  # of the forecast's own energy, where only the width is named
WIDEST = 1000.0


@dataclass(frozen=True)
class PilotBudget:
    """When the pilot of an estimate ends, whichever comes first.

    within: the interval of epochs is within this factor: its ends lie `within`² apart at the most, so that their
    geometric middle is off by `within` at the most; None: however wide it is.
    spend: the share of the forecast's own energy (of its time, where none is measured) that may be spent.
    keep: a folder for the pilot, from which `retrain` goes on.
    """

    within: float | None = None
    spend: float = SHARE
    keep: str | Path | None = None

    def __post_init__(self) -> None:
        if self.within is not None and not 1 < self.within <= WIDEST:
            raise UsageError(
                f"--within {self.within:g} is no factor: give a number above 1, such as 1.5 for an interval whose ends "
                "lie 2.25 times apart"
            )
        if not 0 <= self.spend <= 1:
            raise UsageError(
                f"--spend {100 * self.spend:g}% is no share: give one from 0% to 100%, such as 3%"
            )

    @classmethod
    def parse(
        cls, within: float | str | None, spend: float | str | None, keep: str | Path | None = None
    ) -> PilotBudget | None:
        """Read `1.5` and `3%` (or 0.03); None where nothing is named; UsageError for what cannot be read."""
        if within is None and spend is None and keep is None:
            return None
        return cls(
            None if within is None else _number(str(within), "--within", "1.5"),
            SHARE if spend is None else _number(str(spend), "--spend", "3%"),
            keep,
        )

    def narrow(self, epochs: Interval | None) -> bool:
        """Whether an interval is as narrow as asked."""
        if self.within is None or epochs is None or epochs.high is None or not epochs.low:
            return False
        return epochs.high <= epochs.low * self.within**2


def _number(text: str, flag: str, example: str) -> float:
    bare = text.strip()
    percent = bare.endswith("%") and flag == "--spend"
    try:
        found = float(bare.removesuffix("%") if percent else bare) / (100 if percent else 1)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UsageError(f"{flag} {shown(text, 40)} cannot be read: write {example}")
    return found
