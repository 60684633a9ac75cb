"""What is appended to the ledger: starts, tags and ends of runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy import Connection

from foretoll.errors import LedgerError, shown
from foretoll.exchange.packing import pack
from foretoll.exchange.reading import StoredRun, UnreadableError, first_problem, read_record, text_of_record
from foretoll.ledger.columns import append_lessons, ended_run
from foretoll.ledger.query import AT_ONCE
from foretoll.ledger.schema import now_text, run_end, run_start, run_tag, utc_text
from foretoll.process import ProcessStamp
from foretoll.records import Outcome, Run
from foretoll.sharing import told_apart

_MAX_ID = 128
_END_KEY = (run_end.c.run_id, run_end.c.presumed)
_KNOWN_AT_START = (
    *("id", "option", "started_at", "model", "source", "target", "task_shift", "settings"),
    *("steps_per_epoch", "trainable_parameters", "hardware", "signals", "lineage", "tags"),
)


def record_of(run: Run) -> str:
    """The JSON text that is stored, checked by reading it back: what is in the ledger can be read."""
    if not 0 < len(run.id) <= _MAX_ID:
        raise LedgerError(f"the run id {shown(run.id)} has {len(run.id)} characters: give it 1 to {_MAX_ID}")
    try:
        record = run.model_dump_json(by_alias=True, warnings=False)
    except ValueError:  # a path that is not UTF-8 is no reason to lose a run
        record = json.dumps(_encodable(run.model_dump(by_alias=True, mode="python")), default=str)
    try:
        Run.model_validate_json(record)
    except ValidationError as error:
        raise LedgerError(
            f"run {run.id} is no valid record ({first_problem(error)}): correct that value"
        ) from error
    return record


def _encodable(value: Any) -> Any:
    """The same data, with what no UTF-8 can hold in its texts written as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value


def as_stored(connection: Connection, record: str, start: object = None) -> str | bytes:
    """A record as the database keeps it: packed in SQLite; PostgreSQL packs long texts by itself.

    start: what is stored of the run's start, where this is the record of its end, which goes on from it. From one
    that cannot be read, and may be made anew, nothing goes on.
    """
    if connection.dialect.name != "sqlite":
        return record
    try:
        read_record(start)
    except UnreadableError:
        return pack(record)
    return pack(record, text_of_record(start))


def has_start(connection: Connection, run_id: str, record: str) -> bool:
    """Whether the ledger has this very start."""
    return _is(_start_record(connection, run_id), None, record)


def has_end(connection: Connection, run_id: str, record: str) -> bool:
    """Whether the ledger has this very end."""
    return _is(*_end_record(connection, run_id), record)


def _is(stored: object, start: object, record: str) -> bool:
    return stored is not None and text_of_record(stored, start) == record.encode()


def insert_start(connection: Connection, run: Run, record: str, by: ProcessStamp | None) -> None:
    """Append a start; `by` is the process that carries the run out, None for an imported run."""
    connection.execute(run_start.insert(), start_values(run, by, as_stored(connection, record)))
    _insert_tags(connection, run.id, run.tags)


def append_end(connection: Connection, run: Run, record: str, by: ProcessStamp) -> None:
    """Append an end, and the start before it where it is missing."""
    if connection.scalar(sa.select(run_start.c.id).where(run_start.c.id == run.id)) is None:
        start = start_of(run)
        insert_start(connection, start, record_of(start), by)
    else:
        _insert_tags(connection, run.id, run.tags)
    insert_end(connection, run, record)


def insert_end(connection: Connection, run: Run, record: str) -> None:
    """Append an end to a start that is there."""
    stored = as_stored(connection, record, _start_record(connection, run.id))
    connection.execute(run_end.insert(), _end_values(run, stored))
    append_lessons(connection, [ended_run(read_record(record).run, int(_is_presumed(run)), record)])


def text_of(stored: StoredRun) -> str:
    """The JSON text to store for a run of a file: as it is there, where it has more than this version knows."""
    record = record_of(stored.run)
    return record if stored.text is None else stored.whole()


def import_all(connection: Connection, runs: Iterable[tuple[Run, str]], path: str) -> int:
    """Append the runs from a file that are not there yet; how many they were.

    Raises:
        LedgerError: another run with the same id is there, or is in the file twice.
    """
    told = list(runs)
    begun, ends = _known(connection, [run.id for run, _ in told])
    new: dict[str, tuple[Run, str]] = {}
    for run, record in told:
        if run.id in new and _is_presumed(new[run.id][0]):
            new[run.id] = (run, record)
        elif (run.id, 0) in ends or run.id in new:
            stored = (new[run.id][1], None) if run.id in new else _end_record(connection, run.id)
            _refuse_difference(run, record, stored, path)
        elif not (_is_presumed(run) and (run.id, 1) in ends):
            new[run.id] = (run, record)
    starts = [start_of(run) for run, _ in new.values() if run.id not in begun]
    for start in starts:
        begun[start.id] = as_stored(connection, record_of(start))
    _insert_many(connection, run_start, [start_values(start, None, begun[start.id]) for start in starts])
    ended = [(run, record, as_stored(connection, record, begun[run.id])) for run, record in new.values()]
    _insert_many(connection, run_end, [_end_values(run, stored) for run, _, stored in ended])
    append_lessons(
        connection, [ended_run(run, int(_is_presumed(run)), record) for run, record in new.values()]
    )
    added = {run.id for run in starts}
    _insert_many(connection, run_tag, [row for run in starts for row in _tag_rows(run.id, run.tags)])
    for run, _ in new.values():
        if run.id not in added:
            _insert_tags(connection, run.id, run.tags)
    return len(new)


