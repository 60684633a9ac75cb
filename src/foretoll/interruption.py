"""Being stopped from outside: Ctrl-C, SIGTERM (Slurm, Kubernetes, `docker stop`), SIGHUP (a terminal that closes).

All three raise `Interruption`, a KeyboardInterrupt, so that what was measured is recorded before the process ends. The
handlers are in place only while a block of `guarded()` runs; a handler that somebody else has set, and a signal that
is ignored (nohup, a shell's background job), are left as they are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

BY_USER = "stopped by the user"
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not known everywhere
_AGAIN_S = 0.05  # until a signal that was dropped is sent again
_UNWINDING_S = 2.0  # a second signal so soon after the first finds the first still on its way up


class Interruption(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(_why(number))


class _State:
    """What the handlers of this process know; only its main thread reads and writes it."""

    def __init__(self) -> None:
        self.guards = 0
        self.replaced: dict[int, Any] = {}
        self.received: int | None = None
        self.held = 0
        self.waiting: int | None = None
        self.recordings = 0
        self.raised_at = float("-inf")
        self.caught = False
        self.hook: Callable[[UnraisableHookArgs], object] = sys.unraisablehook


_state = _State()


def _on_signal(number: int, _frame: FrameType | None) -> None:
    _state.received = number
    on_its_way = _state.caught or time.monotonic() - _state.raised_at < _UNWINDING_S
    if _state.held or (_state.recordings and on_its_way):
        _state.waiting = number
        return
    _state.raised_at = time.monotonic()
    raise Interruption(number)


def _on_unraisable(found: UnraisableHookArgs) -> None:
    """Send a signal once more that was raised within a callback of the garbage collector, where Python drops it."""
    if not isinstance(found.exc_value, Interruption) or _state.received is None:
        _state.hook(found)
        return
    _state.raised_at = float("-inf")
    again = threading.Timer(_AGAIN_S, _send, (_state.received,))
    again.daemon = True
    again.start()


def _send(number: int) -> None:
    if _state.guards:
        os.kill(os.getpid(), number)


@contextlib.contextmanager
def guarded(*, hand_on: bool = True) -> Iterator[None]:
    """Let the signals raise `Interruption` in a block of the main thread; elsewhere nothing changes.

    hand_on: after the outermost block, give SIGTERM and SIGHUP to whom they belonged before: to the default, which
        ends the process. The command line ends by an exit code instead.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if _state.guards == 0:
        _install()
    _state.guards += 1
    try:
        yield
    finally:
        _state.guards -= 1
        if _state.guards == 0:
            _restore(hand_on=hand_on)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold signals back while a block writes; one that came meanwhile is raised when the block is done."""
    if not _ours():
        yield
        return
    _state.held += 1
    try:
        yield
    finally:
        _state.held -= 1
        if not _state.held and not (_state.recordings and _state.caught):
            _raise_waiting()


@contextlib.contextmanager
def recording() -> Iterator[None]:
    """A block that ends by writing down what it measured: one signal stops it, further ones wait for the record."""
    with guarded():
        if not _ours():
            yield
            return
        before = (_state.raised_at, _state.caught)
        _state.raised_at, _state.caught = float("-inf"), False
        _state.recordings += 1
        try:
            yield
        finally:
            _state.recordings -= 1
            if _state.caught:
                _state.waiting = None  # it asked for what is being done already
            _state.raised_at, _state.caught = before
        _raise_waiting()


def why_stopped(error: KeyboardInterrupt) -> str:
    """Part of a sentence: who stopped it. Call it where the exception ends: from there on signals wait."""
    if _ours() and _state.recordings:
        _state.caught = True
    return str(error) if isinstance(error, Interruption) else BY_USER


def was_asked() -> bool:
    """Whether a signal has come since the outermost guard began."""
    return _state.received is not None


def why_ended() -> str:
    """Why this process is about to end, after the last signal that it received."""
    return BY_USER if _state.received is None else _why(_state.received)


def exit_code(usual: int) -> int:
    """128 and the signal's number after SIGTERM or SIGHUP, as shells and schedulers expect it; else `usual`."""
    number = _state.received
    return usual if number is None or number == signal.SIGINT else 128 + number


def _why(number: int) -> str:
    return BY_USER if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"


def _ours() -> bool:
    """Whether this is the main thread, and within a guard."""
    return _state.guards > 0 and threading.current_thread() is threading.main_thread()


def _raise_waiting() -> None:
    number, _state.waiting = _state.waiting, None
    if number is not None:
        raise Interruption(number)


def _install() -> None:
    global _state  # noqa: PLW0603  # signals belong to the process, and so does what is known of them
    _state = _State()
    for name in _NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            _state.replaced[number] = signal.getsignal(number)
            signal.signal(number, _on_signal)
    sys.unraisablehook = _on_unraisable


def _restore(*, hand_on: bool) -> None:
    for number, handler in _state.replaced.items():
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, handler)
    if sys.unraisablehook is _on_unraisable:
        sys.unraisablehook = _state.hook
    if hand_on and _state.received not in (None, signal.SIGINT):
        os.kill(os.getpid(), int(_state.received or 0))
