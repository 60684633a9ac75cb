"""Files that are there whole, or as they were before: written beside their place, then moved there.

What a killed process left is known by its name and cleared by the next one that writes the same file. The name says
which process made it, so that nothing is taken from one that is still writing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from foretoll.process import ProcessStamp, is_alive, this_process

_AGE_S = 24 * 3600.0  # of what another host or container made, whose processes cannot be seen from here
_STAMP = re.compile(r"(?P<where>[0-9a-f]{8})-(?P<pid>\d+)-(?P<started>\w+)-[0-9a-f]{8}")


@contextlib.contextmanager
def replacing(path: Path, suffix: str) -> Iterator[BinaryIO]:
    """A stream into a part beside the file, which takes its place when the block ends well; links are followed.

    Raises:
        OSError: it cannot be written, among others because it is a folder or a device.
        ValueError: no file can have such a name.
    """
    if path.is_symlink():  # the link stays, and what it names is written
        path = Path(os.path.realpath(path))
        if path.is_symlink():
            raise OSError(errno.ELOOP, "the link leads to itself")
    if path.is_dir() or not path.name:
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is a device")
    prefix = f".{path.name}."
    clear_leftovers(path.parent, prefix, suffix)
    part = path.with_name(own_name(prefix, suffix))
    done = False
    try:
        with part.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        done = True
    finally:
        if not done:
            part.unlink(missing_ok=True)


def own_name(prefix: str, suffix: str = "") -> str:
    """A name for a temporary file or folder of this process, between a prefix and a suffix."""
    me = this_process()
    return f"{prefix}{_where(me)}-{me.pid}-{me.started or 0}-{secrets.token_hex(4)}{suffix}"


def clear_leftovers(folder: Path, prefix: str, suffix: str = "", *, named: bool = False) -> None:
    """Take away what `own_name` named in a folder and no living process holds. Nothing is raised.

    `named`: the prefix is the beginning of many files' names, each of which ends with a dot before the stamp.
    """
    me = this_process()
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            if not (path.name.startswith(prefix) and path.name.endswith(suffix)):
                continue
            rest = path.name.removeprefix(prefix).removesuffix(suffix)
            found = _STAMP.fullmatch(rest.rpartition(".")[2] if named else rest)
            if found is None:
                continue
            if found["where"] == _where(me):
                gone = not is_alive(int(found["pid"]), found["started"])
            else:
                gone = time.time() - path.lstat().st_mtime > _AGE_S
            if gone and path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif gone:
                path.unlink(missing_ok=True)


def _where(stamp: ProcessStamp) -> str:
    """Within what a process id means the same process: host, boot, container."""
    return hashlib.sha256(f"{stamp.host} {stamp.boot_id} {stamp.pid_namespace}".encode()).hexdigest()[:8]
