"""A document for the terminal and for notebooks, laid out for the width at hand; nothing is ever cut.

`as_text` gives the same without colour, for a plain `repr`, a log or a test.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.jupyter import JupyterMixin
from rich.text import Text

from foretoll.printing import PlainConsole
from foretoll.report.document import (
    Block,
    Figure,
    Footer,
    Headline,
    Lines,
    Note,
    Outcome,
    Section,
    Table,
    Tone,
    Warnings,
)
from foretoll.report.terminal_table import table_lines
from foretoll.report.words import glue

STYLES: dict[Tone, str] = {
    "": "",
    "good": "green",
    "bad": "bold red",
    "unsure": "bold yellow",
    "aside": "dim",
}
GAP = 2

_TitledText = tuple[str, str, str]
"""Title, text, style."""


class Terminal(JupyterMixin):
    """Blocks for a console; they are made when they are shown."""

    def __init__(self, blocks: Callable[[], Sequence[Block]]) -> None:
        self.blocks = blocks

    def __str__(self) -> str:
        return as_text(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Group(*rendered(self.blocks(), options.max_width))


def as_text(renderable: RenderableType, *, width: int = 110) -> str:
    """What a console of that width without colour would show."""
    stream = io.StringIO()
    PlainConsole(
        file=stream,
        width=width,
        no_color=True,
        force_terminal=False,
        force_jupyter=False,  # in a notebook too it is a text that is asked for
        legacy_windows=False,
    ).print(renderable)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def rendered(blocks: Sequence[Block], width: int) -> Iterator[Text]:
    """Every block as lines of text. What titles a sentence stands in one list: outcome, reasons, warnings last."""
    listed = _listed(blocks)
    room = width - GAP - max((len(title) for title, _, _ in listed), default=0)
    shown, first = False, True
    for block in blocks:
        if isinstance(block, (Outcome, Warnings, Lines)):
            if not isinstance(block, Lines) or shown:
                continue
            found, shown = list(_list(listed, room)), True
        else:
            found = list(_block(block, width))
        if found and not first:
            yield Text("")
        first = first and not found
        yield from found
    if listed and not shown:
        yield Text("")
        yield from _list(listed, room)


def _block(block: Block, width: int) -> Iterator[Text]:
    match block:
        case Headline():
            yield wrapped(block.subject, width, "bold")
        case Section():
            yield wrapped(_capital(block.title), width, "bold")
        case Table():
            if block.title:
                yield wrapped(_capital(block.title), width, "bold")
            yield from table_lines(block, width, STYLES)
            if block.note:
                yield wrapped(block.note, width, "dim")
        case Figure():
            yield wrapped(block.title, width, "bold")
            yield from table_lines(block.numbers, width, STYLES)
            yield wrapped(block.caption, width, "dim")
            if block.legend:
                yield wrapped(", ".join(name for _, name in block.legend), width, "dim")
        case Note():
            yield wrapped(block.text, width, "dim")
        case Footer():
            yield wrapped(" · ".join(block.parts), width, "dim")
        case _:
            return


def _listed(blocks: Sequence[Block]) -> list[_TitledText]:
    said: list[_TitledText] = []
    warned: list[_TitledText] = []
    for block in blocks:
        match block:
            case Headline() if block.label:
                said.append((block.label, block.sentence, ""))
            case Outcome():
                said.append(("Outcome", block.text, STYLES[block.tone]))
            case Lines():
                said += [
                    (group.title, ";\n".join(group.sentences), "")
                    for group in block.groups
                    if group.sentences
                ]
            case Warnings():
                warned += [("Warning", text, "yellow") for text in block.texts]
            case _:
                pass
    return said + warned


def _list(listed: Sequence[_TitledText], room: int) -> Iterator[Text]:
    indent = max((len(title) for title, _, _ in listed), default=0) + GAP
    for title, text, style in listed:
        for number, line in enumerate(wrapped_lines(text, room)):
            head = Text(title if number == 0 else "", style="bold")
            head.pad_right(indent - head.cell_len)
            yield head.append(line, style=style)


def wrapped_lines(text: str, width: int) -> list[str]:
    """Lines of a text, wrapped at spaces, never between a number and its unit; Rich would break no-break spaces."""
    lines = [
        piece
        for line in glue(text).splitlines() or [""]
        for piece in textwrap.wrap(line, max(width, 20), break_on_hyphens=False) or [""]
    ]
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def wrapped(text: str, width: int, style: str) -> Text:
    """A text of as many lines as it takes."""
    return Text("\n".join(wrapped_lines(text, width)), style=style)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
