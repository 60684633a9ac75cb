"""The one query over runs, and how a row becomes a `Run` or a `RunSummary`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Row, Select

from foretoll.errors import shown
from foretoll.exchange.reading import StoredRun, UnreadableError, UnreadRecord, concluded, read_record
from foretoll.ledger.schema import run_end, run_start, run_tag
from foretoll.process import Liveness, ProcessStamp, life_of
from foretoll.records import Outcome

T = TypeVar("T")
AT_ONCE = 500  # rows
_real = run_end.alias("real_end")
_presumed = run_end.alias("presumed_end")
_OPEN = (Outcome.RUNNING, Outcome.INTERRUPTED)


def _of_end(name: str) -> sa.ColumnElement[Any]:
    """A column of the end that counts: the one that the run wrote itself, or else the presumed one."""
    return sa.case((_real.c.run_id.is_not(None), _real.c[name]), else_=_presumed.c[name]).label(name)


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows, from indexed columns alone: no record is parsed for it."""

    id: str
    option: str
    outcome: Outcome
    reason: str  # only where the ledger itself concluded that the run was interrupted
    started_at: datetime
    finished_at: datetime | None
    arch: str
    source: str | None
    target: str
    epochs: float | None
    energy_kwh: float | None
    emissions_kg: float | None
    duration_s: float | None


@dataclass(frozen=True)
class Filters:
    """Which runs, in which order."""

    option: str | None = None
    outcome: Outcome | None = None
    tag: str | None = None
    limit: int | None = None
    newest_first: bool = True


@dataclass
class QueryResult(Generic[T]):
    """What a query gave, and the rows that could not be read."""

    items: list[T] = field(default_factory=list)
    unread: list[UnreadRecord] = field(default_factory=list)


def select_runs(*, record: bool) -> Select[Any]:
    """All runs with the end that counts; with the full JSON, and that of the start as `begun`, only if `record`."""
    columns: list[sa.ColumnElement[Any]] = [
        column for column in run_start.c if column.name not in ("recorded_at", "record")
    ]
    columns += [_of_end(name) for name in ("outcome", "finished_at")]
    columns.append(sa.func.coalesce(_real.c.run_id, _presumed.c.run_id).label("ended"))
    if record:
        columns += [
            sa.case(
                (_real.c.run_id.is_not(None), _real.c.record),
                (_presumed.c.run_id.is_not(None), _presumed.c.record),
                else_=run_start.c.record,
            ).label("record"),
            run_start.c.record.label("begun"),
        ]
    else:
        columns += [_of_end(name) for name in ("epochs", "energy_kwh", "emissions_kg", "duration_s")]
    joined = run_start.outerjoin(_real, sa.and_(_real.c.run_id == run_start.c.id, _real.c.presumed == 0))
    joined = joined.outerjoin(
        _presumed, sa.and_(_presumed.c.run_id == run_start.c.id, _presumed.c.presumed == 1)
    )
    return sa.select(*columns).select_from(joined)


def find(
    connection: Connection,
    filters: Filters,
    make: Callable[[Row[Any], Outcome, str], T],
    *,
    record: bool,
    age_limit: timedelta,
) -> QueryResult[T]:
    """What `make` makes of each matching row, and the rows that could not be read, which stop none of the others."""
    found: QueryResult[T] = QueryResult()
    for one in each(connection, filters, make, record=record, age_limit=age_limit):
        if isinstance(one, UnreadRecord):
            found.unread.append(one)
        else:
            found.items.append(one)
    return found


def each(
    connection: Connection,
    filters: Filters,
    make: Callable[[Row[Any], Outcome, str], T],
    *,
    record: bool,
    age_limit: timedelta,
) -> Iterator[T | UnreadRecord]:
    """What `make` makes of each matching row, its outcome as of now and, where the ledger concluded it, the reason.

    Some hundred rows are in memory. In place of one that cannot be read: what is wrong.
    """
    query = select_runs(record=record)
    if filters.option is not None:
        query = query.where(run_start.c.option == filters.option)
    if filters.tag is not None:
        tagged = sa.select(run_tag.c.run_id).where(run_tag.c.tag == filters.tag)
        query = query.where(run_start.c.id.in_(tagged))
    if filters.outcome is not None:
        matches = _of_end("outcome") == filters.outcome.value
        if filters.outcome in _OPEN:  # a run without an end is one of the two: its process decides
            matches = sa.or_(matches, _of_end("outcome").is_(None))
        query = query.where(matches)
    order = [run_start.c.started_at, run_start.c.id]
    query = query.order_by(*(column.desc() if filters.newest_first else column for column in order))
    # rows that do not count are not known to the database: read on until it is enough
    at_once = AT_ONCE if filters.limit is None else max(min(filters.limit, AT_ONCE), 1)
    count = 0
    with connection.execute(
        query.execution_options(yield_per=at_once)
    ) as rows:  # a server's cursor is closed
        for row in rows:
            if filters.limit is not None and count >= filters.limit:
                break
            try:
                outcome, reason = outcome_now(row, age_limit)
                if filters.outcome is None or outcome == filters.outcome:
                    yield make(row, outcome, reason)
                    count += 1
            except UnreadableError as error:
                yield UnreadRecord(run_name(row.id), str(error))


