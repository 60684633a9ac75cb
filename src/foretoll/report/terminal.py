"""Tables for the terminal and for notebooks. Every function returns something that a Rich console prints.

`as_text` gives the same without colour, for a plain `repr`, a log or a test.
"""

from __future__ import annotations

import dataclasses
import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.jupyter import JupyterMixin
from rich.table import Table
from rich.text import Text

from foretoll.printing import PlainConsole
from foretoll.records import Estimate, Outcome, Run
from foretoll.report import reasons, story
from foretoll.report.display import displayed
from foretoll.report.words import (
    MISSING,
    OUTCOME_WORDS,
    cost_text,
    data_name,
    glue,
    model_name,
    percent,
    plain,
)
from foretoll.units import human_number

NARROW = 92
"""Below this width the basis of a figure moves from the end of its line to a line of its own."""

LONGEST_OPTION = 24
"""Characters of an option, or of anything else that should be short, in a line of the ledger."""

_TitledText = tuple[str, str, str]
"""Title, text, style."""

_OUTCOME_STYLES = {
    Outcome.REACHED: "green",
    Outcome.CENSORED: "bold yellow",
    Outcome.FAILED: "bold red",
    Outcome.INTERRUPTED: "yellow",
    Outcome.RUNNING: "",
}


def estimate_table(estimate: Estimate, run: Run | None = None) -> RenderableType:
    """The forecast toll, beside the measured one where there is a run, and what it means and rests on."""
    return _Page(displayed(estimate), displayed(run))


def run_table(run: Run) -> RenderableType:
    """A run that was really carried out: its toll with its basis, its quality before and after."""
    return _Page(None, displayed(run))


def ledger_table(runs: Sequence[Run]) -> RenderableType:
    """One line per run, newest as given; columns that do not fit a narrow terminal are left out."""
    return _Ledger(tuple(map(displayed, runs)))


def indices_table(rows: Iterable[object]) -> RenderableType:
    """A table of mappings, dataclasses or named tuples, one column per key, truth values as yes and no."""
    plain_rows = [_mapping(row) for row in rows]
    columns = list(dict.fromkeys(key for row in plain_rows for key in row))
    table = plain_table(padding=(0, 2, 0, 0))
    for position, column in enumerate(columns):
        table.add_column(Text(plain(column), style="bold"), overflow="fold", no_wrap=position == 0)
    for row in plain_rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    return table


def as_text(renderable: RenderableType, *, width: int = 110) -> str:
    """What a console of that width without colour would show."""
    stream = io.StringIO()
    PlainConsole(file=stream, width=width, no_color=True, force_terminal=False, legacy_windows=False).print(
        renderable
    )
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


