"""What cannot be read is moved out of the way: into a table of its own, and raw into a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from foretoll.exchange.files import write_lines
from foretoll.exchange.reading import StoredRun, UnreadableError, UnreadRecord, read_record, text_of_record
from foretoll.ledger.append import as_stored, record_of, start_of, start_values
from foretoll.ledger.columns import forget_lessons, has_columns
from foretoll.ledger.query import AT_ONCE, known_outcome, run_name
from foretoll.ledger.schema import changeable, now_text, run_end, run_start, run_tag

run_aside = sa.table(
    "run_aside", *map(sa.column, ("moved_at", "from_table", "run_id", "why", "columns", "record"))
)


@dataclass
class _Rows:
    """All rows of one run, each with its own key."""

    starts: list[Row[Any]] = field(default_factory=list)
    ends: list[Row[Any]] = field(default_factory=list)


@dataclass
class DamagedRun:
    """The rows of one run that are to be moved, and what is put in their place."""

    unread: UnreadRecord
    starts: list[Row[Any]]
    ends: list[Row[Any]]
    whole: bool  # nothing of the run can be read: its tags go with it
    kept: StoredRun | None = None  # an end that can be read, whose start is made anew
    stay: Sequence[Row[Any]] = ()  # the ends that can be read then, which may go on from the old start


def damaged_runs(connection: Connection) -> list[DamagedRun]:
    """Every run that has a row which cannot be read."""
    damaged = {_run_of(row) for row, end in _all_rows(connection) if _problem(row, end=end)}
    rows: dict[object, _Rows] = {}  # of these alone: all others would not fit into memory
    for row, end in _all_rows(connection) if damaged else ():
        if (run_id := _run_of(row)) in damaged:
            group = rows.setdefault(run_id, _Rows())
            (group.ends if end else group.starts).append(row)
    found = [_look(run_id, group) for run_id, group in rows.items()]
    return [damaged for damaged in found if damaged is not None]


def _all_rows(connection: Connection) -> Iterator[tuple[Row[Any], bool]]:
    """All starts and ends, some hundred in memory, and whether each is an end."""
    for table, end in ((run_start, False), (run_end, True)):
        for row in connection.execute(_keyed(connection, table).execution_options(yield_per=AT_ONCE)):
            yield row, end


def _run_of(row: Row[Any]) -> object:
    """The id of a row's run, whatever is in that column."""
    return row._mapping.get("id", row._mapping.get("run_id"))


def move_aside(connection: Connection, damaged: Iterable[DamagedRun], file: Path) -> int:
    """Move rows into the table `run_aside` and their records, raw, into a file; returns the number of rows.

    All of it is part of the caller's transaction. The file is written before anything is moved.

    Raises:
        LedgerError: the file cannot be written.
    """
    moved = list(damaged)
    rows = [row for run in moved for row in (*run.starts, *run.ends)]
    write_lines(file, (_text(row).replace(b"\n", b" ") for row in rows))
    blob = "BLOB" if connection.dialect.name == "sqlite" else "BYTEA"
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS run_aside (moved_at VARCHAR(27) NOT NULL, from_table TEXT NOT NULL, "
        f"run_id TEXT, why TEXT NOT NULL, columns TEXT NOT NULL, record {blob})"
    )
    with changeable(connection):
        if has_columns(connection):
            forget_lessons(connection, {name for row in rows if _is_plain(name := _run_of(row))})
        for run in moved:
            for table, some in ((run_start, run.starts), (run_end, run.ends)):
                for row in some:
                    connection.execute(run_aside.insert(), _aside_values(table.name, row, run.unread.why))
            if run.whole:
                _delete_tags(connection, [*run.starts, *run.ends])
            _delete(connection, run_end, run.ends)
            if run.kept is None:
                _delete(connection, run_start, run.starts)
                continue
            start = start_of(run.kept.run)  # its end knows what the start knew
            values = start_values(start, None, as_stored(connection, record_of(start)))
            for row in run.starts:
                connection.execute(
                    run_start.update().where(_key(connection)).values(values), {"key": row.row_key}
                )
            for row in run.stay:
                record = as_stored(connection, _text(row).decode())
                connection.execute(
                    run_end.update().where(_key(connection)).values(record=record), {"key": row.row_key}
                )
    return len(rows)


