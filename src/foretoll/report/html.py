"""A document as one self-contained page: no network, everything that comes from files escaped.

The only script is our own few lines that search a table, on pages that have such a table; a policy of the page lets
none but it run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from foretoll.report.document import Block, Document, Table
from foretoll.report.jsonfile import write_text
from foretoll.report.words import glue

if TYPE_CHECKING:
    from jinja2 import Environment

_RANGE = re.compile(r"(?<=\d)…(?=[\d≥])")

LONG_WORD = 15  # characters of a word that is never broken in a table
SIDE_BY_SIDE = ("Figure",)
"""Kinds of blocks that share one section where they follow each other."""


def page(document: Document) -> str:
    """The page as one string of HTML, with nothing to load from elsewhere."""
    blocks = document.blocks
    script = _script() if any(isinstance(block, Table) and block.searched for block in blocks) else Markup("")
    template = page_environment().get_template("report.html.j2")
    groups = _groups(blocks)
    return template.render(title=document.title, groups=groups, script=script, digest=_digest(script)) + "\n"


def _script() -> Markup:
    """The page's own script, the only one that its policy lets run; it reads the page and shows or hides rows."""
    return Markup(resources.files("foretoll.report").joinpath("templates/search.js").read_text("utf-8"))  # noqa: S704


def _digest(script: str) -> str:
    """The script's name in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def write_page(path: str | Path, document: Document) -> Path:
    """Write the page of a document, atomically. Returns the path; ForetollError where it cannot be written."""
    return write_text(path, page(document))


def page_environment() -> Environment:
    """Jinja2 with everything escaped and nothing undefined."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("foretoll.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["glue"] = glued
    environment.filters["cell"] = cell
    environment.filters["capital"] = lambda text: text[:1].upper() + text[1:]
    return environment


def glued(text: str) -> str:
    """The text with no-break spaces before units, and ranges that stay on one line."""
    return _RANGE.sub("\N{WORD JOINER}…\N{WORD JOINER}", glue(text).replace("± ", "±\N{NO-BREAK SPACE}"))


def cell(text: str) -> Markup:
    """The same for a cell of a table: only a long word may be broken, so that columns are as wide as their words."""
    return Markup("").join(
        Markup('<span class="long">{}</span>').format(part) if len(part) > LONG_WORD else part
        for part in re.split(r"( +)", glued(text))
    )


def _groups(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    """The blocks with the name of their kind; figures in a row together."""
    found: list[tuple[str, list[Block]]] = []
    for kind, group in groupby(blocks, key=lambda block: type(block).__name__):
        members = list(group)
        found += [(kind, members)] if kind in SIDE_BY_SIDE else [(kind, [member]) for member in members]
    return found
