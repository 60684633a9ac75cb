"""How long a database is waited for: another writer's lock, a server that restarts or has no connection free."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError

from foretoll.streams import complain

T = TypeVar("T")

TOLD_AFTER_S = 2.0  # of waiting for a server, that it is being waited for is said
REST_S = 60.0  # after a server was waited for in vain, it is only tried
# Classes and codes of PostgreSQL's errors that pass by themselves: connections, too many of them, a server that
# shuts down or starts, transactions that were in each other's way.
_PASSING = ("08", "53300", "57P01", "57P02", "57P03", "57P05", "40001", "40P01")
# A connection that was refused has no code, only libpq's words; in these it was refused for good.
_FOR_GOOD = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "translate host name",
    "no password supplied",
    "does not support SSL",
)


class Retries:
    """Repeats what met a lock, or a server that was away, until the time is up.

    limit_s: for how long; where: the database's name in messages.
    """

    def __init__(self, limit_s: float, where: str) -> None:
        self.limit_s, self.where = limit_s, where
        self._in_vain_at = float("-inf")

    def repeat(self, attempt: Callable[[bool], T]) -> T:
        """What `attempt(cut)` returns; `cut`: a connection was lost under an attempt before, which may have succeeded.

        The last error is raised as it is (a DBAPIError of SQLAlchemy, an sqlite3.Error).
        """
        began, cut, told = time.monotonic(), False, False
        while True:
            try:
                result = attempt(cut)
            except IntegrityError:
                raise
            except (DBAPIError, sqlite3.Error) as error:
                away = is_away(error)
                now = time.monotonic()
                if not (away or is_lock(error)):
                    raise
                if now - began >= self.limit_s or (away and now - self._in_vain_at < REST_S):
                    self._in_vain_at = now if away else self._in_vain_at
                    raise
                cut = cut or away
                if away and not told and now - began >= TOLD_AFTER_S:
                    told = True
                    complain(f"the ledger {self.where} does not answer: trying for up to {self.limit_s:g} s")
            else:
                self._in_vain_at = float("-inf")
                return result
            time.sleep(random.uniform(0.05, 0.3) if cut else random.uniform(0.005, 0.05))


def is_lock(error: DBAPIError | sqlite3.Error) -> bool:
    """Whether another writer holds SQLite's lock."""
    return sqlite_code(getattr(error, "orig", error)) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_away(error: DBAPIError | sqlite3.Error) -> bool:
    """Whether a database server cannot be reached now, and may be later."""
    orig = getattr(error, "orig", None)
    if orig is None or isinstance(orig, sqlite3.Error):
        return False
    code = getattr(orig, "sqlstate", None)
    if code is not None:
        return str(code).startswith(_PASSING)
    if type(orig).__name__ not in ("OperationalError", "ConnectionTimeout", "InterfaceError"):
        return False
    return not any(words in str(orig) for words in _FOR_GOOD)


def sqlite_code(error: object) -> int:
    """The primary result code; 0 where the error is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
