"""What a run's end is chosen by among many, as a row of a database: numbers in few bytes, no part of its lesson.

The lesson itself is read from the record of those that are chosen. A row is made by the code of `MADE_BY`, whose digest
stands in it. Names are kept as numbers that follow from them: two names may share one, so whoever chooses by it looks
at the lesson once more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from foretoll.forecast.early import lessons_of
from foretoll.forecast.kept import OF_RUNS, key_of
from foretoll.forecast.unseen import KnownSettings, distinct_settings
from foretoll.records import Run, TrainingSettings

MADE_BY = (*OF_RUNS, "early", "lesson_rows")
_BYTES = 6  # of a name as a number, which SQLite keeps in as many


@cache
def made_by() -> int:
    """Names the code that makes a row."""
    return number_of(key_of("row", MADE_BY))


def number_of(name: str) -> int:
    """A name as a number: the same for the same name."""
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:_BYTES], "big") >> 1  # a number with a sign


@dataclass(frozen=True)
class LessonRow:
    """What is stored of one run's end.

    teaches: 1 where a forecast can learn from it. model, weights: the model that it started from, by the run that made
    it and by the digest of its weights, where it has these. alike: names what equal runs share (data, shift, option,
    family, task). settings: those that are learned from, as JSON; settings_alike: the same for all that tell a forecast
    the same.
    """

    made_by: int
    teaches: int
    model: int | None
    weights: int | None
    alike: int
    settings: str
    settings_alike: str


def row_of_run(run: Run) -> LessonRow:
    """The row of a run that has ended."""
    (settings,) = distinct_settings([run])
    found = lessons_of([run])
    lesson = found[0] if found else None
    shared = (
        [run.option]
        if lesson is None
        else [lesson.option, lesson.task, lesson.family, lesson.source_name, lesson.target_name, lesson.shift]
    )
    return LessonRow(
        made_by=made_by(),
        teaches=int(lesson is not None),
        model=number_of(lesson.model_id) if lesson and lesson.model_id else None,
        weights=number_of(lesson.weights_digest) if lesson and lesson.weights_digest else None,
        alike=number_of(json.dumps(shared)),
        settings=settings,
        settings_alike=_short_digest(_alike(json.loads(settings))),
    )


def _alike(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `unseen_settings` asks of a run's settings: names and switches, of a number whether it differs."""
    usual = (
        _defaults()
    )  # without those that records leave out at their defaults: where one is there, it differs
    return {
        name: value if isinstance(value, str | bool) else name not in usual or value != usual[name]
        for name, value in settings.items()
    }


@cache
def _defaults() -> dict[str, Any]:
    (text,) = distinct_settings([KnownSettings(TrainingSettings())])
    found: dict[str, Any] = json.loads(text)
    return found


def _short_digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode("utf-8", "backslashreplace")).hexdigest()[
        :16
    ]
