"""Texts and tables for the terminal. Whatever they are made of, nothing but printable characters reaches it.

Names come from files and other people, so nothing in them is read as markup, and control characters, bidirectional
marks and lone surrogates are written as escapes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from foretoll import streams
from foretoll.errors import one_line, printable

LONGEST = 300
"""Characters of a line of progress."""


class PlainConsole(Console):
    """A Rich console that takes texts literally and prints nothing that is not printable."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of a renderable, each of printable characters and line ends."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(_printable_lines(segment.text), segment.style)

    def say_line(self, text: str, style: str | None = None) -> None:
        """Print one line, cut where it is very long. What cannot be written is no reason to stop any work."""
        indent = text[: len(text) - len(text.lstrip(" "))]
        try:
            self.print(indent + one_line(text, LONGEST), style=style, soft_wrap=True)
        except (OSError, ValueError):
            self.quiet = True


def error_console(*, quiet: bool = False) -> PlainConsole:
    """Progress and plans, on the standard error."""
    return PlainConsole(stderr=True, quiet=quiet)


def show(renderable: RenderableType) -> None:
    """Print a table or a text to the standard output, where there is one.

    Raises BrokenPipeError, ForetollError where it cannot be written.
    """
    if sys.stdout is None:  # a service without streams; print() says nothing there either
        return
    console = PlainConsole(file=sys.stdout)
    with streams.written():  # a console also flushes its file
        with console.capture() as shown:
            console.print(renderable)
        streams.write_whole(shown.get())


def say(text: str) -> None:
    """Print one line of text to the standard output, with whatever names are in it."""
    streams.write(printable(text))


def say_lines(text: str) -> None:
    """Print a text of several lines, such as Markdown, as it is."""
    streams.write(_printable_lines(text.rstrip("\n")))


def _printable_lines(text: str) -> str:
    return "\n".join(printable(line.replace("\N{NO-BREAK SPACE}", " ")) for line in text.split("\n"))