def tags_of(connection: Connection, prefix: str, tag: str | None) -> dict[str, tuple[str, ...]]:
    """By run the tags that begin with `prefix`, of all runs or of those with `tag`; no record is parsed."""
    query = sa.select(run_tag.c.run_id, run_tag.c.tag).where(
        run_tag.c.tag.startswith(prefix, autoescape=True)
    )
    if tag is not None:
        query = query.where(run_tag.c.run_id.in_(sa.select(run_tag.c.run_id).where(run_tag.c.tag == tag)))
    found: dict[str, tuple[str, ...]] = {}
    for run_id, name in connection.execute(query.order_by(run_tag.c.run_id, run_tag.c.tag)):
        found[run_id] = (*found.get(run_id, ()), name)
    return found


def find_after(
    connection: Connection, after: tuple[str, str] | None, count: int, age_limit: timedelta
) -> tuple[QueryResult[StoredRun], tuple[str, str] | None]:
    """The next `count` runs in the order of their start, and the place to go on from; None at the end."""
    place = sa.tuple_(run_start.c.started_at, run_start.c.id)
    query = select_runs(record=True).order_by(run_start.c.started_at, run_start.c.id).limit(count)
    if after is not None:
        query = query.where(place > sa.tuple_(*(sa.literal(part) for part in after)))
    found: QueryResult[StoredRun] = QueryResult()
    last = None
    for row in connection.execute(query):
        last = (row.started_at, row.id)
        try:
            found.items.append(to_stored(row, *outcome_now(row, age_limit)))
        except UnreadableError as error:
            found.unread.append(UnreadRecord(run_name(row.id), str(error)))
    return found, last


def run_name(run_id: object) -> str:
    """How a run is named whose columns may be anything."""
    return f"run {shown(run_id, 40)[1:-1]}"


def known_outcome(value: object) -> Outcome:
    """The outcome of a column; UnreadableError where it is none that this version knows."""
    if value not in list(Outcome):
        raise UnreadableError(f"unknown outcome {shown(value, 40)}")
    return Outcome(str(value))


def outcome_now(row: Row[Any], age_limit: timedelta) -> tuple[Outcome, str]:
    """The outcome that was written, or for a run without an end: running, or interrupted and why.

    Raises:
        UnreadableError: the columns that say it are damaged, or of a newer version.
    """
    if row.ended is not None:
        return known_outcome(row.outcome), ""
    if not isinstance(row.pid, int):
        return Outcome.INTERRUPTED, "no end was recorded"
    life, why = life_of(ProcessStamp(row.host, row.boot_id, row.pid_namespace, row.pid, row.process_started))
    if life is Liveness.ALIVE:
        return Outcome.RUNNING, ""
    if life is Liveness.UNKNOWN:
        if datetime.now(UTC) - _moment(row.started_at) <= age_limit:
            return Outcome.RUNNING, ""
        why = f"{why} more than {age_limit.total_seconds() / 3600:g} h ago and recorded no end"
    return Outcome.INTERRUPTED, why


def to_stored(row: Row[Any], outcome: Outcome, reason: str) -> StoredRun:
    """The validated record of a row that was selected with `record=True`.

    Raises:
        UnreadableError: it does not validate.
    """
    return concluded(read_record(row.record, row.begun), outcome, reason)


def to_summary(row: Row[Any], outcome: Outcome, reason: str) -> RunSummary:
    """The summary of a row that was selected with `record=False`.

    Raises:
        UnreadableError: a column of it is damaged.
    """
    texts = (row.id, row.option, row.arch, row.target)
    numbers = (row.epochs, row.energy_kwh, row.emissions_kg, row.duration_s)
    if not all(map(is_text, texts)) or not all(n is None or isinstance(n, int | float) for n in numbers):
        raise UnreadableError("a column of it is damaged")
    return RunSummary(
        id=row.id,
        option=row.option,
        outcome=outcome,
        reason=reason,
        started_at=_moment(row.started_at),
        finished_at=_moment(row.finished_at) if row.finished_at else None,
        arch=row.arch,
        source=row.source,
        target=row.target,
        epochs=row.epochs,
        energy_kwh=row.energy_kwh,
        emissions_kg=row.emissions_kg,
        duration_s=row.duration_s,
    )


def is_text(value: object) -> bool:
    """Whether a column holds text, all of it UTF-8."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnreadableError("its time is damaged") from error


def row_of(connection: Connection, run_id: str) -> Row[Any] | None:
    """The row of one run with its record, by its whole id."""
    return connection.execute(select_runs(record=True).where(run_start.c.id == run_id)).one_or_none()


def ids_like(connection: Connection, prefix: str) -> list[str]:
    """The ids that begin with a prefix, exactly as written, in order; of a whole id that one alone."""
    whole = list(connection.scalars(sa.select(run_start.c.id).where(run_start.c.id == prefix)))
    if whole:
        return whole
    begins = sa.func.substr(run_start.c.id, 1, len(prefix)) == prefix
    if connection.dialect.name == "sqlite":  # by the index: texts are in the order of their bytes there
        begins = sa.and_(run_start.c.id >= prefix, run_start.c.id < f"{prefix}\U0010ffff", begins)
    return list(connection.scalars(sa.select(run_start.c.id).where(begins).order_by(run_start.c.id)))


def newest_ids(connection: Connection) -> list[str]:
    """The ids of the three newest runs."""
    return list(
        connection.scalars(sa.select(run_start.c.id).order_by(run_start.c.started_at.desc()).limit(3))
    )
