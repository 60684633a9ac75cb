"""The score tables of forecasts: first of open runs that reached their target, then of all, by what was left out."""

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
    "coverage_split_0.9": "90 %, ties split",
    "width_0.9": "90 % width",
    "within_target": "within a target",
    "trained_first": "epochs trained first",
}
OPEN_COLUMNS = {
    "median_factor": "median factor",
    "factor_0.9": "90 % within factor",
    "within_1.5": "within 1.5 ×",
    "within_2": "within 2 ×",
    "spearman": "Spearman",
}
COSTS = {
    "epochs": "epochs",
    "gradient_norm": "gradient norm",
    "parameter_change": "parameter change",
    "quality": "quality",
    "duration_s": "duration",
    "energy_kwh": "energy",
}
REPEAT = "repeat: another seed of the setting"


def score_blocks(found: dict[str, Any]) -> list[Block]:
    """Open runs that reached their target and the intervals of all costs; then, by what is left out, all runs."""
    heads = [Column(""), *(Column(title, number=True) for title in COLUMNS.values())]
    blocks: list[Block] = []
    for name, block in found["splits"].items():
        blocks += _open_blocks(name, block)
    for name, block in found["splits"].items():
        rows = [Row(cells) for cells in _rows(block)]
        blocks += [Section(_title(name, block)), Table(heads, rows, wide=True), Note(_ahead(block))]
    return blocks


def _open_blocks(name: str, block: dict[str, Any]) -> list[Block]:
    """One way to leave out: point forecasts of open runs that reached their target, and intervals of open runs."""
    own = block["open"]["foretoll"]
    if not own["runs"]:
        return []
    heads = [Column(""), *(Column(title, number=True) for title in OPEN_COLUMNS.values())]
    ordered = sorted(
        block["open"].items(), key=lambda item: ("foretoll" not in item[0], item[1]["median_factor"])
    )
    rows = [Row([REPEAT, *_open_cells(block["open_repeat"])])]
    rows += [Row([method, *_open_cells(measures)]) for method, measures in ordered]
    interval = f"{own['median_factor_low']:.2f} … {own['median_factor_high']:.2f}"
    blocks: list[Block] = [
        Section(f"Open runs that reached their target, left out: {name} ({own['runs']:.0f} runs)"),
        Table(heads, rows, wide=True),
        Note(f"median factor of foretoll, 95 % interval: {interval} (bootstrap over pairs of data sets)"),
    ]
    return blocks + _interval_blocks(block)


def _open_cells(measures: dict[str, Any]) -> list[str]:
    return ["–" if measures.get(key) is None else f"{measures[key]:.2f}" for key in OPEN_COLUMNS]


def _interval_blocks(block: dict[str, Any]) -> list[Block]:
    if not block.get("intervals"):
        return []
    heads = [
        Column("90 % intervals of open runs"),
        *(Column(n, number=True) for n in ("runs", "held", "width")),
    ]
    rows = [
        Row([COSTS[cost], f"{found['runs']:.0f}", f"{found['held']:.0%}", f"{found['width']:.2f}"])
        for cost, found in block["intervals"].items()
    ]
    unlike, served = block["unlike"], block["served"]
    factors = [unlike[key] for key in ("median_factor_warned", "median_factor_not")]
    said = ["–" if factor is None else f"{factor:.2f}" for factor in factors]
    return [
        Table(heads, rows),
        Note(
            "width: median ratio of the ends, of the quality their difference; duration and energy from a step's time "
            f"in another seed. With a warning: {unlike['warned']:.0%}, median factor {said[0]} there and "
            f"{said[1]} elsewhere"
            + (
                f". The served model meets the target on test data: {served['met']:.0%}, "
                f"forecast {served['forecast']:.0%} (Brier {served['brier']:.2f})"
                if served
                else ""
            )
        ),
    ]


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
