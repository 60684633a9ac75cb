"""Which numbers a study's tables relate to which costs, and what each is called.

All signals are turned so that more should mean a higher cost: those that promise ease (accuracies, LogME, …)
are negated, and say so by a minus in front of their title.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foretoll.indices.table import INDICES
from foretoll.records import Run
from foretoll.research.leave_out import Row

REPEAT = "repeat"
COSTS: dict[str, str] = {
    "epochs": "epochs",
    "gradient_norm": "gradient norm",
    "parameter_change": "parameter change",
    "energy_kwh": "energy",
}
"""Costs in the order of the papers' tables. Energy only where it was measured."""

CUMULATED = ("epochs", "parameter_change", "energy_kwh")
"""What a censored run has spent of these is a lower bound; its mean gradient norm is no bound of anything."""

EASE = frozenset(
    (
        *(
            "initial_quality",
            "initial_confidence",
            "source_quality",
            "source_confidence",
            "cka",
            "doc",
            "atc",
        ),
        *("logme", "h_score", "gbc", "leep", "nce", "knn_accuracy", "renormalised_quality", "probe_accuracy"),
        *("renormalised_probe_accuracy", "pilot8_quality", "pilot24_quality"),
    )
)
MAIN = (
    "recoverability_gap",
    "resque",
    "inv_ari",
    "preindex_score",
    "arm",
    "initial_loss",
    "accuracy_drop",
    "initial_gradient_norm",
    "logme",
    "h_score",
    "leep",
    "frechet",
    "doc",
    "ntk_steps",
    "pilot24_quality",
)
"""Shown without being asked for: the gap, the papers' indices, the trivial baselines and the best-known scores."""

PAPERS = ("resque", "inv_ari", "preindex_score", "arm")
_TITLES = {
    "preindex_score": "PreIndex (s = 1, s̄ = 0)",
    "accuracy_drop": "target − initial accuracy",
    "probe_gap": "target − probe accuracy",
    "renormalised_gap": "target − accuracy, re-estimated statistics",
    "inv_ari": "1 − ARI (RESQUE, task form)",
    "pilot24_quality": "accuracy after 24 steps",
    "pilot8_quality": "accuracy after 8 steps",
    "ntk_steps": "NTK-linearised steps",
    REPEAT: "repeat (another seed)",
}


@dataclass(frozen=True)
class StudyColumn:
    """One number per run; `None` where it is not known."""

    name: str
    title: str
    of: Callable[[Row], float | None]


def columns(rows: Sequence[Row], *, everything: bool = False) -> list[StudyColumn]:
    """The signals that these runs have: the main ones first, with `everything` all the others after them."""
    known = {name for row in rows for name, value in row.case.signals.items() if value is not None}
    derived = {name for name, of in _DERIVED.items() if any(of(row) is not None for row in rows)}
    names = [name for name in MAIN if name in known | derived]
    if everything:
        names += sorted((known | derived) - set(names))
    return [StudyColumn(name, title_of(name), _reader(name)) for name in names]


def title_of(name: str) -> str:
    """What a column is called; a minus in front where it was negated."""
    title = _TITLES.get(name) or (INDICES[name].title if name in INDICES else name.replace("_", " "))
    return f"− {title}" if name in EASE else title


def cost_of(run: Run, cost: str) -> float | None:
    """A cost of a run; epochs of a censored run stand at its limit."""
    value = getattr(run.toll, cost)
    if cost == "epochs" and value is not None:
        return float(min(value, run.settings.max_epochs))
    return None if value is None else float(value)


def _reader(name: str) -> Callable[[Row], float | None]:
    if name in _DERIVED:
        return _DERIVED[name]
    sign = -1.0 if name in EASE else 1.0

    def read(row: Row) -> float | None:
        value = row.case.signals.get(name)
        return None if value is None else sign * value

    return read


def _short_of_target(name: str) -> Callable[[Row], float | None]:
    def read(row: Row) -> float | None:
        value = row.case.signals.get(name)
        return None if value is None else row.case.until - value

    return read


def _preindex_score(row: Row) -> float | None:
    p, inv_ari = row.case.signals.get("preindex"), row.case.signals.get("inv_ari")
    return None if p is None or inv_ari is None else (p + inv_ari) / (1 + p + inv_ari)


_DERIVED: dict[str, Callable[[Row], float | None]] = {
    "preindex_score": _preindex_score,
    "accuracy_drop": _short_of_target("initial_quality"),
    "probe_gap": _short_of_target("probe_accuracy"),
    "renormalised_gap": _short_of_target("renormalised_quality"),
}
