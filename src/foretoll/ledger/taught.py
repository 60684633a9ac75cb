"""What a ledger's runs teach a forecast, read from columns beside their records: no slower with many runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from foretoll.errors import LedgerError
from foretoll.exchange.reading import UnreadRecord, unread_text
from foretoll.forecast.case import Case
from foretoll.forecast.early import lessons_of
from foretoll.forecast.lesson_columns import Lessons
from foretoll.forecast.lesson_rows import lesson_in
from foretoll.forecast.lessons import Lesson
from foretoll.forecast.own_lessons import EVERY, OF_MODEL, RECENT, SPREAD, OwnLessons, drawn, milestone
from foretoll.forecast.unseen import KnownSettings
from foretoll.ledger.columns import EndedRun, ends_without, has_columns, is_complete, write_lessons
from foretoll.ledger.database import Database
from foretoll.ledger.query import run_name
from foretoll.ledger.schema import run_end, run_lesson, run_settings, run_start
from foretoll.records import TrainingSettings

_AT_ONCE = 500
_TEACHES = run_lesson.c.teaches == sa.literal_column("1")  # not bound, so that a partial index can be used
_NAMED = 3  # unread records whose names are read
Place = tuple[str, str]  # of a run among all: when it began, its id


@dataclass(frozen=True)
class OwnRuns:
    """What is known of a ledger's runs: their lessons, the settings they were trained with, and what is wrong.

    ends: how many ends of runs there are, or so many were; it grows with each.
    """

    lessons: OwnLessons = field(default_factory=OwnLessons)
    ends: int = 0
    settings: tuple[KnownSettings, ...] = ()
    warning: str = ""


@dataclass
class _Unwritten:
    """What could be read and not be written beside its record: a ledger that is read-only here, or newer."""

    lessons: dict[str, tuple[Place, Lesson]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    alike: dict[str, int] = field(default_factory=dict)
    places: dict[str, float] = field(default_factory=dict)
    unread: list[UnreadRecord] = field(default_factory=list)

    def add(self, ends: Iterable[EndedRun], connection: Connection) -> None:
        """Those of these ends that count."""
        for end in ends:
            row, why = end.row()
            if end.run is None or row is None:
                self.unread.append(UnreadRecord(run_name(end.run_id), why))
                continue
            self.settings[row.settings_alike] = row.settings
            if row.teaches and not end.presumed:
                at = sa.select(run_start.c.started_at).where(run_start.c.id == end.run_id)
                (lesson,) = lessons_of([end.run])
                nth = self.alike[row.alike] = self.alike.get(row.alike, 0) + 1
                self.places[end.run_id] = drawn(end.run_id) * nth
                self.lessons[end.run_id] = ((str(connection.scalar(at)), end.run_id), lesson)

    def sample(self) -> list[tuple[Place, Lesson]]:
        """As many as a fit takes of many runs."""
        newest = sorted(self.lessons, key=lambda run: self.lessons[run][0], reverse=True)
        some = {*newest[:RECENT], *sorted(self.places, key=self.places.__getitem__)[:SPREAD]}
        return [self.lessons[run] for run in newest if run in some]


def own_runs(database: Database) -> OwnRuns:
    """What the runs of a ledger teach.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    unwritten = _completed(database)

    def read(connection: Connection) -> OwnRuns:
        return _read(connection, unwritten, database)

    return database.read(read, empty=OwnRuns())


def _completed(database: Database) -> _Unwritten:
    """Write the rows that are missing, some hundred at a time; what cannot be written is given back."""
    unwritten = _Unwritten()
    columns = database.read(has_columns, empty=False)
    if columns and database.read(is_complete, empty=True):
        return unwritten
    writable = columns
    place: tuple[str, int] | None = ("", -1)
    while place is not None:
        ends, place = _next_ends(database, place, columns=columns)
        writable = writable and _write(database, ends)
        if not writable:
            _remember(database, ends, unwritten)
    return unwritten


def _next_ends(
    database: Database, place: tuple[str, int], *, columns: bool
) -> tuple[list[EndedRun], tuple[str, int] | None]:
    none: tuple[list[EndedRun], tuple[str, int] | None] = ([], None)
    return database.read(lambda c: ends_without(c, place, _AT_ONCE, columns=columns), empty=none)


def _write(database: Database, ends: Sequence[EndedRun]) -> bool:
    """Whether their rows could be written."""
    try:
        if ends:
            database.write(lambda c: write_lessons(c, ends))
    except (LedgerError, IntegrityError):  # also where another process wrote the same at the same time
        return False
    return True


