"""One lesson as a row of a database: typed columns that runs are chosen by, and all of it as a packed text.

The text is made by the code of `MADE_BY`, whose digest stands beside it: a row of another version is made anew from
its record when it is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from foretoll.exchange.packing import PackingError, pack, unpack
from foretoll.forecast.early import lessons_of
from foretoll.forecast.kept import OF_RUNS, key_of
from foretoll.forecast.lessons import COSTS, Lesson
from foretoll.forecast.unseen import KnownSettings, distinct_settings
from foretoll.records import Outcome, Run, TrainingSettings

MADE_BY = (*OF_RUNS, "early", "lesson_rows")
_TEXTS = (
    "run_id",
    "option",
    "family",
    "source_name",
    "target_name",
    "shift",
    "model_id",
    "weights_digest",
    "task",
)
_NUMBERS = ("epochs", "limit", "lower")


@cache
def made_by() -> str:
    """Names the code that makes a row."""
    return key_of("row", MADE_BY).removeprefix("row-")[:16]


@dataclass(frozen=True)
class LessonRow:
    """What is stored of one run's end.

    teaches: 1 where a forecast can learn from it. alike: names what equal runs share (data, shift, option, family,
    task). settings: those that are learned from, as JSON; settings_alike: the same for all that tell a forecast the
    same. lesson: the packed lesson; None where it teaches nothing.
    """

    made_by: str
    teaches: int
    model_id: str | None
    weights_digest: str | None
    alike: str
    settings: str
    settings_alike: str
    lesson: bytes | None


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
        model_id=(lesson.model_id if lesson else "") or None,
        weights_digest=(lesson.weights_digest if lesson else "") or None,
        alike=_short_digest(shared),
        settings=settings,
        settings_alike=_short_digest(_alike(json.loads(settings))),
        lesson=pack(lesson_text(lesson)) if lesson else None,
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


def lesson_text(lesson: Lesson) -> str:
    """A lesson as JSON, numbers to the last bit."""
    values: list[Any] = [str(lesson.outcome), lesson.decided]
    values += [getattr(lesson, name) for name in (*_TEXTS, *_NUMBERS)]
    values += [lesson.responses[cost] for cost in COSTS]
    return json.dumps([*values, dict(lesson.features)], separators=(",", ":"))


def lesson_in(run_id: str, by: str, packed: object) -> Lesson | None:
    """The lesson of a row made by `by`; None where it is another version's, or damaged."""
    if by != made_by() or not isinstance(packed, bytes):
        return None
    try:
        outcome, decided, *values, features = json.loads(unpack(packed))
        texts, numbers, responses = values[:9], values[9:12], values[12:]
        if run_id != texts[0] or not all(isinstance(text, str) for text in texts):
            return None
        if len(responses) != len(COSTS) or not all(
            map(_is_number, (*responses, *numbers, *features.values()))
        ):
            return None
        return Lesson(
            **dict(zip(_TEXTS, texts, strict=True)),
            **dict(zip(_NUMBERS, numbers, strict=True)),
            outcome=Outcome(outcome),
            decided=bool(decided),
            responses=dict(zip(COSTS, responses, strict=True)),
            features={str(name): value for name, value in features.items()},
        )
    except (PackingError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
