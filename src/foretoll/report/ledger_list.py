"""Lists for the terminal: the runs of a ledger, and any rows of named values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from foretoll.records import Run
from foretoll.report import story
from foretoll.report.display import displayed
from foretoll.report.document import Block, Column, Note, Row, Table
from foretoll.report.words import (
    MISSING,
    OUTCOME_WORDS,
    cost_text,
    data_name,
    model_name,
    option_settings_text,
    plain,
    quality_text,
)
from foretoll.units import human_number

COLUMNS = (
    Column("id"),
    Column("started", below=True),
    Column("option"),
    Column("model", below=True),
    Column("target", below=True),
    Column("outcome"),
    Column("epochs", number=True),
    Column("energy", number=True),
    Column("quality", number=True),
)


def ledger_blocks(runs: Sequence[Run]) -> list[Block]:
    """One row for each run; ids as short as tells them apart."""
    if not runs:
        return [Note("The ledger has no runs yet: `foretoll retrain` adds one.")]
    ids = _short_ids([run.id for run in runs])
    return [
        Table(COLUMNS, [_row(displayed(run), short) for run, short in zip(runs, ids, strict=True)], main=True)
    ]


def _row(run: Run, short: str) -> Row:
    after = run.quality.after if run.quality else None
    cells = (
        short,
        when(run.started_at),
        run.option,
        model_name(run.model),
        data_name(run.target),
        "reached, not on test" if story.missed_on_test(run) else OUTCOME_WORDS[run.outcome],
        human_number(run.toll.epochs),
        cost_text("energy_kwh", run.toll.energy_kwh, digits=3),
        quality_text(run.settings.metric, after),
    )
    return Row(cells, option_settings_text(run.option_settings), tone=story.TONES[run.outcome])


def _short_ids(ids: Sequence[str]) -> list[str]:
    """The shortest beginnings, of eight characters at least, that tell these ids apart."""
    distinct = len(set(ids))
    longest = max((len(name) for name in ids), default=8)
    length = next((n for n in range(8, longest) if len({name[:n] for name in ids}) == distinct), longest)
    return [name[:length] for name in ids]


def when(moment: datetime) -> str:
    """Date and minute, as recorded."""
    return moment.strftime("%Y-%m-%d %H:%M")


def table_of(rows: Iterable[object]) -> Table:
    """Mappings, dataclasses or named tuples as a table, one column per key."""
    found = [_mapping(row) for row in rows]
    names = list(dict.fromkeys(key for row in found for key in row))
    return Table(
        [Column(plain(name)) for name in names],
        [Row([_cell(row.get(name)) for name in names]) for row in found],
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
