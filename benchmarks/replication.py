"""Writes the tables and pictures of docs/replication.md, and the table of docs/recoverability_gap.md.

    python benchmarks/replication.py

All from the ledger that ships; of a study of your own `foretoll study table` shows the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from foretoll.forecast.case import CLASSIFICATION
from foretoll.records import Run
from foretoll.report.document import Table
from foretoll.report.figures import Svg
from foretoll.report.plots import Figure
from foretoll.research.columns import COSTS, columns, title_of
from foretoll.research.findings import Section, StudyTables
from foretoll.research.leave_out import rows_of
from foretoll.research.study_pictures import levels_figure, scatter
from foretoll.research.study_tables import (
    OF_KIND,
    correlation_table,
    kinds_table,
    section_title,
    spread_table,
)
from foretoll.research.tables import KIND, MODEL, POOLED, TARGET, shift_of, study_tables
from foretoll.study.reading import runs_of
from pages import IMAGES, ROOT, STYLE, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "replication.md"
GAP_PAGE = ROOT / "docs" / "recoverability_gap.md"
GAP_PEERS = ("recoverability_gap", "resque", "inv_ari", "initial_loss", "accuracy_drop", "repeat")
SHORT = (
    "recoverability_gap",
    "resque",
    "inv_ari",
    "preindex_score",
    "arm",
    "initial_loss",
    "accuracy_drop",
    "repeat",
)
COLOURS = (
    *("#3584d6", "#d98a00", "#bd1f01", "#7f918e", "#832db6"),
    *("#a05e4d", "#e76300", "#9c9150", "#5f656e", "#3ea7aa"),
)
EXTRA = "".join(
    f".c{i} {{ fill: {c}; stroke: {c}; }} .open.c{i} {{ fill: #fff; }} " for i, c in enumerate(COLOURS)
)
EXTRA += ".open.shapes { stroke-width: 1.3; } .point { opacity: 0.85; } .mean { fill: none !important; }"
EXTRA += "".join(f".open.c{i}.shapes {{ stroke: {c}; }} " for i, c in enumerate(COLOURS))


def main() -> None:
    """Relate, write, draw."""
    runs = [run for run in runs_of("reference") if run.target.task == CLASSIFICATION]
    tables, trained = study_tables(runs), study_tables(runs, trained=True)
    blocks = {
        "basis": basis(runs, tables),
        "summary": summary(tables),
        "summary-trained": summary(trained),
        "costs": costs(tables),
        "kinds": kinds(tables),
        "tasks": tasks(tables),
        "seeds": table_text(spread_table(tables)),
    }
    for name, text in blocks.items():
        replace_ledger_block(PAGE, name, text)
    replace_ledger_block(GAP_PAGE, "worth", worth(tables, trained))
    pictures(runs)


def worth(tables: StudyTables, trained: StudyTables) -> str:
    """The gap beside RESQUE, the initial loss and the accuracy lost: all runs, and those that had to be trained."""
    parts = [
        f"**Computed shifts, all runs**\n\n{summary(tables, GAP_PEERS)}",
        f"**Computed shifts, runs that took a step**\n\n{summary(trained, GAP_PEERS)}",
    ]
    section = _section(tables, "task")
    if section:
        found = {name: section.find(name, "epochs", POOLED) for name in GAP_PEERS}
        rows = [[title_of(n), _cell(f.spearman, f.low, f.high)] for n, f in found.items() if f]
        parts.append(
            f"**Task shifts**\n\n{markdown_table(['Spearman with epochs', _head(section, POOLED)], rows)}"
        )
    return "\n\n".join(parts)


def basis(runs: list[Run], tables: StudyTables) -> str:
    """How much these figures rest on."""
    last = max(run.started_at for run in runs)
    machines = {
        f"{run.hardware.device_name}, torch {run.hardware.torch}": None for run in runs if run.hardware
    }
    lines = [f"As of {last:%-d %B %Y, %H:%M} UTC, {len(runs)} runs in the ledger:", ""]
    lines += [f"- {section_title(tables, section)}" for section in tables.sections]
    if machines:
        lines += ["", f"Made on {'; '.join(machines)}; one thread a run."]
    return "\n".join(lines)


def summary(tables: StudyTables, names: Sequence[str] = SHORT) -> str:
    """Spearman with epochs, scope by scope, of these signals."""
    section = _section(tables, "distribution")
    if section is None:
        return "(no runs yet)"
    scopes = [s for s in section.scopes if any(section.find(n, "epochs", s) for n in names)]
    rows = []
    for name in names:
        found = [section.find(name, "epochs", scope) for scope in scopes]
        if any(found):
            pooled = found[0]
            concordance = "–" if pooled is None or pooled.concordance is None else f"{pooled.concordance:.2f}"
            cells = [_cell(f.spearman, f.low, f.high) if f else "–" for f in found]
            rows.append([title_of(name), *cells, concordance])
    heads = [_head(section, scope) for scope in scopes]
    return markdown_table(["Spearman with epochs", *heads, "concordance, pooled"], rows)


def costs(tables: StudyTables) -> str:
    """Main signals against all costs, pooled; within a model."""
    section = _section(tables, "distribution")
    if section is None:
        return "(no runs yet)"
    parts = []
    for scope in (POOLED, MODEL, KIND):
        known = [c for c in COSTS if section.find(SHORT[0], c, scope)]
        rows = []
        for name in SHORT:
            found = [section.find(name, cost, scope) for cost in known]
            if any(found):
                rows.append([title_of(name), *(_pair(f.spearman, f.pearson) if f else "–" for f in found)])
        runs = [section.find(SHORT[0], cost, scope) for cost in known]
        heads = [
            f"{COSTS[c]} ({f.runs} runs, {f.censored} not reached)"
            for c, f in zip(known, runs, strict=True)
            if f
        ]
        parts.append(
            f"**{scope[:1].upper()}{scope[1:]}** (Spearman / Pearson)\n\n"
            + markdown_table(["", *heads], rows)
        )
    return "\n\n".join(parts)


def kinds(tables: StudyTables) -> str:
    """The papers' own form: one index, kind by kind, against the costs."""
    section = _section(tables, "distribution")
    found_tables = [kinds_table(section, name) for name in OF_KIND] if section else []
    return "\n\n".join(f"**{table.title}**\n\n{table_text(table)}" for table in found_tables if table)