def _look(run_id: object, rows: _Rows) -> DamagedRun | None:
    starts = [(row, _problem(row)) for row in rows.starts]
    ends = [(row, _problem(row, end=True)) for row in rows.ends]
    bad = [why for _, why in (*starts, *ends) if why]
    if not bad:
        return None
    readable = sorted((row for row, why in ends if not why), key=lambda row: int(row.presumed))
    # an end that counts must be readable: the real one before a presumed one
    real = [why for row, why in ends if row.presumed == 0]
    if (real and real[0]) or not (readable or any(not why for _, why in starts)):
        return DamagedRun(UnreadRecord(run_name(run_id), bad[0]), rows.starts, rows.ends, whole=True)
    bad_starts = [row for row, why in starts if why]
    return DamagedRun(
        UnreadRecord(run_name(run_id), bad[0]),
        bad_starts,
        [row for row, why in ends if why],
        whole=False,
        kept=read_record(readable[0].record, readable[0].begun) if bad_starts and readable else None,
        stay=readable,
    )


def _problem(row: Row[Any], *, end: bool = False) -> str:
    """Why a row cannot be read; empty where it can."""
    try:
        if end:
            known_outcome(row.outcome)
        read_record(row.record, row.begun if end else None)
    except UnreadableError as error:
        return str(error)
    return ""


def _keyed(connection: Connection, table: sa.TableClause) -> sa.Select[Any]:
    """All rows, each with a key that names it whatever its columns hold: SQLite allows anything in them.

    An end has the record of its start as `begun`.
    """
    number = "rowid" if connection.dialect.name == "sqlite" else "ctid::text"
    key: sa.ColumnElement[Any] = sa.literal_column(f"{table.name}.{number}")
    query = sa.select(key.label("row_key"), *table.columns)
    if table is not run_end:
        return query
    joined = run_end.outerjoin(run_start, run_start.c.id == run_end.c.run_id)
    return query.add_columns(run_start.c.record.label("begun")).select_from(joined)


def _key(connection: Connection) -> sa.TextClause:
    return sa.text("rowid = :key" if connection.dialect.name == "sqlite" else "ctid = CAST(:key AS tid)")


def _delete(connection: Connection, table: sa.TableClause, rows: Iterable[Row[Any]]) -> None:
    for row in rows:
        connection.execute(table.delete().where(_key(connection)), {"key": row.row_key})


def _delete_tags(connection: Connection, rows: Iterable[Row[Any]]) -> None:
    for row in rows:
        run_id = _run_of(row)
        value = run_id if _is_plain(run_id) else _raw(run_id)
        connection.execute(run_tag.delete().where(run_tag.c.run_id == value))


def _aside_values(table: str, row: Row[Any], why: str) -> dict[str, Any]:
    columns = {
        name: value for name, value in row._mapping.items() if name not in ("row_key", "record", "begun")
    }
    run_id = columns.get("id", columns.get("run_id"))
    return {
        "moved_at": now_text(),
        "from_table": table,
        "run_id": run_name(run_id).removeprefix("run "),
        "why": why,
        "columns": json.dumps(columns, default=repr),
        "record": _raw(row.record),
    }


def _raw(value: object) -> bytes:
    """The bytes of a column as they are stored."""
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode("utf-8", "surrogateescape")


def _text(row: Row[Any]) -> bytes:
    """What a row's record says where it can be unpacked, else its bytes."""
    try:
        return text_of_record(row.record, row._mapping.get("begun"))
    except UnreadableError:
        return _raw(row.record)


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and value == value.encode("utf-8", "replace").decode()
