"""An answer as blocks, composed once; `terminal`, `html` and `markdown` render every kind of block, one medium each.

A story (of an estimate, a run, a comparison, a study) makes blocks of a record and knows no medium. A renderer knows
the blocks and no record. Texts in blocks are plain: each renderer escapes them for its medium.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

NO_PICTURE = Markup("")

Tone = Literal["", "good", "bad", "unsure", "aside"]
"""How a text is meant: a target reached, a failure, a doubt, something of less weight."""


@dataclass(frozen=True)
class Headline:
    """What was asked and the answer in one sentence.

    `label` titles the sentence ("Recommended"); without one it repeats what the first table says, and a terminal leaves
    it out.
    """

    subject: str
    sentence: str
    kind: str = ""
    moment: str = ""
    label: str = ""

    @property
    def whole(self) -> str:
        """The sentence behind its label; where there is none, what was asked."""
        return ": ".join(filter(None, (self.label, self.sentence))) or self.subject


@dataclass(frozen=True)
class Outcome:
    """What was measured in the end, in one or two sentences; only a target that was reached is good."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Warnings:
    """What a reader must know before trusting a figure."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Line:
    """A titled group of sentences: Why, Instead, Rests on."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Lines:
    """Titled groups of sentences, below the table."""

    groups: Sequence[Line]


@dataclass(frozen=True)
class Column:
    """A column: its head, in which a line end may stand, whether it holds numbers, and whether it may move.

    `below`: where a terminal has no room, its cells stand in a line below the row, and nothing is cut. `choice`: it has
    few values, by which a page lets its reader choose rows.
    """

    head: str
    number: bool = False
    below: bool = False
    choice: bool = False

    @property
    def name(self) -> str:
        """The head on one line."""
        return self.head.replace("\n", " ")


@dataclass(frozen=True)
class Row:
    """Cells, the first of which names the row; a note; a picture; shades of −60 … 60 % for each cell but the first."""

    cells: Sequence[str]
    note: str = ""
    tone: Tone = ""
    chosen: bool = False
    picture: Markup = NO_PICTURE
    shades: Sequence[int] = ()


@dataclass(frozen=True)
class Table:
    """Rows of texts under heads; without any head a list of facts.

    `main`: the answer itself, rather than what it rests on. `folded`: long, and shown when asked for. `axis` stands
    over the pictures of the rows. `wide` tables scroll sideways where a screen is small. `searched`: a page has a field
    to search its rows, and one for each column of few values.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str = ""
    note: str = ""
    main: bool = False
    folded: bool = False
    wide: bool = False
    searched: bool = False
    axis: Markup = NO_PICTURE

    @property
    def is_facts(self) -> bool:
        """Whether it is a list of facts, without heads."""
        return not any(column.head for column in self.columns)

    def values(self, place: int) -> list[str]:
        """The different cells of a column, in order."""
        return sorted({row.cells[place] for row in self.rows})


@dataclass(frozen=True)
class Figure:
    """A picture with its caption, its numbers as a table, and the entries of its legend (mark, name).

    The table is what those read who do not see the picture, so that none goes without. `repeated`: other tables of the
    document hold the same numbers, and Markdown, which has no pictures, leaves them out here.
    """

    title: str
    svg: Markup
    caption: str
    numbers: Table
    legend: tuple[tuple[Markup, str], ...] = ()
    repeated: bool = False


@dataclass(frozen=True)
class Section:
    """The title of the blocks that follow."""

    title: str


@dataclass(frozen=True)
class Note:
    """A paragraph on how to read what stands above."""

    text: str


@dataclass(frozen=True)
class Footer:
    """Versions and ids."""

    parts: Sequence[str]


Block = Headline | Outcome | Warnings | Lines | Table | Figure | Section | Note | Footer


@dataclass(frozen=True)
class Document:
    """An answer: its title, the blocks that say it, and the details that it rests on.

    A terminal shows the answer, a page and Markdown everything.
    """

    title: str
    answer: Sequence[Block]
    details: Sequence[Block] = ()

    @property
    def blocks(self) -> list[Block]:
        """All blocks, in order."""
        return [*self.answer, *self.details]


def facts(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    """A list of facts: name and text."""
    return Table((Column(""), Column("")), [Row(cells) for cells in rows], title)


def table(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    note: str = "",
    folded: bool = False,
    wide: bool = False,
) -> Table:
    """A plain table: heads and rows of texts; `numbers`: the positions of columns that hold numbers."""
    columns = [Column(head, number=i in numbers) for i, head in enumerate(heads)]
    return Table(columns, [Row(tuple(cells)) for cells in rows], title, note, folded=folded, wide=wide)


def known(blocks: Sequence[Block | None]) -> list[Block]:
    """The blocks that have something to say."""
    return [block for block in blocks if block is not None and _says_something(block)]


def _says_something(block: Block) -> bool:
    if isinstance(block, Table):
        return bool(block.rows)
    if isinstance(block, Lines):
        return any(group.sentences for group in block.groups)
    if isinstance(block, Warnings):
        return bool(block.texts)
    return True


def texts(block: Block) -> Iterator[str]:
    """Every text that a block shows, of pictures their numbers: what each medium must hold."""
    match block:
        case Headline():
            yield from filter(None, (block.subject if block.label else "", block.sentence))
        case Outcome() | Note():
            yield block.text
        case Warnings():
            yield from block.texts
        case Lines():
            for group in block.groups:
                yield from (group.title, *group.sentences)
        case Table():
            yield from filter(None, (block.title, block.note))
            yield from (column.name for column in block.columns if column.head)
            for row in block.rows:
                yield from filter(None, (*row.cells, row.note))
        case Figure():
            yield from (block.title, block.caption)
            yield from (name for _, name in block.legend)
            yield from texts(replace(block.numbers, title=""))
        case Section():
            yield block.title
        case Footer():
            yield from block.parts
