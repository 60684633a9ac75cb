"""A life of several labels, lived by the commands: what a week of electricity does next, with updates carried out.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/life_labels.py --folder DIR [--weeks 9] [--write]

elec2 in time order from May 1997, since when Victoria's market is known. Three labels of each half hour: the price is
above its mean of the last day (the data's own label), and New South Wales' demand and the transfer between the states
rise in the next half hour. A network is trained on twelve weeks; each later week is served, watched and labelled at
once by `foretoll life watch --carry-out`, and an update is made every four weeks. `--write` puts the
table into docs/life.md; the page of the life is DIR/price.html.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from foretoll import cli
from foretoll.ledger import LifeBook
from foretoll.report.life_bill import spent_by_kind
from pages import ROOT, replace_block

FIRST, WEEK, SOURCE = 17_808, 336, 12  # a row that begins a week; rows of a week; weeks of the source
LABELS = ("price above its mean of a day", "demand rises", "transfer rises")
TRAINING = ("--max-epochs", "15", "--lr", "0.003", "--batch-size", "64")
MEASURED = ("--energy", "watts:65", "--region", "AU")


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 8) and labels (n, 3) in time order."""
    table = pq.read_table(Path(os.environ["FORETOLL_DATA"]) / "elec2.parquet")
    names = [name for name in table.column_names if name != "label"]
    x = np.stack([table[name].to_numpy() for name in names], 1).astype(np.float32)
    rises = [np.diff(table[name].to_numpy()) > 0 for name in ("nswdemand", "transfer")]
    y = np.stack([table["label"].to_numpy()[:-1], *rises], 1).astype(np.float32)
    return x[:-1], y


def foretoll(*command: str) -> Any:
    """What a command prints as JSON, run in this process."""
    said = io.StringIO()
    sys.argv = ["foretoll", *command, "--json"]
    with contextlib.redirect_stdout(said):
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise
    return json.loads(said.getvalue())


def live(folder: Path, weeks: int) -> None:
    """Train on what came first, then watch week by week."""
    x, y = rows()

    def write(name: str, first: int, count: int) -> None:
        some = slice(FIRST + first * WEEK, FIRST + (first + count) * WEEK)
        np.savez(f"{name}.npz", x=x[some], y=y[some])

    os.environ["FORETOLL_LEDGER"] = str(folder / "ledger.db")
    os.chdir(folder)  # paths of a life's batches are those of its commands
    write("old", 0, SOURCE)
    said = "npz:old.npz?task=multilabel&split=time"
    foretoll(
        "train", "--arch", "foretoll:mlp?width=32", "--data", said, "--out", "model", *TRAINING, *MEASURED
    )  # fmt: skip
    foretoll(
        "life", "start", "price", "--model", "model", "--source", said, "--worth", "1J",
        "--policy", "periodic:4", *TRAINING, *MEASURED,
    )  # fmt: skip
    for week in range(weeks):
        write(f"week{week}", SOURCE + week, 1)
        found = foretoll(
            "life", "watch", "price", "--batch", f"npz:week{week}.npz?task=multilabel", "--carry-out",
            "--at", f"{np.datetime64('1997-08-06') + 7 * week}T00:00", *MEASURED,
        )  # fmt: skip
        print(week, found["decision"]["action"], found["decision"]["reason"], file=sys.stderr, flush=True)
    foretoll("life", "report", "price", "--out", "price.html")


def told(folder: Path) -> str:
    """What the life served and took, as a table."""
    book = LifeBook(str(folder / "ledger.db"))
    card, events = book.card("price"), book.events("price")
    served = [(e.model, e.served) for e in events if e.kind == "labels" and e.served is not None]
    updates = [e for e in events if e.kind == "update"]
    spent = spent_by_kind(events)
    lines = [
        f"Labels: {', '.join(LABELS)}. Hamming accuracy at the start {card.start_quality:.3f}.",
        "",
        "| week | model | Hamming accuracy | last label | lead, points | update |",
        "|--:|---|--:|--:|--:|---|",
    ]
    for model, batch in served:
        after = [
            f"{'served' if e.promoted else 'not served'}: {e.note}"
            for e in updates
            if sum(look.kind == "look" and look.number < e.number for look in events) - 1 == batch.number
        ]
        lead = "" if batch.lead is None else f"{100 * batch.lead:+.1f} ± {100 * (batch.lead_error or 0):.1f}"
        lines.append(
            f"| {batch.number + 1} | {model} | {batch.quality:.3f} | {batch.last_label:.3f} | {lead} "
            f"| {'; '.join(after)} |"
        )
    taken = ", ".join(f"{kind} {each.energy_kwh * 3.6e6:.0f} J" for kind, each in spent.items())
    return "\n".join([*lines, "", f"Took at 65 W: {taken}."])


def main() -> None:
    """Live, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True, help="empty, or of a life that was lived")
    parser.add_argument("--weeks", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    chosen.folder = chosen.folder.resolve()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if not (chosen.folder / "price.html").exists():
        live(chosen.folder, chosen.weeks)
    text = told(chosen.folder)
    print(text)
    if chosen.write:
        replace_block(ROOT / "docs" / "life.md", "labels", text)


if __name__ == "__main__":
    main()
