"""The tables of the ledger and the numbered migrations that make them.

The SQL below is portable between SQLite and PostgreSQL. A migration that was released is never edited: a
change is a new function at the end of `MIGRATIONS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy import Connection, column, table

from foretoll.errors import WrongLedgerError

schema_version = table("foretoll_schema", column("version"), column("applied_at"))

run_start = table(
    "run_start",
    *map(column, ("id", "started_at", "recorded_at", "option", "arch", "source", "target")),
    *map(column, ("host", "boot_id", "pid_namespace", "pid", "process_started", "record")),
)

run_end = table(
    "run_end",
    *map(column, ("run_id", "presumed", "recorded_at", "outcome", "finished_at")),
    *map(column, ("epochs", "energy_kwh", "emissions_kg", "duration_s", "record")),
)

run_tag = table("run_tag", column("tag"), column("run_id"))

run_lesson = table(
    "run_lesson",
    *map(column, ("run_id", "presumed", "number", "made_by", "teaches", "model", "weights")),
    *map(column, ("alike", "nth", "place", "digest", "why")),
)

run_settings = table("run_settings", *map(column, ("alike", "settings")))

life_start = table("life_start", *map(column, ("name", "recorded_at", "record")))

life_event = table("life_event", *map(column, ("life", "number", "kind", "key", "recorded_at", "record")))

_CHANGES = ("UPDATE", "DELETE")
LOCK_KEY = 0x666F7265  # "fore": PostgreSQL's advisory lock while migrating


def utc_text(moment: datetime) -> str:
    """UTC in one fixed width, so that text order is time order; a moment without a zone is taken as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def now_text() -> str:
    """This moment as `utc_text`."""
    return utc_text(datetime.now(UTC))


def _starts_and_ends(connection: Connection) -> None:
    for statement in (
        """CREATE TABLE run_start (
            id VARCHAR(128) PRIMARY KEY,
            started_at VARCHAR(27) NOT NULL,
            recorded_at VARCHAR(27) NOT NULL,
            option TEXT NOT NULL,
            arch TEXT NOT NULL,
            source TEXT,
            target TEXT NOT NULL,
            host TEXT,
            boot_id TEXT,
            pid_namespace TEXT,
            pid BIGINT,
            process_started TEXT,
            record TEXT NOT NULL)""",
        """CREATE TABLE run_end (
            run_id VARCHAR(128) NOT NULL REFERENCES run_start (id),
            presumed INTEGER NOT NULL CHECK (presumed IN (0, 1)),
            recorded_at VARCHAR(27) NOT NULL,
            outcome VARCHAR(32) NOT NULL,
            finished_at VARCHAR(27),
            epochs DOUBLE PRECISION,
            energy_kwh DOUBLE PRECISION,
            emissions_kg DOUBLE PRECISION,
            duration_s DOUBLE PRECISION,
            record TEXT NOT NULL,
            PRIMARY KEY (run_id, presumed))""",
        "CREATE INDEX run_start_by_time ON run_start (started_at)",
        "CREATE INDEX run_start_by_option ON run_start (option, started_at)",
        "CREATE INDEX run_end_by_outcome ON run_end (outcome)",
    ):
        connection.exec_driver_sql(statement)
    _append_only(connection, "run_start", "run_end")


def _tags(connection: Connection) -> None:
    connection.exec_driver_sql(
        """CREATE TABLE run_tag (
            tag TEXT NOT NULL,
            run_id VARCHAR(128) NOT NULL REFERENCES run_start (id),
            PRIMARY KEY (tag, run_id))"""
    )
    for run_id, record in connection.execute(sa.select(run_start.c.id, run_start.c.record)).all():
        for tag in _tags_in(record):
            connection.execute(run_tag.insert().values(tag=tag, run_id=run_id))
    _append_only(connection, "run_tag")


