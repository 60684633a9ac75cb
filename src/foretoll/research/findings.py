"""What a study found, as plain frozen data: tables and pictures are made from these, and JSON is a copy of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from foretoll.research.columns import REPEAT


@dataclass(frozen=True)
class Association:
    """How one signal goes with one cost. `groups`: over how many the figures are averaged (1: pooled).

    low, high: 95 % bootstrap interval of the Spearman correlation, over settings where pooled, over groups
    where averaged. concordance: share of comparable pairs in the right order; 0.5 is chance.
    """

    signal: str
    title: str
    cost: str
    scope: str
    runs: int
    censored: int
    groups: int
    pearson: float | None
    spearman: float | None
    low: float | None
    high: float | None
    concordance: float | None


@dataclass(frozen=True)
class KindAssociation:
    """One signal and one cost within one kind of shift: over all its runs, and the mean within its models."""

    kind: str
    signal: str
    cost: str
    runs: int
    censored: int
    pearson: float | None
    spearman: float | None
    within_models: float | None
    models: int


@dataclass(frozen=True)
class SeedSpread:
    """How far seeds of one setting lie apart: median factor of each cost, and where one reached and one not."""

    settings: int
    disagree: int
    factor: dict[str, float | None]


@dataclass(frozen=True)
class Section:
    """All tables of one sort of shift. `met`: runs that met their target before the first step."""

    shift: str
    runs: int
    censored: int
    met: int
    settings: int
    scopes: tuple[str, ...]
    associations: tuple[Association, ...]
    kinds: tuple[KindAssociation, ...]
    spread: SeedSpread

    def find(self, signal: str, cost: str, scope: str) -> Association | None:
        """One figure, or None where it could not be computed."""
        for entry in self.associations:
            if (entry.signal, entry.cost, entry.scope) == (signal, cost, scope):
                return entry
        return None

    def signals(self) -> list[tuple[str, str]]:
        """Names and titles of the signals, in order; the repeat line last."""
        found = dict.fromkeys((a.signal, a.title) for a in self.associations)
        return sorted(found, key=lambda pair: pair[0] == REPEAT)


@dataclass(frozen=True)
class StudyTables:
    """The tables of a ledger, for one way of reuse."""

    option: str
    runs: int
    censored: int
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()  # what was passed over where the runs were read

    def as_data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)
