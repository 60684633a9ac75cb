"""What a ledger's runs teach a forecast: chosen by columns beside their records, so that it takes no longer with many.

Of many runs a sample is read, which stays the same until there are a tenth more; its lessons are kept between processes
(`foretoll.forecast.kept`), and are found by the runs' ids and what tells their records from others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from foretoll.errors import LedgerError
from foretoll.exchange.reading import UnreadRecord, unread_text
from foretoll.forecast.case import Case
from foretoll.forecast.early import lessons_of
from foretoll.forecast.kept import ArrayStore, key_of
from foretoll.forecast.lesson_columns import Lessons
from foretoll.forecast.lesson_rows import MADE_BY, number_of
from foretoll.forecast.lessons import Lesson
from foretoll.forecast.own_lessons import EVERY, OF_MODEL, RECENT, SPREAD, OwnLessons, drawn, milestone
from foretoll.forecast.unseen import KnownSettings
from foretoll.ledger.columns import (
    EndedRun,
    ends_without,
    has_columns,
    is_complete,
    select_ends,
    write_lessons,
)
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


class _Chosen(NamedTuple):
    """Of a row what names its run's end, and what tells its record from others."""

    run_id: str
    presumed: int
    digest: int


@dataclass
class _Unwritten:
    """What could be read and not be written beside its record: a ledger that is read-only here, or newer."""

    lessons: dict[str, tuple[Place, Lesson]] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    alike: dict[int, int] = field(default_factory=dict)
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
    chosen: list[_Chosen] = []
    settings, unread, count = dict(unwritten.settings), list(unwritten.unread), len(unwritten.unread)
    many, ends = len(unwritten.lessons) > EVERY, 0
    if has_columns(connection):
        teaching = sa.select(sa.literal(1)).where(_TEACHES).limit(EVERY + 1).subquery()
        known = int(connection.scalar(sa.select(sa.func.count()).select_from(teaching)) or 0)
        many = known + len(unwritten.lessons) > EVERY
        ends = int(connection.scalar(sa.select(sa.func.max(run_lesson.c.number))) or 0)
        chosen = _chosen(connection, _sample(ends) if many else [_teaching()])
        for row in connection.execute(sa.select(run_settings.c.alike, run_settings.c.settings)):
            settings[str(row.alike)] = str(row.settings)
        wrong = run_lesson.c.why.is_not(None)
        count += int(connection.scalar(sa.select(sa.func.count()).where(wrong)) or 0)
        named = sa.select(run_lesson.c.run_id, run_lesson.c.why).where(wrong)
        named = named.order_by(run_lesson.c.number.desc()).limit(_NAMED)
        unread += [UnreadRecord(run_name(row.run_id), str(row.why)) for row in connection.execute(named)]
    more = unwritten.sample() if many else list(unwritten.lessons.values())

    def of_model(case: Case) -> Lessons:
        return Lessons.of(database.read(lambda c: _of_model(c, case), empty=[]))

    return OwnRuns(
        OwnLessons(_ordered(connection, chosen, more, keep=many), of_model if many else None),
        ends + len(unwritten.lessons),
        tuple(_known(settings[name]) for name in sorted(settings)),
        "; ".join(filter(None, (unread_text(unread, count), database.newer))),
    )


def _ordered(
    connection: Connection, chosen: Sequence[_Chosen], more: Sequence[tuple[Place, Lesson]], *, keep: bool
) -> Lessons:
    """The lessons of chosen rows and what could not be written beside them, newest first.

    keep: those of rows alone are kept for the next process, which finds them by the rows.
    """
    store = ArrayStore.of_user() if keep and not more else ArrayStore(None)
    key = key_of("sample", MADE_BY, repr([(row.run_id, row.presumed, row.digest) for row in chosen]).encode())
    found = store.get(key)
    if found is not None:
        with suppress(KeyError, ValueError):  # damaged: made anew
            return Lessons(found)
    read = _lessons(connection, chosen)
    unique = {lesson.run_id: (at, lesson) for at, lesson in [*read, *more]}
    made = Lessons.of(lesson for _, lesson in sorted(unique.values(), key=_at, reverse=True))
    store.put(key, made.columns)
    return made


def _at(one: tuple[Place, Lesson]) -> Place:
    return one[0]


def _teaching() -> sa.Select[Any]:
    """The rows that a forecast can learn from."""
    return sa.select(run_lesson.c.run_id, run_lesson.c.presumed, run_lesson.c.digest).where(_TEACHES)


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
    names = ((run_lesson.c.weights, case.weights_digest), (run_lesson.c.model, case.model_id))
    queries = [
        _teaching().where(column == number_of(name)).order_by(run_lesson.c.number.desc()).limit(OF_MODEL)
        for column, name in names
        if name
    ]
    found = _lessons(connection, _chosen(connection, queries))
    mine = [one for one in found if one[1].same_model(case)]
    return [lesson for _, lesson in sorted(mine, key=_at, reverse=True)[:OF_MODEL]]


def _chosen(connection: Connection, queries: Sequence[sa.Select[Any]]) -> list[_Chosen]:
    """The rows that any of the queries finds, each once, by their keys."""
    rows = {_Chosen(*row) for query in queries for row in connection.execute(query)}
    return sorted(rows, key=lambda row: (row.run_id, row.presumed))


def _lessons(connection: Connection, chosen: Sequence[_Chosen]) -> list[tuple[Place, Lesson]]:
    """Of those rows whose records can be read: when the run began, and its lesson."""
    found: list[tuple[Place, Lesson]] = []
    for first in range(0, len(chosen), _AT_ONCE):
        some = {(row.run_id, row.presumed) for row in chosen[first : first + _AT_ONCE]}
        query = select_ends().where(run_end.c.run_id.in_([run_id for run_id, _ in some]))
        for row in connection.execute(query).all():
            run = EndedRun.of(row).run if (row.run_id, row.presumed) in some else None
            lessons = lessons_of([run]) if run is not None else []
            found += [((str(row.started_at), str(row.run_id)), lesson) for lesson in lessons]
    return found


def _known(settings: str) -> KnownSettings:
    return KnownSettings(TrainingSettings.model_validate_json(settings))
