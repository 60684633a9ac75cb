"""The one query over runs, and how a row becomes a `Run` or a `RunSummary`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy import Connection, Row, Select

from foretoll.errors import LedgerError
from foretoll.ledger.files import first_problem
from foretoll.ledger.process import Life, ProcessStamp, life_of
from foretoll.ledger.schema import run_end, run_start, run_tag
from foretoll.records import Outcome, Run

_real = run_end.alias("real_end")
_presumed = run_end.alias("presumed_end")
_OPEN = (Outcome.RUNNING, Outcome.INTERRUPTED)


def _of_end(name: str) -> sa.ColumnElement[Any]:
    """A column of the end that counts: the one that the run wrote itself, or else the presumed one."""
    return sa.func.coalesce(_real.c[name], _presumed.c[name]).label(name)


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


def select_runs(*, record: bool) -> Select[Any]:
    """All runs with the end that counts; with the full JSON only if `record`."""
    columns: list[sa.ColumnElement[Any]] = [
        column for column in run_start.c if column.name not in ("recorded_at", "record")
    ]
    columns += [_of_end(name) for name in ("outcome", "finished_at")]
    if record:
        columns.append(
            sa.func.coalesce(_real.c.record, _presumed.c.record, run_start.c.record).label("record")
        )
    else:
        columns += [_of_end(name) for name in ("epochs", "energy_kwh", "emissions_kg", "duration_s")]
    joined = run_start.outerjoin(_real, sa.and_(_real.c.run_id == run_start.c.id, _real.c.presumed == 0))
    joined = joined.outerjoin(
        _presumed, sa.and_(_presumed.c.run_id == run_start.c.id, _presumed.c.presumed == 1)
    )
    return sa.select(*columns).select_from(joined)


def filtered_rows(
    connection: Connection, filters: Filters, *, record: bool, age_limit: timedelta
) -> list[tuple[Row[Any], Outcome, str]]:
    """The matching rows, each with its outcome as of now and, where the ledger concluded it, the reason."""
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
    if filters.limit is not None and filters.outcome not in _OPEN:
        query = query.limit(filters.limit)
    found: list[tuple[Row[Any], Outcome, str]] = []
    for row in connection.execute(query):
        if filters.limit is not None and len(found) >= filters.limit:
            break
        outcome, reason = outcome_now(row, age_limit)
        if filters.outcome is None or outcome == filters.outcome:
            found.append((row, outcome, reason))
    return found


def outcome_now(row: Row[Any], age_limit: timedelta) -> tuple[Outcome, str]:
    """The outcome that was written, or for a run without an end: running, or interrupted and why."""
    if row.outcome is not None:
        return Outcome(row.outcome), ""
    if row.pid is None:
        return Outcome.INTERRUPTED, "no end was recorded"
    life, why = life_of(ProcessStamp(row.host, row.boot_id, row.pid_namespace, row.pid, row.process_started))
    if life is Life.ALIVE:
        return Outcome.RUNNING, ""
    if life is Life.UNKNOWN:
        if datetime.now(UTC) - datetime.fromisoformat(row.started_at) <= age_limit:
            return Outcome.RUNNING, ""
        why = f"{why} more than {age_limit.total_seconds() / 3600:g} h ago and recorded no end"
    return Outcome.INTERRUPTED, why


def to_run(row: Row[Any], outcome: Outcome, reason: str, where: str) -> Run:
    """The validated record of a row that was selected with `record=True`."""
    run = parse(row.record, row.id, where)
    if run.outcome == outcome:
        return run
    return run.model_copy(update={"outcome": outcome, "reason": reason})


def parse(record: str, run_id: str, where: str) -> Run:
    """The run of a stored JSON text.

    Raises:
        LedgerError: it does not validate.
    """
    try:
        return Run.model_validate_json(record)
    except ValidationError as error:
        raise LedgerError(
            f"run {run_id} in the ledger {where} cannot be read ({first_problem(error)}): "
            "upgrade foretoll if a newer one wrote it, or run `foretoll ledger doctor`"
        ) from error


def to_summary(row: Row[Any], outcome: Outcome, reason: str) -> RunSummary:
    """The summary of a row that was selected with `record=False`."""
    return RunSummary(
        id=row.id,
        option=row.option,
        outcome=outcome,
        reason=reason,
        started_at=datetime.fromisoformat(row.started_at),
        finished_at=datetime.fromisoformat(row.finished_at) if row.finished_at else None,
        arch=row.arch,
        source=row.source,
        target=row.target,
        epochs=row.epochs,
        energy_kwh=row.energy_kwh,
        emissions_kg=row.emissions_kg,
        duration_s=row.duration_s,
    )


def row_of(connection: Connection, run_id: str) -> Row[Any] | None:
    """The row of one run with its record, by its whole id."""
    return connection.execute(select_runs(record=True).where(run_start.c.id == run_id)).one_or_none()


def ids_like(connection: Connection, prefix: str) -> list[str]:
    """The ids that begin with a prefix, exactly as written, in order."""
    begins = sa.func.substr(run_start.c.id, 1, len(prefix)) == prefix
    return list(connection.scalars(sa.select(run_start.c.id).where(begins).order_by(run_start.c.id)))


def newest_ids(connection: Connection) -> list[str]:
    """The ids of the three newest runs."""
    return list(
        connection.scalars(sa.select(run_start.c.id).order_by(run_start.c.started_at.desc()).limit(3))
    )
