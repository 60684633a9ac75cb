"""Shows how work goes on, on the standard error: a line per stage, and where a terminal is, a running line."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from foretoll.workflows import Watcher

if TYPE_CHECKING:
    from rich.status import Status

    from foretoll.records import EvalPoint, TrainingSettings


class ConsoleWatcher(Watcher):
    """A `foretoll.workflows.Watcher` that writes to the standard error; silent with `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)
        self._quiet = quiet
        self._status: Status | None = None
        self._text, self._began, self._shown = "", time.monotonic(), 0.0

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_stage(failed=error is not None)
        if self._status is not None:
            self._status.stop()

    def stage(self, text: str) -> None:
        """End the stage before with its duration, begin the next."""
        self._close_stage()
        self._text, self._began = text, time.monotonic()
        if self._status is not None:
            self._status.update(f"{text} …")

    def note(self, text: str) -> None:
        """Show something within the stage under way."""
        if self._status is not None:
            self._status.update(f"{self._text}: {text}")
        elif not self._quiet:
            self._console.print(f"    {text}", style="dim", soft_wrap=True)

    def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
        """Show where a training run stands."""
        wanted = f" of {settings.until:.3g}" if settings.until is not None else ""
        text = f"{self._text}: epoch {point.epochs:.2f}, {settings.metric} {point.quality:.3f}{wanted}"
        if self._status is not None:
            self._status.update(text)
        elif not self._quiet and time.monotonic() - self._shown > 10:
            self._shown = time.monotonic()
            self._console.print(f"  {text}", style="dim", soft_wrap=True)

    def _close_stage(self, *, failed: bool = False) -> None:
        if self._text and not self._quiet and not failed:
            duration = time.monotonic() - self._began
            self._console.print(f"  {self._text}  {duration:.1f} s", style="dim", soft_wrap=True)
        self._text = ""
