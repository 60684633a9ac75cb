"""What a forecast chooses the runs that ended by, in typed columns beside their records.

A row is written in the transaction that writes the end. Ends without one (of an older foretoll, of a ledger from before
there were columns) get theirs when a forecast first needs them. A row can be deleted at any time: it is made anew from
its record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy import Connection, Row
from sqlalchemy.exc import DBAPIError

from foretoll.errors import one_line
from foretoll.exchange.reading import UnreadableError, concluded, read_record, text_of_record
from foretoll.forecast.lesson_rows import LessonRow, made_by, row_of_run
from foretoll.forecast.own_lessons import drawn
from foretoll.ledger.query import known_outcome
from foretoll.ledger.schema import run_end, run_lesson, run_settings, run_start
from foretoll.records import Run

_NOTHING = {
    **dict.fromkeys(("model", "weights")),
    **dict.fromkeys(("alike", "nth", "place", "teaches"), 0),
}
_ZERO: sa.ColumnElement[int] = sa.literal_column("0")  # not bound, so that a partial index can be used
_OF_END = sa.and_(run_lesson.c.run_id == run_end.c.run_id, run_lesson.c.presumed == run_end.c.presumed)


@dataclass(frozen=True)
class EndedRun:
    """An end as it is stored: its run, or why that cannot be read; `digest` tells its record from others."""

    run_id: str
    presumed: int
    run: Run | None
    digest: int = 0
    why: str = ""

    @classmethod
    def of(cls, row: Row[Any]) -> EndedRun:
        """That of stored columns: `run_id`, `presumed`, `outcome`, `record`, and the `begun` of its start's."""
        try:
            text = text_of_record(row.record, row.begun)
            stored = concluded(read_record(text), known_outcome(row.outcome), "")
        except UnreadableError as error:
            return cls(row.run_id, row.presumed, None, why=str(error))
        return cls(row.run_id, row.presumed, stored.run, crc32(text) >> 1)

    def row(self) -> tuple[LessonRow | None, str]:
        """Its columns, or why there are none; a fault of ours in making them never costs the run its place."""
        if self.run is None:
            return None, self.why
        try:
            return row_of_run(self.run), ""
        except Exception as error:  # noqa: BLE001  # the record is what counts; another version may do better
            return (
                None,
                f"no forecast can learn from it ({type(error).__name__}: {one_line(str(error), 120)})",
            )


def ended_run(run: Run, presumed: int, record: str) -> EndedRun:
    """One whose run was read from its record just now."""
    return EndedRun(run.id, presumed, run, crc32(record.encode()) >> 1)


def append_lessons(connection: Connection, ends: Sequence[EndedRun]) -> None:
    """Append the rows of ends that were appended in this transaction.

    On a server a user may lack the right to do so: the run is what counts, and the rows are made later.
    """
    if connection.dialect.name == "sqlite":
        _append(connection, ends)
        return
    try:
        with connection.begin_nested():
            _append(connection, ends)
    except DBAPIError:
        if connection.invalidated:  # the run is lost with the connection, and is written again
            raise


def write_lessons(connection: Connection, ends: Sequence[EndedRun]) -> None:
    """Write the rows of ends from before: anew where there is one, in its place among the others."""
    new = []
    for end in ends:
        here = run_lesson.c.run_id == end.run_id, run_lesson.c.presumed == end.presumed
        nth = connection.scalar(sa.select(run_lesson.c.nth).where(*here))
        found, _ = end.row()
        if nth and found is not None:
            values = asdict(found)
            for name in ("alike", "settings", "settings_alike"):
                del values[name]
            if end.presumed:
                values["teaches"] = 0
            values |= {"digest": end.digest, "why": None}
            connection.execute(run_lesson.update().where(*here).values(values))
        else:
            connection.execute(run_lesson.delete().where(*here))
            new.append(end)
    _append(connection, new)


