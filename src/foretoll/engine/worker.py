"""A worker process: receives pickled tasks over a pipe, sends replies, and dies with its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait

from foretoll.engine.calls import call_pickled, limit_threads


def work(connection: Connection, threads: int) -> None:
    """Serve `connection` until it ends or None comes.

    The first thing sent is "ready". A message is (pickled function or None for the last one, pickled task).
    Ctrl-C is the parent's affair: it reaches all processes of a terminal, and the parent stops the workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # blocked while the process started
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_die_with_parent, name="foretoll-parent-watch", daemon=True).start()
    limit_threads(threads)
    function = b""
    try:
        connection.send("ready")
        while (message := connection.recv()) is not None:
            function = message[0] or function
            connection.send(call_pickled(function, message[1]))
    except (EOFError, OSError):
        return  # the parent is gone, or no longer listens


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # nobody is left who could use what the task still computes
