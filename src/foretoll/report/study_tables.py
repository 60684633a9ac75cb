"""A study's tables as text: for the terminal (folding where it is narrow), for Markdown, and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from foretoll.report.details import Grid
from foretoll.report.words import MISSING, percent, plain, two_digits
from foretoll.study.columns import COSTS, PAPERS, REPEAT, title_of
from foretoll.study.findings import Association, KindAssociation, Section, StudyTables
from foretoll.study.tables import POOLED

SHIFTS = {
    "distribution": "computed shifts",
    "natural": "natural shifts",
    "task": "task shifts",
}
WIDE = 108  # columns of a terminal that hold a whole table
OF_KIND = ("recoverability_gap", *PAPERS)
NOTE = (
    "Spearman correlation of a single run's cost with the signal; all signals are turned so that more should mean "
    "dearer (a minus marks those that were negated). Pooled, in brackets: 95 % bootstrap interval over settings. "
    "Within: the mean over groups. A run that did not reach its target counts with what it had spent: at the limit "
    "of epochs, tied. C: concordance, which knows that such a run would have cost more; 0.50 is chance. "
    "Repeat: another seed of the same setting, the ceiling for a single run."
)


def section_title(tables: StudyTables, section: Section) -> str:
    """What the section is of, with its numbers."""
    return (
        f"{tables.option} under {SHIFTS[section.shift]}: {section.runs} runs of {section.settings} settings, "
        f"{section.censored} of them did not reach their target, {section.met} met it already"
    )


def correlation_grid(section: Section, cost: str) -> Grid | None:
    """Signals against one cost, in every scope; None where no signal could be related to it."""
    signals = [
        (name, title)
        for name, title in section.signals()
        if any(section.find(name, cost, s) for s in section.scopes)
    ]
    if not signals:
        return None
    scopes = [s for s in section.scopes if any(section.find(name, cost, s) for name, _ in signals)]
    most = {
        s: max((a for n, _ in signals if (a := section.find(n, cost, s))), key=lambda a: a.runs)
        for s in scopes
    }
    rows = []
    for name, title in signals:
        pooled = section.find(name, cost, POOLED)
        fewer = pooled is not None and POOLED in most and pooled.runs < most[POOLED].runs
        cells = [title + (f" ({pooled.runs} runs)" if fewer and pooled else "")]
        for scope in scopes:
            cells.append(_figure(section.find(name, cost, scope), interval=scope == POOLED))
        cells += [_short(pooled.pearson if pooled else None), _short(pooled.concordance if pooled else None)]
        rows.append(cells)
    heads = ["", *(_head(scope, most[scope]) for scope in scopes), "Pearson, pooled", "C, pooled"]
    return Grid(f"{_capital(COSTS[cost])}: what orders it", heads, rows, numbers=range(1, len(heads)))


def kinds_grid(section: Section, signal: str) -> Grid | None:
    """One index in the papers' form: kinds of shift against costs, Pearson and Spearman."""
    entries = [k for k in section.kinds if k.signal == signal]
    costs = [c for c in COSTS if any(k.cost == c for k in entries)]
    if not entries:
        return None
    by: dict[str, dict[str, KindAssociation]] = {}
    for entry in entries:
        by.setdefault(entry.kind, {})[entry.cost] = entry
    rows = []
    for kind, of in by.items():
        any_cost = next(iter(of.values()))
        cells = [plain(kind), str(any_cost.runs), str(any_cost.censored)]
        for cost in costs:
            found = of.get(cost)
            both = f"{_short(found.spearman)} / {_short(found.pearson)}" if found else MISSING
            cells.append(
                both
                + (f"; {_short(found.within_models)} in {found.models}" if found and found.models else "")
            )
        rows.append(cells)
    heads = ["kind of shift", "runs", "not reached", *(COSTS[c] for c in costs)]
    note = (
        "Spearman / Pearson over all runs of the kind; then, where models have three settings of it or more, the mean "
        "Spearman within a model and the number of models."
    )
    return Grid(f"{title_of(signal)}, by kind of shift", heads, rows, note=note, numbers=range(1, len(heads)))


