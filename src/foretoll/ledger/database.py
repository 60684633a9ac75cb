"""Where the ledger is and how it is reached: location, connections, locks, errors in one sentence."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from foretoll.errors import LedgerError, WrongLedgerError
from foretoll.ledger.retries import Retries, is_lock, sqlite_code
from foretoll.ledger.schema import LATEST, READABLE_FROM, is_readable, migrate, newer_text, version_of

T = TypeVar("T")

_ELSEWHERE = "name another place with FORETOLL_LEDGER=FILE"
_MAGIC = b"SQLite format 3\x00"
_PAGE = 8192  # bytes: of SQLite's usual 4,096 each would leave a tenth empty behind the last record that fits


def default_location() -> str:
    """`$FORETOLL_LEDGER` (a path or a database URL), or else the per-user data file."""
    named = os.environ.get("FORETOLL_LEDGER", "").strip()
    if named:
        return named
    return str(user_folder() / "ledger.db")


def user_folder() -> Path:
    """The folder of the user's own data: in `$XDG_DATA_HOME`, or else in the home folder (LedgerError without one)."""
    data_home = os.environ.get("XDG_DATA_HOME", "").strip()
    try:
        folder = Path(data_home) if data_home else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise LedgerError(f"there is no home folder for the ledger: {_ELSEWHERE}") from error
    return folder / "foretoll"


class _Held(threading.local):
    """The connection of a block of this thread; none outside of one, and before its first transaction."""

    inside = False
    connection: Connection | None = None


