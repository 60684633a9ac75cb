"""A comparison for the terminal and for notebooks: one line per candidate, then what follows from them."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.jupyter import JupyterMixin
from rich.table import Table
from rich.text import Text

from foretoll.records import Candidate, Comparison
from foretoll.report import comparison as said
from foretoll.report.display import displayed
from foretoll.report.terminal import as_text, plain_table, wrapped

GAP = 2
MARK = "▸"
"""Before the line of the recommended candidate."""


def comparison_table(comparison: Comparison) -> RenderableType:
    """All candidates side by side, the recommended one marked; columns that find no room are left to the page."""
    return _Comparison(displayed(comparison))


class _Comparison(JupyterMixin):
    """A comparison, laid out for the width at hand."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    def __str__(self) -> str:
        return as_text(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        yield wrapped(said.task_text(self.comparison), width, "bold")
        yield ""
        if said.usable(self.comparison):
            yield self._candidates(width)
            yield ""
        lines = [(line.title, ";\n".join(line.sentences), "") for line in said.sentences(self.comparison)]
        if out := said.unusable(self.comparison):
            lines.append(("Left out", ";\n".join(f"{name}: {why}" for name, why in out), "dim"))
        lines += [("Warning", text, "yellow") for text in self.comparison.warnings]
        grid = plain_table(padding=(0, GAP, 0, 0), show_header=False)
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        room = width - GAP - max(len(title) for title, _, _ in lines)
        for title, text, style in lines:
            grid.add_row(Text(title, style="bold"), wrapped(text, room, style))
        yield grid

    def _candidates(self, width: int) -> Table:
        comparison = self.comparison
        rows = said.usable(comparison)
        names = [self._name(i, candidate) for i, candidate in rows]
        columns = said.columns(comparison)
        cells = [[column.cell(candidate) for column in columns] for _, candidate in rows]
        natural = [
            max(len(column.head), *(len(row[k]) for row in cells)) + GAP for k, column in enumerate(columns)
        ]
        room = width - max(name.cell_len for name in names) - GAP
        shown = set()
        for k in sorted(range(len(columns)), key=lambda k: (columns[k].rank, k)):
            if natural[k] <= room:
                shown.add(k)
                room -= natural[k]
        table = plain_table(padding=(0, GAP, 0, 0))
        table.add_column("", no_wrap=True, overflow="ellipsis")
        for k in sorted(shown):
            column = columns[k]
            table.add_column(column.head, justify="right" if column.right else "left", no_wrap=True)
        for (i, candidate), name, row in zip(rows, names, cells, strict=True):
            chosen = i == comparison.recommendation.candidate
            style = "bold green" if chosen else "dim" if candidate.over_budget else ""
            table.add_row(name, *(Text(row[k]) for k in sorted(shown)), style=style)
        return table

    def _name(self, i: int, candidate: Candidate) -> Text:
        mark = MARK if i == self.comparison.recommendation.candidate else " "
        over = ", over budget" if candidate.over_budget else ""
        return Text(f"{mark} {said.title(self.comparison, candidate)}{over}")