def tasks(tables: StudyTables) -> str:
    """Task shifts: every signal against the epochs, pooled, within a source model, within a target."""
    section = _section(tables, "task")
    table = correlation_table(section, "epochs") if section else None
    return table_text(table) if table else "(too few runs yet)"


def table_text(table: Table) -> str:
    """A table of the report as Markdown, with its note."""
    heads = [column.head.replace("\n", ": ", 1).replace("\n", " ") for column in table.columns]
    rows = [[str(cell).replace("\u00a0", " ") for cell in row.cells] for row in table.rows]
    text = markdown_table(heads, rows)
    note = table.note
    return f"{text}\n\n{note}" if note else text


def pictures(runs: list[Run]) -> None:
    """Epochs against the gap and against RESQUE, and epochs against level."""
    rows = [row for row in rows_of(runs, option="finetune") if shift_of(row) == "distribution"]
    known = {column.name: column for column in columns(rows, everything=True)}
    pair = [
        scatter(rows, known[name], lambda row: row.case.shift_kind, title=known[name].title, caption="")
        for name in ("recoverability_gap", "resque")
        if name in known
    ]
    save([figure for figure in pair if figure], "replication_gap")
    levels = levels_figure(rows)
    if levels:
        save([levels], "replication_levels")


def save(figures: list[Figure], name: str) -> Path:
    """Write figures beside each other, with the legend of the first, as one file that stands alone."""
    boxes = [
        tuple(map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', str(f.svg))[0])) for f in figures
    ]
    width, high = sum(w for w, _ in boxes) + 20 * (len(boxes) - 1), max(h for _, h in boxes)
    entries, per_row = figures[0].legend, max(int(width // 135), 1)
    height = high + 12 + 20 * -(-len(entries) // per_row)
    parts, left = [], 0.0
    for figure, (w, h) in zip(figures, boxes, strict=True):
        box = f'<svg x="{left:g}" y="0" width="{w:g}" height="{h:g}" '
        parts.append(str(figure.svg).replace("<svg ", box, 1))
        left += w + 20
    for place, (key, label) in enumerate(entries):
        x, y = 6 + 135 * (place % per_row), high + 8 + 20 * (place // per_row)
        parts.append(str(key).replace("<svg ", f'<svg x="{x}" y="{y:g}" width="13" height="13" ', 1))
        text = str(Svg(1, 1, "").text(x + 18, y + 11, label).render())
        parts.append(re.sub(r"^.*?</title>|</svg>$", "", text))
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    title = Markup("<title>{}</title>").format("; ".join(f.title for f in figures))
    path = IMAGES / f"{name}.svg"
    path.write_text(f"{head}{title}<style>{STYLE}{EXTRA}</style>{''.join(parts)}</svg>\n", encoding="utf-8")
    return path


def _section(tables: StudyTables, shift: str) -> Section | None:
    return next((section for section in tables.sections if section.shift == shift), None)


def _head(section: Section, scope: str) -> str:
    most = max(
        (a for a in section.associations if (a.cost, a.scope) == ("epochs", scope)), key=lambda a: a.runs
    )
    groups = "" if scope in (POOLED, TARGET) else f"{most.groups} groups, "
    return f"{scope} ({groups}{most.runs} runs, {most.censored} not reached)"


def _cell(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "–"
    interval = "" if low is None or high is None else f" ({low:.2f} … {high:.2f})"
    return f"{value:.2f}{interval}".replace("-", "−")


def _pair(spearman: float | None, pearson: float | None) -> str:
    return " / ".join("–" if v is None else f"{v:.2f}".replace("-", "−") for v in (spearman, pearson))


if __name__ == "__main__":
    main()
