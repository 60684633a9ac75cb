"""The score table of forecasts: one block per way to leave runs out."""

from __future__ import annotations

from typing import Any

from foretoll.report.document import Block, Column, Note, Row, Section, Table

COLUMNS = {
    "spearman": "Spearman",
    "concordance": "concordance",
    "median_factor": "median factor",
    "spearman_open": "Spearman, open",
    "auc": "AUC reached",
    "auc_open": "AUC, open",
    "brier": "Brier",
    "coverage_0.5": "50 % held",
    "coverage_split_0.5": "50 %, ties split",
    "coverage_0.8": "80 % held",
    "coverage_0.9": "90 % held",
    "width_0.9": "90 % width",
    "within_target": "within a target",
    "trained_first": "epochs trained first",
}
REPEAT = "repeat: another seed of the setting"


def score_blocks(found: dict[str, Any]) -> list[Block]:
    """For every way to leave runs out its table, and how far ahead the forecast is."""
    heads = [Column(""), *(Column(title, number=True) for title in COLUMNS.values())]
    blocks: list[Block] = []
    for name, block in found["splits"].items():
        rows = [Row(cells) for cells in _rows(block)]
        blocks += [Section(_title(name, block)), Table(heads, rows, wide=True), Note(_ahead(block))]
    return blocks


def _title(name: str, block: dict[str, Any]) -> str:
    own = block["methods"]["foretoll"]
    return (
        f"Left out: {name} ({own['runs']:.0f} runs, {own['censored']:.0%} censored; "
        f"{own['open_runs']:.0f} open: not decided by their first evaluation)"
    )


def _rows(block: dict[str, Any]) -> list[list[str]]:
    ordered = sorted(
        block["methods"].items(),
        key=lambda item: ("foretoll" not in item[0], -(item[1].get("concordance") or 0.0)),
    )
    rows = [[REPEAT, *_cells(block["repeat"])]]
    return rows + [[name, *_cells(measures)] for name, measures in ordered]


def _cells(measures: dict[str, Any]) -> list[str]:
    return ["–" if measures.get(key) is None else f"{measures[key]:.2f}" for key in COLUMNS]


def _ahead(block: dict[str, Any]) -> str:
    parts = [
        f"{name} {difference:+.3f} ({low:+.3f} … {high:+.3f})"
        for name, (difference, low, high) in block["ahead_of_best_peer"].items()
    ]
    return (
        f"foretoll against the best peer that does not train first ({block['best_peer']}): {', '.join(parts)}"
    )
