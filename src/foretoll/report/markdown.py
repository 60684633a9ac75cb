"""A document as Markdown (GitHub's dialect), for pull requests, model cards and notes: nothing of a text is markup."""

from __future__ import annotations

import html
import re
from pathlib import Path

from foretoll.report.document import (
    Block,
    Document,
    Figure,
    Footer,
    Headline,
    Line,
    Lines,
    Note,
    Outcome,
    Section,
    Table,
    Warnings,
)
from foretoll.report.jsonfile import write_text

_MARKS = re.compile(r"([\\`*_{}\[\]#!|~$])")
_STARTS = re.compile(r"^([-+=](?=[-+=\s]|$)|\d+(?=[.)](?:\s|$)))")
_LINKS = re.compile(
    r"(?<=:)(?=//)|(?<=@)(?=\w)|(?<=www)(?=\.)", re.IGNORECASE
)  # would become links and mentions
_CHOSEN = "**→** "


def markdown(document: Document, *, level: int = 1) -> str:
    """All blocks as Markdown; `level` is that of the first heading."""
    parts = [render(block, level) for block in document.answer]
    parts += [render(block, level, folded=True) for block in document.details]
    return "\n\n".join(filter(None, parts)) + "\n"


def write_markdown(path: str | Path, document: Document) -> Path:
    """Write a document as Markdown, atomically. Returns the path; ForetollError where it cannot be written."""
    return write_text(path, markdown(document))


def render(block: Block, level: int = 1, *, folded: bool = False) -> str:
    """One block as Markdown, its tables unfolded by a click; empty where this medium has nothing to show."""
    match block:
        case Headline():
            return _headline(block, level)
        case Outcome():
            return f"**Measured** {escaped(block.text)}"
        case Warnings():
            return "\n>\n".join(f"> **Warning** {escaped(text)}" for text in block.texts)
        case Lines():
            return "\n".join(_line(group) for group in block.groups if group.sentences)
        case Table():
            return _titled(block, folded=folded)
        case Figure():
            return _figure(block)
        case Section():
            return f"{'#' * (level + 1)} {escaped(_capital(block.title))}"
        case Note():
            return escaped(block.text)
        case Footer():
            return "---\n\n" + " · ".join(map(escaped, block.parts))


def escaped(text: str) -> str:
    """The text with everything escaped that Markdown or HTML would read as markup; on one line."""
    flat = " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())
    entities = html.escape(flat, quote=False)
    marked = _MARKS.sub(r"\\\1", entities)
    return _STARTS.sub(r"\1<!-- -->", _LINKS.sub("<!-- -->", marked))


def _headline(block: Headline, level: int) -> str:
    parts = [escaped(part) for part in (block.kind, block.moment) if part]
    heading = f"{'#' * level} {escaped(block.subject)}"
    below = f"{' · '.join(parts)}\n\n" if parts else ""
    return f"{heading}\n\n{below}**{escaped(block.whole)}**" if block.sentence else heading


def _line(group: Line) -> str:
    return f"- **{escaped(group.title)}** " + "; ".join(map(escaped, group.sentences))


def _figure(block: Figure) -> str:
    """No picture, which Markdown has no place for: its numbers, where no other table holds them."""
    if block.repeated:
        return ""
    inner = "\n\n".join(filter(None, (escaped(block.caption), table(block.numbers))))
    return _details(block.title, inner)


def _titled(block: Table, *, folded: bool) -> str:
    inner = "\n\n".join(filter(None, (table(block), escaped(block.note))))
    if not block.title:
        return inner
    return _details(block.title, inner) if folded else f"**{escaped(_capital(block.title))}**\n\n{inner}"


def _details(title: str, inner: str) -> str:
    return f"<details><summary>{html.escape(_capital(title))}</summary>\n\n{inner}\n\n</details>"


def table(block: Table) -> str:
    """The rows as a table, notes in a last column of their own."""
    notes = any(row.note for row in block.rows)
    heads = [escaped(column.name) for column in block.columns] + ([""] if notes else [])
    marks = ["---:" if column.number else "---" for column in block.columns] + (["---"] if notes else [])
    rows = []
    for row in block.rows:
        name, *rest = map(escaped, row.cells)
        rows.append([_CHOSEN + name if row.chosen else name, *rest, *([escaped(row.note)] if notes else [])])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, marks, *rows))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
