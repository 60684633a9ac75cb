"""Who wrote a start: enough to tell later whether that very process is still alive.

A process id alone is reused. On Linux a process is recognised by host, boot id, pid namespace (containers
share the boot id), pid and its start time in clock ticks since boot, which no clock adjustment moves. On
other systems by host, pid and creation time.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

_PROC = Path("/proc")


class Liveness(Enum):
    """What is known of the process that began a run."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"  # on another host, or in another container of this host


@dataclass(frozen=True)
class ProcessStamp:
    """One process, distinguished from every other one, before and after a reboot."""

    host: str
    boot_id: str | None
    pid_namespace: str | None
    pid: int
    started: str | None


def this_process() -> ProcessStamp:
    """The stamp of the calling process."""
    pid = os.getpid()
    return ProcessStamp(socket.gethostname(), _boot_id(), _pid_namespace(), pid, _started(pid))


def life_of(stamp: ProcessStamp) -> tuple[Liveness, str]:
    """Whether the process is alive, and if not, how that is known (part of a sentence)."""
    if stamp.host != socket.gethostname():
        return Liveness.UNKNOWN, f"it began on {stamp.host}"
    if stamp.boot_id != _boot_id():
        return Liveness.DEAD, f"{stamp.host} was restarted since it began"
    if stamp.pid_namespace != _pid_namespace():
        return Liveness.UNKNOWN, f"it began in another container on {stamp.host}"
    now = _started(stamp.pid)
    if now is None or now != stamp.started:
        return Liveness.DEAD, f"process {stamp.pid} on {stamp.host} ended without saying how the run ended"
    return Liveness.ALIVE, f"process {stamp.pid} on {stamp.host} is alive"


@cache
def _boot_id() -> str | None:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _pid_namespace() -> str | None:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When the process started, as text that is equal exactly for the same process; None: no such process."""
    if not (_PROC / "self/stat").exists():
        return _started_elsewhere(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # the name in parentheses may itself hold blanks and parentheses: fields count from the last ')'
    fields = stat[stat.rindex(")") + 2 :].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZXx" else start_ticks


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, started: str) -> bool:
    """Whether the process of this host (and container) that had this id and start time is still there."""
    return _started(pid) == started
