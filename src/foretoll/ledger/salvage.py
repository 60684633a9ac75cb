"""A ledger whose file has damaged pages: the runs that can still be read, copied into a new file beside it.

SQLite stops at the first damaged page that a query meets. So each table is read row by row from its beginning, then
from its end, and what lies between is asked for one row number after the other. A run whose end can be read is whole,
since an end holds the whole record; a packed one goes on from the record of its start, and needs that too. The damaged
file is left as it is: a copy of it is read.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from foretoll.errors import LedgerError
from foretoll.exchange.reading import UnreadableError, read_record, text_of_record
from foretoll.ledger.append import import_all, start_values
from foretoll.ledger.query import known_outcome
from foretoll.ledger.schema import run_end, run_start, run_tag
from foretoll.records import Run

_LEAST_ROW = 64  # bytes that a row of any table takes at least: so many rows at most are in a file
_MOST_PROBES = 1_000_000  # row numbers of damaged pages that are asked for, one by one
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Salvage:
    """What could be read.

    starts: columns of the starts of runs. ends: the runs that have ended, with the text of their record. lost: rows
    of either that cannot be read (those on damaged pages, and those whose record is damaged).
    """

    starts: Rows
    ends: list[tuple[Run, str]]
    lost: int

    @property
    def runs(self) -> int:
        """How many runs there are in all."""
        return len({row["id"] for row in self.starts} | {run.id for run, _ in self.ends})

    def write(self, connection: Connection) -> None:
        """Append everything to an empty ledger."""
        if self.starts:
            connection.execute(run_start.insert(), self.starts)
        tags = [
            {"tag": tag, "run_id": row["id"]}
            for row in self.starts
            for tag in dict.fromkeys(read_record(row["record"]).run.tags)
        ]
        if tags:
            connection.execute(run_tag.insert(), tags)
        import_all(connection, self.ends, "the damaged ledger")


def salvage(path: Path) -> Salvage:
    """Read what can be read of a damaged SQLite ledger.

    Raises:
        LedgerError: there is nothing, since the description of its tables is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="foretoll-") as folder:
        copy = Path(folder) / "ledger.db"
        try:
            shutil.copyfile(path, copy)
            with contextlib.suppress(
                FileNotFoundError
            ):  # what was committed and not yet folded into the file
                shutil.copyfile(path.with_name(path.name + "-wal"), copy.with_name(copy.name + "-wal"))
            connection = sqlite3.connect(copy)
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(
                f"the damaged ledger {path} cannot be copied ({error}): free some space"
            ) from error
        try:
            # a file that is shorter than its header says is read as far as it goes
            connection.execute("PRAGMA writable_schema=ON")
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            starts, no_starts = _rows(connection, run_start.name, [c.name for c in run_start.columns], copy)
            ends, no_ends = _rows(connection, run_end.name, ["run_id", "outcome", "record"], copy)
        except sqlite3.Error as error:
            raise LedgerError(
                f"nothing can be read of the damaged ledger {path} ({error}): restore it from a copy or an export"
            ) from error
        finally:
            connection.close()
    good, bad_starts = _readable_starts(starts)
    ended, bad_ends = _readable_ends(ends, {row["id"]: row["record"] for row in starts})
    return Salvage(good, ended, no_starts + no_ends + bad_starts + bad_ends)


def _rows(connection: sqlite3.Connection, table: str, columns: Sequence[str], file: Path) -> tuple[Rows, int]:
    """The rows of a table that can be read, and how many cannot."""
    wanted = f"SELECT rowid, {', '.join(columns)} FROM {table}"  # noqa: S608  # names of our own
    connection.execute(f"{wanted} WHERE 0")  # raises where there is no such table
    found: dict[int, tuple[Any, ...]] = {}
    tops: list[int] = []  # the highest row number, from each end that could be begun at
    for order in ("", " DESC"):
        try:
            for number, *values in connection.execute(f"{wanted} ORDER BY rowid{order}"):
                found[number] = tuple(values)
                tops += [number] if order and not tops else []
            tops += [max(found, default=0)]
            break
        except sqlite3.DatabaseError:
            continue
    lost = 0
    for number in _between(found, tops[0] if tops else file.stat().st_size // _LEAST_ROW):
        try:
            row = connection.execute(f"{wanted} WHERE rowid = ?", (number,)).fetchone()
        except sqlite3.DatabaseError:
            # behind the last row that was seen nobody knows from this whether there was one
            lost += number < (tops[0] if tops else max(found, default=0))
            continue
        if row is not None:
            found[number] = tuple(row[1:])
    with contextlib.suppress(sqlite3.DatabaseError):  # from an index, which may be whole
        lost = max(lost, connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] - len(found))  # noqa: S608
    return [dict(zip(columns, found[number], strict=True)) for number in sorted(found)], lost


def _between(found: dict[int, tuple[Any, ...]], end: int) -> Iterator[int]:
    """The row numbers up to the last one that were not read."""
    missing = (number for number in range(1, end + 1) if number not in found)
    for asked, number in enumerate(missing):
        if asked == _MOST_PROBES:
            return
        yield number


def _readable_starts(rows: Rows) -> tuple[Rows, int]:
    good: dict[str, dict[str, Any]] = {}
    for row in rows:
        with contextlib.suppress(UnreadableError, UnicodeError):
            run = read_record(_encodable(row["record"])).run
            if run.id == row["id"]:
                good[run.id] = row if _are_texts(row) else start_values(run, None, row["record"])
    return list(good.values()), len(rows) - len(good)


def _readable_ends(rows: Rows, begun: Mapping[str, object]) -> tuple[list[tuple[Run, str]], int]:
    """Ends that can be read; `begun`: by a run's id the record of its start."""
    good = []
    for row in rows:
        with contextlib.suppress(UnreadableError, UnicodeError):
            known_outcome(row["outcome"])
            text = text_of_record(_encodable(row["record"]), begun.get(row["run_id"]))
            run = read_record(text).run
            if run.id == row["run_id"]:
                good.append((run, text.decode()))
    return good, len(rows) - len(good)


def _encodable(value: Any) -> Any:
    """A stored text; UnicodeError where it has bytes that are none."""
    if isinstance(value, str):
        value.encode()
    return value


def _are_texts(row: dict[str, Any]) -> bool:
    try:
        return all(_encodable(value) == value for value in row.values())
    except UnicodeError:
        return False
