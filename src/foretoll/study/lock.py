"""One process carries out the studies of a folder at a time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from foretoll.errors import ForetollError, shown
from foretoll.process import Liveness, ProcessStamp, life_of, this_process

if sys.platform != "win32":  # there the stamp in the file decides alone
    import fcntl

LOCK = "study.lock"


@contextmanager
def study_lock(folder: Path) -> Iterator[None]:
    """Hold a folder for a block; the system lets go of it whenever this process ends, however it ends.

    The file says who holds it. Where the file system knows no locks (some network shares), what it says decides: a
    process of this host that is gone holds nothing.

    Raises:
        ForetollError: another process, or another thread of this one, holds it; or the file cannot be written.
    """
    path = folder / LOCK
    try:
        file = _taken(path)
    except OSError as error:
        raise ForetollError(
            f"the lock {shown(path, 120)} cannot be made ({error.strerror}): name another folder with --out"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        file.close()


def _taken(path: Path) -> IO[str]:
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            locks = _lock(file, path)
            if locks and not _is_at(file, path):  # the one that held it took the file away meanwhile
                file.close()
                continue
            holder = _holder(file)
            if holder is not None and _may_live(holder, locks=locks):
                raise ForetollError(_held_text(path, holder))
            file.truncate(0)
            file.write(json.dumps({**asdict(this_process()), "since": datetime.now(UTC).isoformat()}))
            file.flush()
        except BaseException:
            file.close()
            raise
        return file


def _lock(file: IO[str], path: Path) -> bool:
    """Take the system's lock; False where there are none."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        for _ in range(20):  # it may just be about to say who it is
            if _holder(file) is not None:
                break
            time.sleep(0.01)
        raise ForetollError(_held_text(path, _holder(file))) from error
    except OSError:
        return False
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _holder(file: IO[str]) -> dict[str, Any] | None:
    """What the file says of who holds it; None where it says nothing that can be read."""
    file.seek(0)
    try:
        found = json.loads(file.read(4096))
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("pid"), int) else None


def _may_live(holder: dict[str, Any], *, locks: bool) -> bool:
    """Whether somebody who has left a stamp may still be at work, seen from one who holds the system's lock."""
    fields = ("host", "boot_id", "pid_namespace", "pid", "started")
    stamp = ProcessStamp(**{name: holder.get(name) for name in fields})  # type: ignore[arg-type]
    life, _ = life_of(stamp)
    # a lock of the system settles it on one machine; a share may keep the locks of each host apart
    return (life is Liveness.ALIVE and not locks) or (
        life is Liveness.UNKNOWN and stamp.host != this_process().host
    )


def _held_text(path: Path, holder: dict[str, Any] | None) -> str:
    who = "another process"
    if holder is not None:
        since = str(holder.get("since", ""))[:16].replace("T", " ")
        who = (
            f"process {holder['pid']} on {shown(holder.get('host'), 40)[1:-1]} since {shown(since)[1:-1]} UTC"
        )
    return (
        f"the studies in {shown(path.parent, 100)} are being run by {who}: wait for it, name another folder "
        f"with --out, or delete {path.name} there if that process is gone"
    )