def _remember(database: Database, ends: Sequence[EndedRun], unwritten: _Unwritten) -> None:
    database.read(lambda c: unwritten.add(ends, c), empty=None)


def _read(connection: Connection, unwritten: _Unwritten, database: Database) -> OwnRuns:
    stored: list[tuple[Place, Lesson]] = []
    settings, unread, count = dict(unwritten.settings), list(unwritten.unread), len(unwritten.unread)
    many, ends = len(unwritten.lessons) > EVERY, 0
    if has_columns(connection):
        teaching = sa.select(sa.literal(1)).where(_TEACHES).limit(EVERY + 1).subquery()
        known = int(connection.scalar(sa.select(sa.func.count()).select_from(teaching)) or 0)
        many = known + len(unwritten.lessons) > EVERY
        ends = int(connection.scalar(sa.select(sa.func.max(run_lesson.c.number))) or 0)
        stored = _lessons(connection, _sample(ends) if many else [_teaching()])
        for row in connection.execute(sa.select(run_settings.c.alike, run_settings.c.settings)):
            settings[str(row.alike)] = str(row.settings)
        wrong = run_lesson.c.why.is_not(None)
        count += int(connection.scalar(sa.select(sa.func.count()).where(wrong)) or 0)
        named = sa.select(run_lesson.c.run_id, run_lesson.c.why).where(wrong)
        named = named.order_by(run_lesson.c.number.desc()).limit(_NAMED)
        unread += [UnreadRecord(run_name(row.run_id), str(row.why)) for row in connection.execute(named)]
    more = unwritten.sample() if many else unwritten.lessons.values()
    unique = {lesson.run_id: (at, lesson) for at, lesson in [*stored, *more]}
    ordered = [lesson for _, lesson in sorted(unique.values(), key=lambda one: one[0], reverse=True)]

    def of_model(case: Case) -> Lessons:
        return Lessons.of(database.read(lambda c: _of_model(c, case), empty=[]))

    return OwnRuns(
        OwnLessons(ordered, of_model if many else None),
        ends + len(unwritten.lessons),
        tuple(_known(settings[name]) for name in sorted(settings)),
        "; ".join(filter(None, (unread_text(unread, count), database.newer))),
    )


def _teaching() -> sa.Select[Any]:
    """The rows that a forecast can learn from."""
    columns = (run_lesson.c.run_id, run_lesson.c.presumed, run_lesson.c.made_by, run_lesson.c.lesson)
    joined = run_lesson.join(run_start, run_start.c.id == run_lesson.c.run_id)
    return sa.select(*columns, run_start.c.started_at).select_from(joined).where(_TEACHES)


def _sample(ends: int) -> list[sa.Select[Any]]:
    """Those that a fit rests on where there are many."""
    number = run_lesson.c.number
    rows = _teaching().where(number <= milestone(ends))
    return [
        rows.order_by(number.desc()).limit(RECENT),
        rows.order_by(run_lesson.c.place).limit(SPREAD),
    ]


def _of_model(connection: Connection, case: Case) -> list[Lesson]:
    """The newest lessons of the case's own model, the newest first."""
    names = ((run_lesson.c.weights_digest, case.weights_digest), (run_lesson.c.model_id, case.model_id))
    queries = [
        _teaching().where(column == name).order_by(run_lesson.c.number.desc()).limit(OF_MODEL)
        for column, name in names
        if name
    ]
    found = {lesson.run_id: (at, lesson) for at, lesson in _lessons(connection, queries)}
    mine = [one for one in found.values() if one[1].same_model(case)]
    return [lesson for _, lesson in sorted(mine, key=lambda one: one[0], reverse=True)[:OF_MODEL]]


def _lessons(connection: Connection, queries: Sequence[sa.Select[Any]]) -> list[tuple[Place, Lesson]]:
    """The lessons of rows; of one that is damaged or of another version, that of its record."""
    found = []
    for query in queries:
        for row in connection.execute(query).all():
            lesson = lesson_in(row.run_id, row.made_by, row.lesson) or _of_record(
                connection, row.run_id, row.presumed
            )
            if lesson is not None:
                found.append(((str(row.started_at), str(row.run_id)), lesson))
    return found


def _of_record(connection: Connection, run_id: str, presumed: int) -> Lesson | None:
    end = connection.execute(
        sa.select(run_end.c.outcome, run_end.c.record).where(
            run_end.c.run_id == run_id, run_end.c.presumed == presumed
        )
    ).one_or_none()
    run = EndedRun.of(run_id, presumed, *end).run if end is not None else None
    return next(iter(lessons_of([run])), None) if run is not None else None


def _known(settings: str) -> KnownSettings:
    return KnownSettings(TrainingSettings.model_validate_json(settings))