def spread_grid(tables: StudyTables) -> Grid:
    """How far seeds lie apart, by sort of shift."""
    costs = [c for c in COSTS if any(s.spread.factor.get(c) is not None for s in tables.sections)]
    rows = []
    for section in tables.sections:
        spread = section.spread
        share = spread.disagree / spread.settings if spread.settings else None
        cells = [SHIFTS[section.shift], str(spread.settings), f"{spread.disagree} ({percent(share)})"]
        rows.append([*cells, *(_factor(spread.factor.get(c)) for c in costs)])
    heads = [
        "",
        "settings with several seeds",
        "reached by one seed, not by another",
        *(COSTS[c] for c in costs),
    ]
    note = "Median factor between the dearest and the cheapest seed of a setting, where all of them reached."
    return Grid("Spread of the seeds", heads, rows, note=note, numbers=range(1, len(heads)))


def grids(
    tables: StudyTables, costs: Sequence[str], *, by_kind: bool = False
) -> list[tuple[str, list[Grid]]]:
    """All tables, by section: its title and its grids."""
    found = []
    for section in tables.sections:
        of = [correlation_grid(section, cost) for cost in costs]
        if by_kind:
            of += [kinds_grid(section, signal) for signal in OF_KIND]
        found.append((section_title(tables, section), [grid for grid in of if grid is not None]))
    if tables.sections:
        found.append(("", [spread_grid(tables)]))
    return found


def study_text(tables: StudyTables, costs: Sequence[str], *, by_kind: bool = False) -> RenderableType:
    """The tables for a terminal."""
    parts: list[RenderableType] = []
    for title, of in grids(tables, costs, by_kind=by_kind):
        if title:
            parts.append(Text(title, style="bold"))
        parts += [part for grid in of for part in (Text(grid.title), _Folding(grid), Text(""))]
    if not parts:
        return Text(f"no {tables.option} run with a quality target and signals: nothing to relate yet")
    return Group(*parts, Text(NOTE, style="dim"))


def study_markdown(
    tables: StudyTables, costs: Sequence[str], *, by_kind: bool = False, level: int = 2
) -> str:
    """The tables as Markdown; `level` is that of the sections' headings."""
    parts = []
    for title, of in grids(tables, costs, by_kind=by_kind):
        if title:
            parts.append(f"{'#' * level} {_capital(title)}")
        for grid in of:
            parts.append(f"**{grid.title}**")
            marks = ["---:" if i in grid.numbers else "---" for i in range(len(grid.heads))]
            rows = [
                [cell.replace("\n", " ").replace("|", "\\|") for cell in row]
                for row in (grid.heads, *grid.rows)
            ]
            lines = [rows[0], marks, *rows[1:]]
            parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
            if grid.note:
                parts.append(grid.note)
    return "\n\n".join([*parts, NOTE]) + "\n"


class _Folding:
    """A grid as one table where it fits, as two below each other where the terminal is narrow."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        places = range(1, len(self.grid.heads))
        at_once = len(places) if options.max_width >= WIDE else max((options.max_width - 28) // 22, 1)
        for start in range(0, len(places), at_once):
            if start:
                yield Text("")
            yield _rich(self.grid, places[start : start + at_once])
        if self.grid.note:
            yield Text(self.grid.note, style="dim")


def _rich(grid: Grid, places: Sequence[int]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(
        Text(grid.heads[0], style="dim"), overflow="fold", min_width=26 if grid.numbers else None
    )
    for place in places:
        head = Text(grid.heads[place], style="dim")
        table.add_column(head, justify="right", overflow="fold", max_width=20)
    for row in grid.rows:
        style = "dim" if row[0].startswith(title_of(REPEAT)) else ""
        table.add_row(Text(row[0]), *(Text(row[place]) for place in places), style=style)
    return table


def _head(scope: str, most: Association) -> str:
    runs = f"{most.runs} runs, {most.censored} not reached"
    return (
        f"{scope}\n{runs}"
        if scope == POOLED
        else f"{scope}\n{most.groups} group{'s' * (most.groups != 1)}, {runs}"
    )


def _figure(found: Association | None, *, interval: bool) -> str:
    if found is None or found.spearman is None:
        return MISSING
    if not interval or found.low is None or found.high is None:
        return _short(found.spearman)
    interval_text = f"{_short(found.spearman)} ({_short(found.low)} … {_short(found.high)})"
    return interval_text.replace(" ", "\u00a0")  # folds as one word


def _short(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}".replace("-", "−")


def _factor(value: float | None) -> str:
    return MISSING if value is None else f"{two_digits(value)}×"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