def _lives(connection: Connection) -> None:
    for statement in (
        """CREATE TABLE life_start (
            name VARCHAR(128) PRIMARY KEY,
            recorded_at VARCHAR(27) NOT NULL,
            record TEXT NOT NULL)""",
        """CREATE TABLE life_event (
            life VARCHAR(128) NOT NULL REFERENCES life_start (name),
            number INTEGER NOT NULL,
            kind VARCHAR(16) NOT NULL,
            key VARCHAR(128) NOT NULL,
            recorded_at VARCHAR(27) NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (life, number),
            UNIQUE (life, kind, key))""",
    ):
        connection.exec_driver_sql(statement)
    _append_only(connection, "life_start", "life_event")


def _lessons(connection: Connection) -> None:
    blob = "BLOB" if connection.dialect.name == "sqlite" else "BYTEA"
    for statement in (
        f"""CREATE TABLE run_lesson (
            run_id VARCHAR(128) NOT NULL,
            presumed INTEGER NOT NULL,
            number BIGINT NOT NULL,
            made_by VARCHAR(16) NOT NULL,
            teaches INTEGER NOT NULL,
            model_id TEXT,
            weights_digest TEXT,
            alike VARCHAR(16) NOT NULL,
            nth BIGINT NOT NULL,
            place DOUBLE PRECISION NOT NULL,
            why TEXT,
            lesson {blob},
            PRIMARY KEY (run_id, presumed))""",
        "CREATE TABLE run_settings (alike VARCHAR(16) PRIMARY KEY, settings TEXT NOT NULL)",
        "CREATE INDEX run_lesson_by_number ON run_lesson (number)",
        "CREATE INDEX run_lesson_by_kind ON run_lesson (alike, nth)",
        "CREATE INDEX run_lesson_by_place ON run_lesson (place) WHERE teaches = 1",
        "CREATE INDEX run_lesson_by_weights ON run_lesson (weights_digest, number) WHERE weights_digest IS NOT NULL",
        "CREATE INDEX run_lesson_by_model ON run_lesson (model_id, number) WHERE model_id IS NOT NULL",
        "CREATE INDEX run_lesson_nothing ON run_lesson (made_by) WHERE teaches = 0",
        "CREATE INDEX run_lesson_unread ON run_lesson (number) WHERE why IS NOT NULL",
    ):
        connection.exec_driver_sql(statement)
    if connection.dialect.name != "sqlite":
        return
    for name, key in ((run_start.name, "id"), (run_end.name, "run_id")):
        for change in _CHANGES:  # whoever changes a record by hand: its row is made anew
            forget = f"DELETE FROM run_lesson WHERE run_id = OLD.{key}"  # noqa: S608  # names of our own
            connection.exec_driver_sql(
                f"CREATE TRIGGER {name}_lesson_{change.lower()} AFTER {change} ON {name} BEGIN {forget}; END"
            )


def _narrow_lessons(connection: Connection) -> None:
    """Names as numbers, and no lessons: those of the few runs that are chosen are read from their records."""
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        connection.exec_driver_sql("DROP TABLE run_lesson")
        connection.exec_driver_sql(
            """CREATE TABLE run_lesson (
                number INTEGER PRIMARY KEY,
                run_id VARCHAR(128) NOT NULL,
                presumed INTEGER NOT NULL,
                made_by BIGINT NOT NULL,
                teaches INTEGER NOT NULL,
                model BIGINT,
                weights BIGINT,
                alike BIGINT NOT NULL,
                nth BIGINT NOT NULL,
                place DOUBLE PRECISION NOT NULL,
                digest BIGINT NOT NULL,
                why TEXT,
                UNIQUE (run_id, presumed))"""
        )
    else:  # the same table: who was granted rights keeps them
        for statement in (
            "DELETE FROM run_lesson",
            "ALTER TABLE run_lesson DROP COLUMN lesson, DROP COLUMN model_id, DROP COLUMN weights_digest, "
            "DROP COLUMN made_by, DROP COLUMN alike",
            "ALTER TABLE run_lesson ADD COLUMN made_by BIGINT NOT NULL, ADD COLUMN model BIGINT, "
            "ADD COLUMN weights BIGINT, ADD COLUMN alike BIGINT NOT NULL, ADD COLUMN digest BIGINT NOT NULL",
            "DROP INDEX run_lesson_by_place",
            "DROP INDEX run_lesson_unread",
        ):
            connection.exec_driver_sql(statement)
    then = "" if sqlite else ", number"  # SQLite's indexes end in it, being the number of the row
    for statement in (
        "CREATE INDEX run_lesson_by_kind ON run_lesson (alike, nth)",
        "CREATE INDEX run_lesson_by_place ON run_lesson (place) WHERE teaches = 1",
        f"CREATE INDEX run_lesson_by_weights ON run_lesson (weights{then}) WHERE weights IS NOT NULL",
        f"CREATE INDEX run_lesson_by_model ON run_lesson (model{then}) WHERE model IS NOT NULL",
        "CREATE INDEX run_lesson_nothing ON run_lesson (made_by) WHERE teaches = 0",
        "CREATE INDEX run_lesson_unread ON run_lesson (number) WHERE why IS NOT NULL",
    ):
        connection.exec_driver_sql(statement)


