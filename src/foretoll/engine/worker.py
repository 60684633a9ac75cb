"""A worker process: receives pickled tasks over a pipe, sends replies, and dies with its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait

from foretoll.engine.calls import call_pickled, limit_threads
from foretoll.interruption import guarded, was_asked


def work(connection: Connection, threads: int) -> None:
    """Serve `connection` until it ends or None comes.

    The first thing sent is "ready". A message is (pickled function or None for the last one, pickled task).
    Ctrl-C and SIGHUP are the parent's affair: they reach all processes of a terminal, and the parent stops the
    workers. It does so by SIGTERM, which ends a task as Ctrl-C would: a run that is under way is written down.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # blocked while the process started
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_die_with_parent, name="foretoll-parent-watch", daemon=True).start()
    limit_threads(threads)
    function = b""
    try:
        with guarded(hand_on=False):
            connection.send("ready")
            while (message := connection.recv()) is not None:
                function = message[0] or function
                reply = call_pickled(function, message[1])
                if was_asked():
                    return  # the parent finds it dead: it stopped it itself, or begins the task again
                connection.send(reply)
    except (EOFError, OSError, KeyboardInterrupt):
        return  # the parent is gone, no longer listens, or stops this worker


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # nobody is left who could use what the task still computes
