"""The ledger's examination: everything that should hold, and a sentence for everything that does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from foretoll.errors import one_line
from foretoll.exchange.reading import UnreadableError, read_record
from foretoll.ledger.aside import DamagedRun, damaged_runs
from foretoll.ledger.query import AT_ONCE, is_text, outcome_now, run_name, select_runs
from foretoll.ledger.schema import run_end, run_start, run_tag
from foretoll.records import Outcome


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    A `dead_run` can be given a presumed end, a `damaged` one be moved aside; of a `broken_file` what can be read can
    be copied.
    """

    text: str
    dead_run: str | None = None
    damaged: DamagedRun | None = None
    broken_file: bool = False


RESTORE = "restore it from a copy or an export, or copy what can be read by foretoll ledger doctor --repair"


def examine(connection: Connection, where: str, age_limit: timedelta) -> list[Finding]:
    """All findings of one ledger whose schema version is already known."""
    findings = list(_database(connection, where))
    if findings:
        return findings  # a damaged file says nothing reliable about its rows
    damaged = damaged_runs(connection)
    findings += [
        Finding(
            f"{run.unread.what} in the ledger {where} cannot be read ({run.unread.why}): "
            "upgrade foretoll if a newer one wrote it, or move it aside with --repair",
            damaged=run,
        )
        for run in damaged
    ]
    findings += _contradictions(connection)
    findings += _orphans(connection)
    findings += _dead_runs(connection, age_limit)
    return findings


def _database(connection: Connection, where: str) -> Iterator[Finding]:
    if connection.dialect.name != "sqlite":
        return
    for (line,) in connection.exec_driver_sql("PRAGMA integrity_check(10)").all():
        if line != "ok" and not str(line).startswith(("NULL value in", "non-unique entry")):
            # the first line of a report is a heading of its own
            yield Finding(
                f"the file {where} is damaged ({one_line(str(line), 60)}): {RESTORE}", broken_file=True
            )


def _contradictions(connection: Connection) -> Iterator[Finding]:
    starts = sa.select(run_start.c.id, sa.literal("running"), run_start.c.record, sa.null())
    joined = run_end.outerjoin(run_start, run_start.c.id == run_end.c.run_id)
    ends = sa.select(run_end.c.run_id, run_end.c.outcome, run_end.c.record, run_start.c.record.label("begun"))
    ends = ends.select_from(joined)
    for query in (starts, ends):
        for rows in connection.execute(query.execution_options(yield_per=AT_ONCE)).partitions(AT_ONCE):
            tags = _tags_of(connection, {run_id for run_id, *_ in rows if is_text(run_id)})
            for run_id, outcome, *record in rows:
                yield from _contradiction(run_id, outcome, record, tags.get(run_id, set()))


def _tags_of(connection: Connection, run_ids: set[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    query = sa.select(run_tag.c.tag, run_tag.c.run_id).where(run_tag.c.run_id.in_(run_ids))
    for tag, run_id in connection.execute(query).all():
        found.setdefault(run_id, set()).add(tag)
    return found


def _contradiction(
    run_id: object, outcome: object, record: Sequence[object], tags: set[str]
) -> Iterator[Finding]:
    try:
        run = read_record(*record).run
    except UnreadableError:
        return  # told of above
    if (run.id, run.outcome.value) != (run_id, outcome) and outcome in list(Outcome):
        yield Finding(
            f"the columns of {run_name(run_id)} ({outcome}) contradict its record ({run.id}, {run.outcome}): "
            "the file was changed by hand, restore it from a copy or an export"
        )
    if not set(run.tags) <= tags:
        yield Finding(
            f"{run_name(run_id)} lacks tags in the table of tags that its record has: "
            "export the ledger and import it into a new file"
        )


def _orphans(connection: Connection) -> Iterator[Finding]:
    known = sa.select(run_start.c.id)
    for run_id in connection.scalars(sa.select(run_end.c.run_id).where(run_end.c.run_id.not_in(known))):
        yield Finding(
            f"{run_name(run_id)} has an end and no start: the file was changed by hand, restore it from a copy"
        )


def _dead_runs(connection: Connection, age_limit: timedelta) -> Iterator[Finding]:
    ended = sa.select(sa.literal(1)).where(run_end.c.run_id == run_start.c.id)
    query = select_runs(record=True).where(~sa.exists(ended)).order_by(run_start.c.started_at)
    for row in connection.execute(query.execution_options(yield_per=AT_ONCE)):
        if row.ended is not None:  # by a damaged column
            continue
        try:
            read_record(row.record, row.begun)  # an end needs a record to copy
            outcome, reason = outcome_now(row, age_limit)
        except UnreadableError:
            continue
        if outcome is Outcome.INTERRUPTED:
            yield Finding(f"run {row.id} has no end: {reason}", dead_run=row.id)