def _tags_in(record: str) -> list[str]:
    try:
        return list(dict.fromkeys(json.loads(record)["tags"]))
    except (ValueError, KeyError, TypeError):
        return []  # a damaged record does not keep the others from being upgraded: the doctor names it


@contextmanager
def changeable(connection: Connection) -> Iterator[None]:
    """Let rows be moved within one transaction, which brings the refusal of changes back at its end."""
    tables = (run_start.name, run_end.name, run_tag.name)
    if connection.dialect.name == "sqlite":
        for name in tables:
            for change in _CHANGES:
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}_no_{change.lower()}")
    yield
    _append_only(connection, *tables)


def _append_only(connection: Connection, *tables: str) -> None:
    """Make the database itself refuse changes of rows. PostgreSQL does this with grants (docs/ledger.md)."""
    if connection.dialect.name != "sqlite":
        return
    for name in tables:
        for change in _CHANGES:
            connection.exec_driver_sql(
                f"CREATE TRIGGER {name}_no_{change.lower()} BEFORE {change} ON {name} "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _starts_and_ends, _tags, _lives, _lessons, _narrow_lessons,
)  # fmt: skip
"""Migration i (from 1) brings a ledger from version i − 1 to version i."""

LATEST = len(MIGRATIONS)
READABLE_FROM = 3  # such a ledger can be read where it cannot be brought to the latest version


def version_of(connection: Connection, where: str) -> int:
    """The schema version of an open ledger; 0 where nothing was written yet.

    Raises:
        WrongLedgerError: it is somebody else's SQLite database, or its version is no number.
    """
    names = sa.inspect(connection).get_table_names()
    if schema_version.name not in names:
        if names and connection.dialect.name == "sqlite":
            raise WrongLedgerError(
                f"{where} is an SQLite database of another program (tables {', '.join(sorted(names)[:3])}): "
                "name another file for the ledger"
            )
        return 0
    return int(connection.execute(sa.select(sa.func.max(schema_version.c.version))).scalar() or 0)


def newer_text(where: str, version: int) -> str:
    """What is to be done about a ledger of a newer version."""
    return (
        f"the ledger {where} has schema version {version} and this foretoll knows versions up to "
        f"{LATEST}: upgrade foretoll (pip install --upgrade foretoll)"
    )


def is_readable(connection: Connection) -> bool:
    """Whether a ledger of a newer version has all that this one reads."""
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    return all(
        known.name in there
        and {c.name for c in known.columns} <= {c["name"] for c in inspector.get_columns(known.name)}
        for known in (run_start, run_end, run_tag)
    )


def migrate(connection: Connection, where: str) -> None:
    """Bring the ledger to the latest version, inside the caller's transaction: all of it or nothing.

    Raises:
        WrongLedgerError: it has a newer version already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))
    version = version_of(connection, where)
    if version > LATEST:
        raise WrongLedgerError(newer_text(where, version))
    if version == 0:
        connection.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS foretoll_schema "
            "(version INTEGER PRIMARY KEY, applied_at VARCHAR(27) NOT NULL)"
        )
    for number in range(version + 1, LATEST + 1):
        MIGRATIONS[number - 1](connection)
        connection.execute(schema_version.insert().values(version=number, applied_at=now_text()))
