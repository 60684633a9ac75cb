"""A study's tables as blocks, for the terminal, for Markdown and for the page alike."""

from __future__ import annotations

from collections.abc import Sequence

from foretoll.report.document import Block, Column, Note, Row, Section, Table, known
from foretoll.report.words import MISSING, percent, plain, two_digits
from foretoll.research.columns import COSTS, PAPERS, REPEAT, title_of
from foretoll.research.findings import Association, KindAssociation, StudyTables
from foretoll.research.findings import Section as ShiftSection
from foretoll.research.tables import FEWEST_RUNS, POOLED

SHIFTS = {
    "distribution": "computed shifts",
    "natural": "natural shifts",
    "task": "task shifts",
}
OF_KIND = ("recoverability_gap", *PAPERS)
NOTE = (
    "Spearman correlation of a single run's cost with the signal; all signals are turned so that more should mean "
    "dearer (a minus marks those that were negated). Pooled, in brackets: 95 % bootstrap interval over settings. "
    "Within: the mean over groups. A run that did not reach its target counts with what it had spent: at the limit "
    "of epochs, tied. C: concordance, which knows that such a run would have cost more; 0.50 is chance. "
    "Repeat: another seed of the same setting, the ceiling for a single run."
)


def section_title(tables: StudyTables, section: ShiftSection) -> str:
    """What the section is of, with its numbers."""
    return (
        f"{tables.option} under {SHIFTS[section.shift]}: {section.runs} runs of {section.settings} settings, "
        f"{section.censored} of them did not reach their target, {section.met} met it already"
    )


def correlation_table(section: ShiftSection, cost: str) -> Table | None:
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
    return _table(f"{_capital(COSTS[cost])}: what orders it", heads, rows)


def kinds_table(section: ShiftSection, signal: str) -> Table | None:
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
    return _table(f"{title_of(signal)}, by kind of shift", heads, rows, note)


def spread_table(tables: StudyTables) -> Table:
    """How far seeds lie apart, by sort of shift; without a row where no setting has several seeds."""
    costs = [c for c in COSTS if any(s.spread.factor.get(c) is not None for s in tables.sections)]
    rows = []
    for section in tables.sections:
        spread = section.spread
        if not spread.settings:
            continue
        share = spread.disagree / spread.settings
        cells = [SHIFTS[section.shift], str(spread.settings), f"{spread.disagree} ({percent(share)})"]
        rows.append([*cells, *(_factor(spread.factor.get(c)) for c in costs)])
    heads = [
        "",
        "settings with several seeds",
        "reached by one seed, not by another",
        *(COSTS[c] for c in costs),
    ]
    note = "Median factor between the dearest and the cheapest seed of a setting, where all of them reached."
    return _table("Spread of the seeds", heads, rows, note)


def study_blocks(tables: StudyTables, costs: Sequence[str], *, by_kind: bool = False) -> list[Block]:
    """All tables, by sort of shift; a sentence where there is nothing to relate."""
    found: list[Block] = []
    for section in tables.sections:
        of = [correlation_table(section, cost) for cost in costs]
        if by_kind:
            of += [kinds_table(section, signal) for signal in OF_KIND]
        found += [Section(section_title(tables, section)), *(table for table in of if table is not None)]
    if not found:
        few = f"{tables.runs} {tables.option} runs with a quality target and signals"
        return [Note(f"{few}: tables need {FEWEST_RUNS} of one sort of shift")]
    return known([*found, spread_table(tables), Note(NOTE)])


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> Table:
    """Names of signals, then numbers; another seed, which no forecast can beat, is set apart."""
    columns = [Column(heads[0]), *(Column(head, number=True) for head in heads[1:])]
    cells = [Row(tuple(row), tone="aside" if row[0].startswith(title_of(REPEAT)) else "") for row in rows]
    return Table(columns, cells, title, note, wide=True)


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
