"""Hooks of the docs site: the reference of the command line, the examples, and links to files that are no pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, EXECUTED = ROOT / "examples" / "notebooks", ROOT / "build" / "notebooks"

COMMANDS = "reference/commands.md"
_EMPTY_HEAD = re.compile(r"<th((?: [^>]*)?)></th>")
OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")
_EXAMPLE = re.compile(r"\(\.\./examples/notebooks/(\w+)\.ipynb\)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_files(files: Any, *, config: Any, **_: Any) -> Any:
    """The files of the site: of each notebook a page and the notebook itself, executed where `make docs` did that."""
    for source in sorted(NOTEBOOKS.glob("*.ipynb")):
        executed = EXECUTED / source.name
        text = (executed if executed.exists() else source).read_text(encoding="utf-8")
        page = "\n".join(notebook_lines(json.loads(text), source.name))
        files.append(File.generated(config, f"examples/{source.stem}.md", content=page))
        files.append(File.generated(config, f"examples/{source.name}", content=text))
    return files


def notebook_lines(notebook: dict[str, Any], name: str) -> Iterator[str]:
    """Markdown of a notebook: its texts, its code, and what each cell has shown."""
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            yield "".join(cell["source"]) + "\n"
        else:
            yield _fenced("".join(cell["source"]), "python")
            if shown := "".join(map(_shown, cell["outputs"])).strip("\n"):
                yield _fenced(_COLOUR.sub("", shown), "text")
        if number == 0:
            yield f"[Download the notebook]({name}){{ .md-button }}\n"


def _shown(output: dict[str, Any]) -> str:
    """The text of an output, which a picture or a widget has too; the standard error is left to the notebook."""
    if output.get("name") == "stderr":
        return ""
    return "".join(output["text"] if "text" in output else output.get("data", {}).get("text/plain", ""))


def _fenced(text: str, language: str) -> str:
    return f"~~~~ {language}\n{text}\n~~~~\n"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """A page as it is built."""
    if page.file.src_uri == COMMANDS:
        return markdown + "\n".join(command_lines())
    markdown = _EXAMPLE.sub(r"(examples/\1.md)", markdown)
    if "/" not in page.file.src_uri:  # what lies beside docs/ is named, not linked: the site does not have it
        return OUTSIDE.sub(lambda found: f"{found[1]} (`{found[2]}`)", markdown)
    return markdown


def on_post_page(output: str, **_: Any) -> str:
    """A page as it is written: no head of a table is empty, and the search has a name."""
    output = _EMPTY_HEAD.sub(r"<td\1></td>", output)
    return output.replace(
        'data-md-component="search" role="dialog"',
        'data-md-component="search" role="dialog" aria-label="Search"',
    )


def command_lines() -> Iterator[str]:
    """Markdown of every command: how it is called, what it does, and its options by group."""
    from typer.main import get_command

    from foretoll.cli import app

    yield from _lines(get_command(app), "foretoll")


def _lines(command: Any, name: str) -> Iterator[str]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children:
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        words = [p.metavar or p.name.upper() for p in arguments]
        yield f"\n## {name}\n\n```\n{' '.join([name, *words, '[OPTIONS]'])}\n```\n"
        yield _plain(command.help) + "\n"
        for argument in arguments:
            if getattr(argument, "help", None):
                yield f"\n`{argument.name.upper()}`: {_plain(argument.help)}\n"
        groups: dict[str, list[Any]] = {}
        for option in command.params:
            if option.param_type_name == "option" and not option.hidden:
                panel = getattr(option, "rich_help_panel", None) or "Options"
                groups.setdefault(panel, []).append(option)
        for panel, options in groups.items():
            yield f"\n| {panel} | What it does |\n| --- | --- |"
            for option in options:
                names = " ".join(f"`{word}`" for word in (*option.opts, *option.secondary_opts))
                yield f"| {names} | {_plain(option.help).replace('|', '&#124;')}{_default(option)} |"
        return
    for child in sorted(children):
        yield from _lines(children[child], f"{name} {child}")


def _default(option: Any) -> str:
    """What holds where the option is not given, as far as it is a word or a number."""
    value = option.default
    return (
        f" (default `{value}`)"
        if isinstance(value, str | int | float) and value not in ("", False, True)
        else ""
    )


def _plain(text: str | None) -> str:
    """A help text for a page: what looks like a tag is none."""
    return " ".join((text or "").split()).replace("<", "&lt;")
