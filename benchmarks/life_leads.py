"""Rows that the forecast of the lead learns from: every state of a recorded life, and the lead that came.

    FORETOLL_DATA=/path/to/data python benchmarks/life_leads.py --folder DIR [--ship]

Says how the forecast did on streams that it was not learned from; `--ship` writes the one that comes with foretoll.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import foretoll.forecast.lead as lead_module
from foretoll.decide.replay import FIRST, Possible, RecordedLife
from foretoll.decide.timeline import OF_LABELS
from foretoll.forecast.lead import BATCHES, LeadModel, lead_features
from life_records import recorded

DELAYS = (0, 4)
EVERY = 3  # of the updates whose models are taken as served ones: the others are much like them


@dataclass(frozen=True)
class Rows:
    """Features (n, d), leads that came (n,), and of each row its stream and whether its labels were late."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    streams: list[str]
    late: npt.NDArray[np.bool_]


def rows_of(lives: Iterable[tuple[str, RecordedLife]]) -> Rows:
    """The rows of lives, each with the name of its stream."""
    x, y, streams, late = [], [], [], []
    for stream, life in lives:
        for delay in DELAYS:
            for features, came in states(life, delay):
                x.append(features)
                y.append(came)
                streams.append(stream)
                late.append(delay > 0)
    return Rows(np.array(x), np.array(y), streams, np.array(late))


def states(life: RecordedLife, delay: int) -> Iterator[tuple[npt.NDArray[np.float64], float]]:
    """What was known of a served model at a time, and by how much each update was better in the next batches."""
    made = {(update.option, update.last): update for update in life.updates}
    options = sorted({option for option, _ in made})
    for model in (life.first, *(u for u in life.updates if u.last % EVERY == 0)):
        for now in range(model.last + 1, life.batches - 2):
            since = [
                model.served[j] if j + delay <= now else model.served[j].model_copy(update=OF_LABELS)
                for j in range(model.last + 1, now + 1)
            ]
            for option in options:
                update = made.get((option, now - delay))
                start = life.start if model.last == FIRST else None
                features = lead_features(since, start, only_head=option == "head")
                if update is not None and features is not None:
                    yield features, came_of(model, update, now, life.batches)


def came_of(model: Possible, update: Possible, now: int, batches: int) -> float:
    """Mean lead of an update over the next batches."""
    coming = range(now + 1, min(now + 1 + BATCHES, batches))
    return float(
        np.mean([(update.served[j].quality or 0.0) - (model.served[j].quality or 0.0) for j in coming])
    )


def without(rows: Rows, stream: str) -> LeadModel:
    """The forecast learned on all streams but one."""
    keep = np.array([name != stream for name in rows.streams])
    return LeadModel.fit(rows.x[keep], rows.y[keep], [s for s in rows.streams if s != stream])


def report(rows: Rows) -> str:
    """By stream that was left out: root mean square error of the forecast and of the recent lead, and coverage."""
    names = np.array(rows.streams)
    lines = [
        "| stream left out | states | error, points | of the recent lead | inside the 90 % interval |",
        "|---|--:|--:|--:|--:|",
    ]
    inside, sums = [], []
    for stream in sorted(set(rows.streams)):
        held = names == stream
        model = without(rows, stream)
        found = [model(each) for each in rows.x[held]]
        y = rows.y[held]
        ours = np.array([each.value for each in found])
        within = np.array([e.low <= v <= e.high for e, v in zip(found, y, strict=True)])
        error, plain = (100 * np.sqrt(np.mean((v - y) ** 2)) for v in (ours, rows.x[held][:, 0]))
        inside.append(within.mean())
        sums.append((error, plain))
        lines.append(
            f"| {stream} | {held.sum():,} | {error:.1f} | {plain:.1f} | {100 * within.mean():.0f} % |"
        )
    mean = np.mean(sums, axis=0)
    lines.append(f"| mean | | {mean[0]:.1f} | {mean[1]:.1f} | {100 * np.mean(inside):.0f} % |")
    return "\n".join(lines)


def main() -> None:
    """Say how the forecast does, and ship it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ship", action="store_true")
    chosen = parser.parse_args()
    lives = [(stream, life) for _, stream, _, life in recorded(chosen.folder, chosen.seeds)]
    rows = rows_of(lives)
    print(report(rows))
    print(f"{len(lives)} lives of {len(set(rows.streams))} streams, {len(rows.y):,} states")
    if chosen.ship:
        model = LeadModel.fit(rows.x, rows.y, rows.streams, lives=len(lives))
        Path(lead_module.__file__).with_name("lead.json").write_text(model.text())


if __name__ == "__main__":
    main()