class _Page(JupyterMixin):
    """An estimate, a run, or both, laid out for the width at hand."""

    def __init__(self, estimate: Estimate | None, run: Run | None) -> None:
        self.estimate = estimate
        self.run = run

    def __str__(self) -> str:
        return as_text(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrow = options.max_width < NARROW
        record = self.estimate if self.estimate is not None else self.run
        if record is None:
            return
        yield wrapped(story.task_text(record, size=True), options.max_width, "bold")
        yield ""
        yield self._costs(narrow)
        lines: list[_TitledText] = _bases(self.estimate, self.run) if narrow else []
        if self.run is not None:
            lines.append(("Outcome", story.verdict(self.run), _OUTCOME_STYLES[self.run.outcome]))
        if self.estimate is not None:
            for group in reasons.lines(self.estimate, self.run):
                lines.append((group.title, ";\n".join(group.sentences), ""))
        if self.run is not None and self.estimate is None:
            lines.extend(_run_lines(self.run))
        lines.extend(("Warning", text, "yellow") for text in reasons.warnings(self.estimate, self.run))
        yield ""
        grid = plain_table(padding=(0, 2, 0, 0), show_header=False)
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        room = options.max_width - 2 - max((len(title) for title, _, _ in lines), default=0)
        for title, text, style in lines:
            grid.add_row(Text(title, style="bold"), wrapped(text, room, style))
        yield grid

    def _costs(self, narrow: bool) -> Table:
        estimate, run = self.estimate, self.run
        table = plain_table(padding=(0, 1 if narrow else 3, 0, 0))
        table.add_column("", no_wrap=True)
        if estimate is not None:
            table.add_column("forecast", no_wrap=True)
            level = percent(story.interval_level(estimate))
            table.add_column(f"{level} interval", no_wrap=True)
        if run is not None:
            table.add_column("measured", overflow="fold")
        if not narrow:
            table.add_column("", style="dim", overflow="fold")
        if estimate is not None or (run is not None and run.settings.until is not None):
            table.add_row(*self._reached(narrow))
        for row in story.cost_rows(estimate, run):
            cells = [Text(row.label)]
            if estimate is not None:
                cells += [Text(row.forecast), Text(row.interval)]
            if run is not None:
                cells.append(Text(row.measured))
            if not narrow:
                cells.append(Text(row.note))
            table.add_row(*cells)
        return table

    def _reached(self, narrow: bool) -> list[Text]:
        estimate, run = self.estimate, self.run
        settings = estimate.settings if estimate is not None else run.settings if run is not None else None
        budget = f" in {settings.max_epochs:g} epochs" if settings is not None and not narrow else ""
        cells = [Text(f"reached{budget}")]
        if estimate is not None:
            cells += [Text(percent(estimate.reach_probability)), Text("")]
        if run is not None:
            cells.append(Text(story.outcome_short(run), style=_OUTCOME_STYLES[run.outcome]))
        if not narrow:
            unknown = estimate is not None and estimate.reach_probability is None
            cells.append(Text("probability unknown" if unknown else ""))
        return cells


class _Ledger(JupyterMixin):
    """The runs, with as many columns as fit."""

    def __init__(self, runs: tuple[Run, ...]) -> None:
        self.runs = runs

    def __str__(self) -> str:
        return as_text(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.runs:
            yield Text("The ledger has no runs yet: `foretoll retrain` adds one.")
            return
        width = options.max_width
        table = plain_table(padding=(0, 2, 0, 0))
        shown = [name for name, least in _LEDGER_COLUMNS.items() if width >= least]
        rows = [_ledger_cells(run) for run in self.runs]
        for row, short in zip(rows, _short_ids([run.id for run in self.runs]), strict=True):
            row["id"] = Text(short)
        gap = 2
        natural = {
            name: max(len(name), *(min(row[name].cell_len, LONGEST_OPTION) for row in rows)) for name in shown
        }
        elastic = [name for name in shown if name in ("model", "target")]
        room = width - sum(natural[name] + gap for name in shown if name not in elastic) - gap * len(elastic)
        for name in shown:
            table.add_column(
                Text(name, style="bold"),
                no_wrap=True,
                overflow="ellipsis",
                justify="right" if name in ("epochs", "energy", "quality") else "left",
                max_width=max(room // len(elastic), 6) if name in elastic else LONGEST_OPTION,
            )
        for row in rows:
            table.add_row(*(row[name] for name in shown))
        yield table


def _short_ids(ids: Sequence[str]) -> list[str]:
    """The shortest beginnings, of eight characters at least, that tell these ids apart."""
    distinct = len(set(ids))
    longest = max((len(name) for name in ids), default=8)
    length = next((n for n in range(8, longest) if len({name[:n] for name in ids}) == distinct), longest)
    return [name[:length] for name in ids]


_LEDGER_COLUMNS = {
    "id": 0,
    "started": 100,
    "option": 0,
    "model": 80,
    "target": 0,
    "outcome": 0,
    "epochs": 0,
    "energy": 80,
    "quality": 110,
}
"""Column and the width from which on it is shown."""


def _ledger_cells(run: Run) -> dict[str, Text]:
    return {
        "id": Text(run.id),
        "started": Text(when(run.started_at)),
        "option": Text(run.option),
        "model": Text(model_name(run.model)),
        "target": Text(data_name(run.target)),
        "outcome": Text(OUTCOME_WORDS[run.outcome], style=_OUTCOME_STYLES[run.outcome]),
        "epochs": Text(human_number(run.toll.epochs)),
        "energy": Text(cost_text("energy_kwh", run.toll.energy_kwh, digits=3)),
        "quality": Text(story.quality_text(run.quality.after if run.quality else None)),
    }


def when(moment: datetime) -> str:
    """Date and minute, as recorded."""
    return moment.strftime("%Y-%m-%d %H:%M")


def _bases(estimate: Estimate | None, run: Run | None) -> list[_TitledText]:
    rows = [row for row in story.cost_rows(estimate, run) if row.note and row.note != "no forecast"]
    return [(row.label.removeprefix("CO2e ").capitalize(), row.note, "dim") for row in rows]


def _run_lines(run: Run) -> list[_TitledText]:
    read = reasons.read(run)
    lines: list[_TitledText] = [(read.title, ";\n".join(read.sentences), "")] if read.sentences else []
    if run.quality is not None:
        before, after = story.quality_text(run.quality.before), story.quality_text(run.quality.after)
        name = plain(run.quality.metric)
        lines.append(("Quality", f"{name} {before} before, {after} after, on test data kept apart", ""))
    settings = run.settings
    recipe = (
        f"{settings.optimizer}, learning rate {settings.lr:g}, batches of {settings.batch_size}, "
        f"at most {settings.max_epochs:g} epochs, seed {settings.seed}; {run.steps:,} steps"
    )
    lines.append(("Settings", recipe, ""))
    if run.checkpoint:
        lines.append(("Saved", run.checkpoint, ""))
    lines.append(("Run", run.id, ""))
    return lines


def wrapped(text: str, width: int, style: str) -> Text:
    """Wrapped at spaces, never between a number and its unit; Rich would break no-break spaces."""
    lines = [
        piece
        for line in glue(text).splitlines()
        for piece in textwrap.wrap(line, max(width, 20), break_on_hyphens=False)
    ]
    return Text("\n".join(lines).replace("\N{NO-BREAK SPACE}", " "), style=style)


def plain_table(*, padding: tuple[int, int, int, int], show_header: bool = True) -> Table:
    """A table without lines."""
    return Table(
        box=None,
        padding=padding,
        pad_edge=False,
        show_header=show_header,
        header_style="dim",
        highlight=False,
    )


def _mapping(row: object) -> Mapping[str, object]:
    if isinstance(row, Mapping):
        return row
    if dataclasses.is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    if hasattr(row, "_asdict"):
        return dict(row._asdict())
    return {"name": row}


def _cell(value: object) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return human_number(value)
    if isinstance(value, (tuple, list, set, frozenset)):
        return ", ".join(_cell(part) for part in value) or MISSING
    return str(value)