def _known(connection: Connection, run_ids: Sequence[str]) -> tuple[dict[str, Any], set[tuple[str, int]]]:
    """Of these runs those that are there: what is stored of their starts, and the keys of their ends."""
    begun: dict[str, Any] = {}
    ends: set[tuple[str, int]] = set()
    for first in range(0, len(run_ids), AT_ONCE):
        some = run_ids[first : first + AT_ONCE]
        starts = sa.select(run_start.c.id, run_start.c.record).where(run_start.c.id.in_(some))
        begun |= {row.id: row.record for row in connection.execute(starts)}
        found = connection.execute(sa.select(*_END_KEY).where(run_end.c.run_id.in_(some)))
        ends |= {(row.run_id, row.presumed) for row in found}
    return begun, ends


def _refuse_difference(run: Run, record: str, stored: tuple[object, object], path: str) -> None:
    try:
        if record.encode() == text_of_record(*stored):
            return
        there = read_record(*stored).run
    except (
        UnreadableError
    ):  # the one that is there is damaged: `doctor --repair` moves it aside, then this one can come
        return
    if there != run and not _is_presumed(run) and told_apart(there) != told_apart(run):
        raise LedgerError(
            f"{path}: run {run.id} differs from the run that is known by this id: take it out of the file"
        )


def _start_record(connection: Connection, run_id: str) -> object:
    return connection.scalar(sa.select(run_start.c.record).where(run_start.c.id == run_id))


def _end_record(connection: Connection, run_id: str) -> tuple[object, object]:
    """What is stored of a run's end, and of its start, by which it is unpacked."""
    joined = run_end.outerjoin(run_start, run_start.c.id == run_end.c.run_id)
    query = sa.select(run_end.c.record, run_start.c.record.label("begun")).select_from(joined)
    found = connection.execute(query.where(run_end.c.run_id == run_id, run_end.c.presumed == 0)).one_or_none()
    return (None, None) if found is None else (found.record, found.begun)


def start_of(run: Run) -> Run:
    """What was known of a run when it began."""
    return Run(outcome=Outcome.RUNNING, **{name: getattr(run, name) for name in _KNOWN_AT_START})


def start_values(run: Run, by: ProcessStamp | None, record: str | bytes) -> dict[str, Any]:
    """The columns of a start with its record as it is stored."""
    return {
        "id": run.id,
        "started_at": utc_text(run.started_at),
        "recorded_at": now_text(),
        "option": run.option,
        "arch": run.model.arch,
        "source": run.source.uri if run.source else None,
        "target": run.target.uri,
        "host": by.host if by else None,
        "boot_id": by.boot_id if by else None,
        "pid_namespace": by.pid_namespace if by else None,
        "pid": by.pid if by else None,
        "process_started": by.started if by else None,
        "record": record,
    }


def _end_values(run: Run, record: str | bytes) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "presumed": int(_is_presumed(run)),
        "recorded_at": now_text(),
        "outcome": run.outcome.value,
        "finished_at": utc_text(run.finished_at) if run.finished_at else None,
        "epochs": run.toll.epochs,
        "energy_kwh": run.toll.energy_kwh,
        "emissions_kg": run.toll.emissions_kg,
        "duration_s": run.toll.duration_s,
        "record": record,
    }


def _is_presumed(run: Run) -> bool:
    """An end that nobody saw has no time: this is how a presumed one is known, in exports too."""
    return run.outcome is Outcome.INTERRUPTED and run.finished_at is None


def _tag_rows(run_id: str, tags: Iterable[str]) -> list[dict[str, str]]:
    return [{"tag": tag, "run_id": run_id} for tag in dict.fromkeys(tags)]


def _insert_tags(connection: Connection, run_id: str, tags: Iterable[str]) -> None:
    known = set(connection.scalars(sa.select(run_tag.c.tag).where(run_tag.c.run_id == run_id)))
    _insert_many(connection, run_tag, [row for row in _tag_rows(run_id, tags) if row["tag"] not in known])


def _insert_many(connection: Connection, table: sa.TableClause, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(table.insert(), rows)