def _append(connection: Connection, ends: Sequence[EndedRun]) -> None:
    number = int(connection.scalar(sa.select(sa.func.max(run_lesson.c.number))) or 0)
    alike: dict[int, int] = {}
    settings: dict[str, str] = {}
    rows = []
    for end in ends:
        number += 1
        row: dict[str, Any] = {
            "run_id": end.run_id, "presumed": end.presumed, "number": number, "digest": end.digest,
        }  # fmt: skip
        found, why = end.row()
        if found is None:
            rows.append(row | _NOTHING | {"made_by": made_by(), "why": why})
            continue
        values = asdict(found)
        settings[values.pop("settings_alike")] = values.pop("settings")
        kind = values["alike"]
        if kind not in alike:
            known = sa.select(sa.func.max(run_lesson.c.nth)).where(run_lesson.c.alike == kind)
            alike[kind] = int(connection.scalar(known) or 0)
        alike[kind] += 1
        if end.presumed:  # nobody saw it end
            values["teaches"] = 0
        rows.append(
            row | values | {"nth": alike[kind], "place": drawn(end.run_id) * alike[kind], "why": None}
        )
    if rows:
        connection.execute(run_lesson.insert(), rows)
    known_settings = sa.select(run_settings.c.alike).where(run_settings.c.alike.in_(list(settings)))
    new = sorted(set(settings) - set(connection.scalars(known_settings)))
    if new:
        connection.execute(
            run_settings.insert(), [{"alike": name, "settings": settings[name]} for name in new]
        )


def forget_lessons(connection: Connection, run_ids: Iterable[object]) -> None:
    """Delete the rows of runs whose records were moved."""
    for run_id in run_ids:
        connection.execute(run_lesson.delete().where(run_lesson.c.run_id == run_id))


def has_columns(connection: Connection) -> bool:
    """Whether this ledger has the tables, with all that is read of them."""
    inspector = sa.inspect(connection)
    names = set(inspector.get_table_names())
    return all(
        known.name in names
        and {c.name for c in known.columns} <= {c["name"] for c in inspector.get_columns(known.name)}
        for known in (run_lesson, run_settings)
    )


def is_complete(connection: Connection) -> bool:
    """Whether every end has a row, and none is to be made anew."""
    ends, rows = (connection.scalar(sa.select(sa.func.count()).select_from(t)) for t in (run_end, run_lesson))
    return ends == rows and connection.scalar(sa.select(sa.func.count()).where(*_stale())) == 0


# what another version could not read, or could not learn from, this one may
_STALE = (run_lesson.c.teaches == 0, run_lesson.c.made_by != made_by)


def _stale() -> tuple[sa.ColumnElement[bool], ...]:
    """What another version could not read, or could not learn from, this one may."""
    return run_lesson.c.teaches == _ZERO, run_lesson.c.made_by != made_by()


def select_ends() -> sa.Select[Any]:
    """What `EndedRun.of` reads, of each end that has a start, and when that began."""
    columns = (run_end.c.run_id, run_end.c.presumed, run_end.c.outcome, run_end.c.record)
    joined = run_end.join(run_start, run_start.c.id == run_end.c.run_id)
    return sa.select(*columns, run_start.c.record.label("begun"), run_start.c.started_at).select_from(joined)


def ends_without(
    connection: Connection, after: tuple[str, int], count: int, *, columns: bool
) -> tuple[list[EndedRun], tuple[str, int] | None]:
    """The next ends without a row or with one to be made anew, by their key; and where to go on, None at the end."""
    query = select_ends().where(
        sa.tuple_(run_end.c.run_id, run_end.c.presumed) > sa.tuple_(*map(sa.literal, after)),
        run_end.c.presumed.in_((0, 1)),
    )
    if columns:
        fresh = sa.select(sa.literal(1)).where(
            _OF_END, sa.or_(run_lesson.c.teaches != 0, run_lesson.c.made_by == made_by())
        )
        query = query.where(~sa.exists(fresh))
    rows = connection.execute(query.order_by(run_end.c.run_id, run_end.c.presumed).limit(count)).all()
    last = (rows[-1].run_id, rows[-1].presumed) if len(rows) == count else None
    return [EndedRun.of(row) for row in rows if isinstance(row.run_id, str)], last
