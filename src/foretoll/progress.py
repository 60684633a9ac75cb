"""Shows how work goes on, on the standard error: a line per stage, and where a terminal is, a running line."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.text import Text

from foretoll.errors import one_line
from foretoll.printing import LONGEST, error_console
from foretoll.report.words import cost_text, level_text, metric_name, quality_text, two_digits
from foretoll.units import human_share
from foretoll.workflows import Watcher

if TYPE_CHECKING:
    from rich.status import Status

    from foretoll.records import EvalPoint, LiveForecast, TrainingSettings


class ConsoleWatcher(Watcher):
    """A `foretoll.workflows.Watcher` that writes to the standard error; silent with `quiet`.

    What cannot be written (nobody reads it any more, a full disk) is no reason to stop the work.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = error_console(quiet=quiet)
        self._quiet = quiet
        self._status: Status | None = None
        self._text, self._began, self._shown = "", time.monotonic(), 0.0
        self._left: LiveForecast | None = None

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
        self._text, self._began, self._left = text, time.monotonic(), None
        self._running(f"{text} …")

    def note(self, text: str) -> None:
        """Show something within the stage under way."""
        if self._status is not None:
            self._running(f"{self._text}: {text}")
        else:
            self._line(f"    {text}")

    def renewed(self, forecast: LiveForecast) -> None:
        """Keep what is left of a training run for its next line."""
        self._left = forecast

    def evaluated(self, point: EvalPoint, settings: TrainingSettings) -> None:
        """Show where a training run stands."""
        metric, until = settings.metric, settings.until
        wanted = f" of {level_text(metric, until)}" if until is not None else ""
        seen = f"{metric_name(metric)} {quality_text(metric, point.quality)}{wanted}"
        text = f"{self._text}: epoch {point.epochs:.2f}, {seen}"
        if self._left is not None:
            text += f", {left_text(self._left)}"
        if self._status is not None:
            self._running(text)
        elif time.monotonic() - self._shown > 10:
            self._shown = time.monotonic()
            self._line(f"  {text}")

    def _close_stage(self, *, failed: bool = False) -> None:
        if self._text and not failed:
            duration = time.monotonic() - self._began
            self._line(f"  {self._text}  {duration:.1f} s")
        self._text = ""

    def _running(self, text: str) -> None:
        """The line that stands for what is under way, on a terminal."""
        if self._status is not None:
            self._status.update(Text(one_line(text, LONGEST)))

    def _line(self, text: str) -> None:
        """A line that stays."""
        self._console.say_line(text, style="dim")


def left_text(found: LiveForecast) -> str:
    """What is left of a run in a few words: its chance, and how long until the target or the end of the budget."""
    if found.reach_probability >= 1:
        return "target reached"
    chance = f"chance {human_share(found.reach_probability)}"
    seconds = found.duration_left_s
    if found.reach_probability >= 0.5:
        epochs, time_left, until = found.epochs_left.median, seconds.median if seconds else None, "left"
    else:  # more likely than not the budget ends first
        epochs, time_left, until = found.epochs_left.high, seconds.high if seconds else None, "at the most"
    if epochs is None:
        return chance
    took = f" ({cost_text('duration_s', time_left)})" if time_left is not None else ""
    return f"{chance}, about {two_digits(epochs)} epochs{took} {until}"