class Database:
    """One database, reached by short connections: none is held between calls, so forks and threads are safe.

    Args:
        location: a path (SQLite) or a database URL.
        lock_timeout_s: how long to wait for another writer, or for a server that is away, before giving up.
    """

    def __init__(self, location: str | Path | None, *, lock_timeout_s: float = 30.0) -> None:
        self.path: Path | None = None
        self._lock_timeout_s = lock_timeout_s
        self._ready = False
        self._held = _Held()
        self._nowhere: LedgerError | None = None  # why the default place is none
        self.newer: str = ""  # what is to be done about a schema that is newer than this foretoll
        try:
            text = str(location or default_location())
        except LedgerError as error:  # told when it is used: the work itself needs no ledger
            self._nowhere, text = error, str(Path(os.devnull) / "ledger.db")
        if "://" in text:
            self._url = _parse(text)
            self.where = self._url.render_as_string(hide_password=True)
        if "://" not in text or self._url.get_backend_name() == "sqlite":
            self.path = _sqlite_path(text if "://" not in text else self._url.database or "")
            self.where = str(self.path)
        self._retries = Retries(lock_timeout_s, self.where)
        self._engine = self._open_engine()

    # --- transactions ----------------------------------------------------------------------------

    def read(self, work: Callable[[Connection], T], *, empty: T) -> T:
        """The result of `work` in one read transaction; `empty` where nothing was ever written."""
        if not self._prepare_to_read():
            return empty
        return self._transact(work, write=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` in one write transaction: all of it happens, or nothing.

        Raises:
            LedgerError: the ledger cannot be written (locked for too long, read-only, full, not reachable).
            IntegrityError: of SQLAlchemy; the caller knows what a duplicate means.
        """
        self._prepare_to_write()
        return self._transact(work, write=True)

    def append(self, work: Callable[[Connection], None], *, done: Callable[[Connection], bool]) -> None:
        """As `write`, for what cannot be written twice: `done` tells whether it is there.

        It is asked where a connection was lost, since the transaction may have been committed before that.
        """
        self._prepare_to_write()
        self._transact(work, write=True, done=done)

    def _transact(
        self,
        work: Callable[[Connection], T],
        *,
        write: bool,
        done: Callable[[Connection], bool] | None = None,
    ) -> T:
        def once(cut: bool) -> T:
            with self._begun(write) as connection:
                if cut and done is not None and done(connection):
                    return cast("T", None)  # what `append` returns
                return work(connection)

        return self._patiently(once)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block whose transactions share a connection: opening and closing a file takes longer than a small one.

        In this thread alone, and of a file alone. Before a fork it must be closed (`let_go`).
        """
        held = self._held
        if held.inside or self.path is None:
            yield
            return
        held.inside = True
        try:
            yield
        finally:
            held.inside = False
            self.let_go()

    def let_go(self) -> None:
        """Close the connection that is held; the next transaction opens another one."""
        connection, self._held.connection = self._held.connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _begun(self, write: bool) -> Iterator[Connection]:
        """A transaction on a connection of its own, or on the one that is held."""
        held = self._held
        if not held.inside:
            with self._engine.execution_options(foretoll_write=write).begin() as connection:
                yield connection
            return
        if held.connection is None:
            held.connection = self._engine.connect()
        try:
            with held.connection.execution_options(foretoll_write=write).begin():
                yield held.connection
        except BaseException:  # whatever it was, the next attempt begins with a new one
            self.let_go()
            raise

    def _patiently(self, attempt: Callable[[bool], T]) -> T:
        """Repeat an attempt that met a lock or a server that is away; say anything else in one sentence."""
        try:
            return self._retries.repeat(attempt)
        except IntegrityError:
            raise
        except (DBAPIError, sqlite3.Error) as error:
            raise self._explain(error) from error

    # --- getting ready ---------------------------------------------------------------------------

    def _prepare_to_read(self) -> bool:
        if self._nowhere is not None:
            raise self._nowhere
        if self.path is not None and not self.path.exists():
            return False
        if self._ready:
            return True
        if self.path is not None:
            check_file(self.path)
            if self.path.stat().st_size == 0:
                return False
        version = self._transact(lambda connection: version_of(connection, self.where), write=False)
        if version == 0:
            return False
        if version < LATEST:
            try:
                self._upgrade(version)
            except LedgerError:
                if version < READABLE_FROM:
                    raise
                return True  # as it is: in a read-only folder, or where this user may not make tables
        if version > LATEST:
            self.newer = newer_text(self.where, version)
            if not self._transact(is_readable, write=False):
                raise WrongLedgerError(self.newer)
        self._ready = True
        return True

    def _upgrade(self, version: int) -> None:
        try:
            self._transact(lambda connection: migrate(connection, self.where), write=True)
        except (LedgerError, IntegrityError) as error:
            raise LedgerError(
                f"the ledger {self.where} has schema version {version} and cannot be brought to {LATEST} "
                f"({error.orig if isinstance(error, IntegrityError) else error}): "
                "open it once where it can be written"
            ) from error

    def _prepare_to_write(self) -> None:
        if self.path is None:
            if not self._ready or self.newer:
                self._transact(lambda connection: migrate(connection, self.where), write=True)
                self._ready = True
            return
        if self._ready and self.path.exists() and not self.newer:
            return
        found = self._prepare_to_read()
        if self.newer:
            raise WrongLedgerError(self.newer)
        if found and not self._ready:
            self._transact(lambda connection: migrate(connection, self.where), write=True)
        if not found:
            self._create(self.path)
            self._transact(lambda connection: migrate(connection, self.where), write=True)
        self._ready = True

    def _create(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(
                f"the folder of the ledger {path} cannot be made ({error.strerror}): {_ELSEWHERE}"
            ) from error

        def switch_on_wal(_cut: bool) -> None:
            connection = self._connect_sqlite("rwc")
            try:
                connection.execute(f"PRAGMA page_size={_PAGE}")
                connection.execute("PRAGMA journal_mode=WAL")
            finally:
                connection.close()

        self._patiently(switch_on_wal)

    # --- connections -----------------------------------------------------------------------------

    def _open_engine(self) -> Engine:
        if self.path is None:
            return _server_engine(self._url, self.where)
        engine = sa.create_engine("sqlite://", creator=self._connect_sqlite, poolclass=NullPool)

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # a write takes its lock at once: a read that later turns into a write could not wait for it
            immediate = connection.get_execution_options().get("foretoll_write", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

        return engine

    def _connect_sqlite(self, mode: str = "rw") -> sqlite3.Connection:
        path = self.path or Path()  # only called where there is a path
        if mode == "rw" and not _pending_log(path) and not _can_write(path.parent):
            # a WAL database in a read-only folder can be read as immutable only, if no log is pending
            mode = "ro&immutable=1"
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode={mode}",
            uri=True,
            timeout=min(self._lock_timeout_s, 5.0),
            isolation_level=None,  # transactions are begun by the listener above, not by the driver
            check_same_thread=False,
        )
        # what is not UTF-8 in one row must not keep the others from being read
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        try:
            # FULL: a committed run survives a power cut too; the price, one fsync, is nothing beside a run
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error:  # a damaged file
            connection.close()
            raise
        return connection

    def is_broken(self, error: LedgerError) -> bool:
        """Whether the file is an SQLite database that is damaged or cut short, and not one that cannot be reached."""
        cause = error.__cause__
        if isinstance(cause, (DBAPIError, sqlite3.Error)):
            return sqlite_code(getattr(cause, "orig", cause)) == sqlite3.SQLITE_CORRUPT
        return self.path is not None and isinstance(error, TruncatedLedgerError)

    def _explain(self, error: DBAPIError | sqlite3.Error) -> LedgerError:
        orig = getattr(error, "orig", error)
        if is_lock(error):
            return LedgerError(
                f"the ledger {self.where} stayed locked by another program for "
                f"{self._lock_timeout_s:g} s: close that program and try again"
            )
        first_line = (str(orig).strip().splitlines() or [type(orig).__name__])[0]
        if self.path is None:
            return LedgerError(
                f"the ledger {self.where} cannot be used ({first_line}): check the URL and the server, "
                "or unset FORETOLL_LEDGER to use the local file"
            )
        if isinstance(orig, sqlite3.OperationalError) and not self.path.parent.is_dir():
            return LedgerError(f"the folder of the ledger {self.where} is not there: {_ELSEWHERE}")
        why = {
            sqlite3.SQLITE_READONLY: f"cannot be written, it is read-only here: {_ELSEWHERE}",
            sqlite3.SQLITE_CANTOPEN: f"cannot be opened or made (no permission?): {_ELSEWHERE}",
            sqlite3.SQLITE_FULL: f"cannot grow, the disk is full: free some space or {_ELSEWHERE}",
            sqlite3.SQLITE_IOERR: f"cannot be read or written ({first_line}): check the disk or {_ELSEWHERE}",
            sqlite3.SQLITE_CORRUPT: "is damaged: restore it from a copy or an export, or copy "
            "what can be read by foretoll ledger doctor --repair",
            sqlite3.SQLITE_NOTADB: "is no SQLite database: name another file or move this one away",
        }.get(sqlite_code(orig), f"cannot be used ({first_line}): run `foretoll ledger doctor`")
        return LedgerError(f"the ledger {self.where} {why}")


class TruncatedLedgerError(LedgerError):
    """The file is shorter than its header says."""


def check_file(path: Path) -> None:
    """Refuse, without touching it, a file that is no SQLite database or that was cut short.

    An empty file is fine: it is what a process leaves that was killed before its first write.
    """
    try:
        if path.is_dir():
            raise WrongLedgerError(f"{path} is a folder: name a file in it for the ledger")
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device never ends
            raise WrongLedgerError(f"{path} is a pipe or a device: name a file for the ledger")
        for _ in range(3):
            with path.open("rb") as file:
                header = file.read(100)
                size = file.seek(0, os.SEEK_END)
            if size == 0:
                return
            if not header.startswith(_MAGIC[: len(header)]):
                raise WrongLedgerError(
                    f"{path} is no SQLite database: name another file for the ledger or move this one away"
                )
            if _complete(header, size) or _pending_log(path):
                return
            time.sleep(0.05)  # another process may be in the middle of folding its log into the file
    except OSError as error:
        raise LedgerError(f"the ledger {path} cannot be read ({error.strerror}): {_ELSEWHERE}") from error
    raise TruncatedLedgerError(
        f"the ledger {path} is truncated ({size} bytes): restore it from a copy or an export, or copy what "
        "can be read by foretoll ledger doctor --repair"
    )


def _complete(header: bytes, size: int) -> bool:
    """Whether the file is as long as its header says (SQLite file format, section 1.3)."""
    if len(header) < 100:
        return False
    page_size = int.from_bytes(header[16:18], "big")
    page_size = 65536 if page_size == 1 else page_size
    in_use = header[24:28] == header[92:96]  # otherwise the page count is not maintained
    return not in_use or size >= page_size * int.from_bytes(header[28:32], "big")


def _pending_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _can_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _parse(text: str) -> sa.URL:
    try:
        url = sa.make_url(text)
    except ArgumentError as error:
        raise WrongLedgerError(
            "the ledger's database URL cannot be read: write postgresql://user@host/database, or a file path"
        ) from error
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    return url


def _sqlite_path(text: str) -> Path:
    if text in ("", ":memory:"):
        raise WrongLedgerError(
            "a ledger in memory would be lost at the end of the process: name a file for it"
        )
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise LedgerError(f"the home folder in {text!r} is not known: {_ELSEWHERE}") from error


def _server_engine(url: sa.URL, where: str) -> Engine:
    connect_args = {"connect_timeout": 10} if url.get_backend_name() == "postgresql" else {}
    try:
        return sa.create_engine(url, poolclass=NullPool, connect_args=connect_args)
    except NoSuchModuleError as error:
        raise WrongLedgerError(
            f"the ledger {where} is in a kind of database that is not known: "
            "use postgresql://… or the path of an SQLite file"
        ) from error
    except ModuleNotFoundError as error:
        raise WrongLedgerError(
            f'the ledger {where} needs the driver {error.name}: pip install "foretoll[postgres]" for PostgreSQL'
        ) from error
