"""Which training settings no run that a forecast rests on was made with: those it can know by the pilot alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from foretoll.records import TrainingSettings
from foretoll.records.settings import setting_fields


class Trained(Protocol):
    """Whatever was trained with settings: a run, or `KnownSettings`."""

    @property
    def settings(self) -> TrainingSettings:
        """Those that it was trained with."""


@dataclass(frozen=True)
class KnownSettings:
    """Settings that some run was made with."""

    settings: TrainingSettings


def distinct_settings(runs: Iterable[Trained]) -> list[str]:
    """What is learned from of the runs' settings, each once, as JSON."""
    names = {name for name, field in setting_fields().items() if _is_learned_from(field.json_schema_extra)}
    dumps = (run.settings.model_dump(mode="json", include=names) for run in runs)
    return sorted({json.dumps(one, sort_keys=True) for one in dumps})


def unseen_settings(settings: TrainingSettings, runs: Iterable[Trained]) -> list[str]:
    """One line on the settings that differ from their defaults and that no run has; nothing where there is none.

    A name or a switch is known from a run that has the same; a number, or names that belong to one network, from a run
    that has any. What changes the time of a step alone is of no account.
    """
    fields = {
        name: field for name, field in setting_fields().items() if _is_learned_from(field.json_schema_extra)
    }
    wanted = {
        name: value
        for name, field in fields.items()
        if (value := getattr(settings, name)) != field.default or name == "optimizer"
    }
    for run in runs:
        for name in list(wanted):
            value = getattr(run.settings, name)
            same = isinstance(wanted[name], str | bool)
            if value == wanted[name] or (not same and value != fields[name].default):
                del wanted[name]
        if not wanted:
            return []
    told = settings.model_dump(mode="json")
    names = ", ".join(f"{name}={_short(told.get(name, wanted[name]))}" for name in wanted)
    return [
        f"no run of the ledger was trained with {names}: the interval is that of other trainings, and only the "
        "pilot's steps tell the difference"
    ]


def _is_learned_from(extra: object) -> bool:
    return isinstance(extra, dict) and bool(extra["shapes"])


def _short(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value).strip("{}").replace("'", "")
    return text if len(text) <= 40 else f"{text[:39]}…"
