"""A table of texts for a width: as it is, with long texts below the rows, folded, split or turned; never cut.

Split, it becomes several tables below each other. Turned, facts go down and rows across, as many as there is room for.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.text import Text

from foretoll.report.document import Column, Table, Tone
from foretoll.report.words import glue

GAP = 2
LEAST_NOTE = 28
"""Columns that a note beside its row needs; with fewer it stands below."""
LEAST_TEXT = 12
"""Columns to which a text is folded at least, where its words are no longer."""
LONGEST_WORD = 24
MARK = "▸ "
"""Before a chosen row."""


def table_lines(table: Table, width: int, styles: Mapping[Tone, str]) -> Iterator[Text]:
    """The lines of a table in a terminal of `width` columns."""
    if not table.rows:
        return
    table = _marked(table)
    notes = any(row.note for row in table.rows)
    flat = replace(table, columns=[replace(column, head=column.name) for column in table.columns])
    for form in (flat, table):  # heads of one line, or of several where that makes room
        widths = _natural(form)
        total = sum(widths) + GAP * (len(widths) - 1)
        if total + (GAP + LEAST_NOTE if notes else 0) <= width:
            yield from _rows(form, widths, width, styles, beside=notes)
            return
    lower = _with_parts_below(table)
    widths = _natural(lower)
    room = width - GAP * (len(widths) - 1)
    least = [
        w if column.number else min(w, max(LEAST_TEXT, _longest_word(lower, i)))
        for i, (column, w) in enumerate(zip(lower.columns, widths, strict=True))
    ]
    if lower.is_facts:
        least[1:] = [min(w, LEAST_TEXT) for w in widths[1:]]
    if sum(least) <= room:
        yield from _rows(lower, _widened(least, widths, room), width, styles, beside=False)
        return
    turned, split = list(_turned(table, width)), list(_split(lower, width, styles))
    yield from split if len(split) < len(turned) and not table.main else turned


def _marked(table: Table) -> Table:
    """Names behind a mark where one of the rows is chosen."""
    if not any(row.chosen for row in table.rows):
        return table
    rows = [
        replace(row, cells=(f"{MARK if row.chosen else '  '}{row.cells[0]}", *row.cells[1:]))
        for row in table.rows
    ]
    return replace(table, rows=rows)


def _with_parts_below(table: Table) -> Table:
    """The same with the cells of columns that may move in the notes, each behind its head."""
    places = [i for i, column in enumerate(table.columns) if column.below]
    if not places:
        return table
    rows = []
    for row in table.rows:
        moved = [f"{table.columns[i].name} {row.cells[i]}" for i in places if row.cells[i]]
        cells = [cell for i, cell in enumerate(row.cells) if i not in places]
        rows.append(replace(row, cells=cells, note=", ".join([*moved, *filter(None, [row.note])])))
    return replace(table, columns=[c for c in table.columns if not c.below], rows=rows)


def _natural(table: Table) -> list[int]:
    return [
        max(
            *(cell_len(part) for part in column.head.split("\n")),
            *(cell_len(row.cells[i]) for row in table.rows),
        )
        for i, column in enumerate(table.columns)
    ]


def _longest_word(table: Table, i: int) -> int:
    words = [
        word
        for text in (table.columns[i].head, *(row.cells[i] for row in table.rows))
        for word in glue(text).split()
    ]
    return min(max((cell_len(word) for word in words), default=0), LONGEST_WORD)


def _widened(least: Sequence[int], natural: Sequence[int], room: int) -> list[int]:
    """The least widths, with what is left given to those that want more, evenly."""
    widths = list(least)
    while (left := room - sum(widths)) > 0:
        wanting = [i for i, width in enumerate(widths) if width < natural[i]]
        if not wanting:
            break
        for i in wanting[:left]:
            widths[i] += min(max(left // len(wanting), 1), natural[i] - widths[i])
    return widths


def _rows(
    table: Table, widths: Sequence[int], width: int, styles: Mapping[Tone, str], *, beside: bool
) -> Iterator[Text]:
    """Rows with their heads; notes behind them, or indented below."""
    used = sum(widths) + GAP * len(widths)
    if not table.is_facts:
        parts = [column.head.split("\n") for column in table.columns]
        height = max(map(len, parts))
        heads = ["\n".join([""] * (height - len(part)) + part) for part in parts]
        yield from (Text(line.rstrip(), style="dim") for line in _cells(heads, table.columns, widths))
    for row in table.rows:
        style = "bold green" if row.chosen else styles[row.tone]
        lines = [Text(line.rstrip(), style=style) for line in _cells(row.cells, table.columns, widths)]
        notes = _folded(row.note, width - used if beside else width - GAP * 2) if row.note else []
        if not beside:
            yield from lines
            yield from (Text(" " * GAP * 2 + note, style="dim") for note in notes)
            continue
        for number in range(max(len(lines), len(notes))):
            line = lines[number] if number < len(lines) else Text("")
            if number < len(notes):
                line.pad_right(used - line.cell_len)
                line.append(notes[number], style="dim")
            yield line


def _cells(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row, as many as its longest cell takes."""
    folded = [_folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for number in range(max(map(len, folded))):
        parts = []
        for lines, column, width in zip(folded, columns, widths, strict=True):
            text = lines[number] if number < len(lines) else ""
            space = " " * max(width - cell_len(text), 0)
            parts.append(space + text if column.number else text + space)
        yield (" " * GAP).join(parts)


def _folded(text: str, width: int) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip(" ")))
    lines = [
        line
        for part in glue(text.strip(" ")).split("\n")
        for line in textwrap.wrap(part, max(width - len(indent), 1), break_on_hyphens=False) or [""]
    ]
    return [indent + line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _split(table: Table, width: int, styles: Mapping[Tone, str]) -> Iterator[Text]:
    """Several tables below each other, each with the names of the rows and as many columns as fit."""
    names, *widths = _natural(table)
    names = min(names, width // 2)
    start = 0
    while start < len(widths):
        end, used = start, names
        while end < len(widths) and (end == start or used + GAP + widths[end] <= width):
            used += GAP + min(widths[end], width - names - GAP)
            end += 1
        last = end == len(widths)
        part = replace(
            table,
            columns=[table.columns[0], *table.columns[1 + start : 1 + end]],
            rows=[
                replace(
                    row,
                    cells=(row.cells[0], *row.cells[1 + start : 1 + end]),
                    note=row.note if last else "",
                )
                for row in table.rows
            ],
        )
        if start:
            yield Text("")
        shown = [names, *(min(w, width - names - GAP) for w in widths[start:end])]
        yield from _rows(part, shown, width, styles, beside=False)
        start = end


def _turned(table: Table, width: int) -> Iterator[Text]:
    """Facts down, rows across, as many as fit; a row that is wider than what there is folds."""
    facts = range(1, len(table.columns))
    heads = [table.columns[i].name for i in facts]
    first = min(max(map(cell_len, [*heads, table.columns[0].name]), default=0), max(width // 3, LEAST_TEXT))
    most = max(width - first - GAP, 1)
    wide = [min(max(LEAST_TEXT, *map(cell_len, row.cells)), most) for row in table.rows]
    start = 0
    while start < len(table.rows):
        end, used = start, first
        while end < len(table.rows) and (end == start or used + GAP + wide[end] <= width):
            used += GAP + wide[end]
            end += 1
        part = table.rows[start:end]
        widths = [first, *wide[start:end]]
        columns = [Column(""), *(Column("") for _ in part)]
        if start:
            yield Text("")
        name = table.columns[0].name
        for line in _cells(
            [name, *(row.cells[0].removeprefix(" " * len(MARK)) for row in part)], columns, widths
        ):
            yield Text(line.rstrip(), style="bold")
        for i, head in zip([*facts, None], [*heads, ""], strict=True):
            cells = [row.note if i is None else row.cells[i] for row in part]
            if any(cells):
                for line in _cells([head, *cells], columns, widths):
                    yield _with_dim_head(line.rstrip(), first)
        start = end


def _with_dim_head(line: str, first: int) -> Text:
    text = Text(line)
    text.stylize("dim", 0, first)
    return text
