"""Starting script.py as a user would, and looking at the processes that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

SCRIPT = Path(__file__).with_name("script.py")


def start_script(*arguments: str) -> subprocess.Popen[str]:
    """Start script.py in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])},
    )


def start_sleepers(engine: str, folder: Path) -> subprocess.Popen[str]:
    """Start script.py and return when two workers are at tasks of ten minutes."""
    script = start_script(engine, "sleep_and_tell", str(folder))
    wait_for(lambda: len(workers_of(folder)) == 2 or script.poll() is not None, "two workers")
    return script


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited for a minute: {what}"
        time.sleep(0.02)


def workers_of(folder: Path) -> list[int]:
    """The process ids that `sleep_and_tell` left in `folder`."""
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
