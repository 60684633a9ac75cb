"""Plans made after the first third of a life, held against what the rest of it did.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/life_plans.py --folder DIR [--write]

A period is four batches. After a third of the stream the plan is made as a user would make it: the model is the one
made a period ago, the source what it was made on, the target the newest period. Then the rest is lived by every
schedule of the plan, each update carried out on the newest period from the model before it, and what was served and
spent is held against the plan's intervals. One life of each stream of `life_streams.py`; records are kept in DIR.
`--write` records nothing: it puts what is recorded into results/life_plans.json and the table into docs/life.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from foretoll.atomic import replacing
from foretoll.data.stream import Stream, open_stream
from foretoll.decide.plan import Aims, plan_of
from foretoll.models import Model, load_model
from foretoll.options import get_option
from foretoll.records import Interval, Schedule
from foretoll.workflows.carry_out import carry_out
from foretoll.workflows.compare import compare
from foretoll.workflows.context import Runtime, Update
from foretoll.workflows.look import look_at
from life_streams import LifeSpec, all_lives
from life_updates import ACCOUNTING, SETTINGS, write_world
from pages import RESULTS, ROOT, replace_block

PERIOD = 4
OPTIONS = ("keep", "finetune", "head")
Row = dict[str, object]


def updated(model: Model, stream: Stream, last: int, option: str, until: float) -> tuple[Model, float]:
    """The model after an update on the period that ends with batch `last`, and its kWh."""
    done = carry_out(
        get_option(option),
        Update(model, None, stream.window(last, PERIOD), False, torch.device("cpu")),
        SETTINGS.model_copy(update={"until": until}),
        Runtime(accounting=ACCOUNTING),
    )
    return done.model or model, done.run.toll.energy_kwh or 0.0


def quality(model: Model, stream: Stream, batches: Sequence[int]) -> list[float]:
    """What a model serves on these batches."""
    found = []
    for j in batches:
        rows = stream.batch(j).rows
        assert rows.labels is not None
        found.append(float((look_at(model, rows).outputs.argmax(1) == rows.labels.numpy()).mean()))
    return found


def lived(model: Model, stream: Stream, first: int, schedule: Schedule, periods: int, until: float) -> Row:
    """What the rest of the stream was served with by a schedule, and what its updates took."""
    served: list[float] = []
    spent = 0.0
    at = first
    for gap in gaps(periods, schedule.updates):
        if schedule.updates:
            model, kwh = updated(model, stream, at - 1, schedule.option, until)
            spent += kwh
        served += quality(model, stream, range(at, at + gap * PERIOD))
        at += gap * PERIOD

    def ends(interval: Interval) -> list[float | None]:
        return [interval.low, interval.median, interval.high]

    return {
        "option": schedule.option, "updates": schedule.updates, "quality": float(np.mean(served)), "kwh": spent,
        "forecast_quality": ends(schedule.mean_quality), "forecast_kwh": ends(schedule.cost),
    }  # fmt: skip


def gaps(periods: int, updates: int) -> list[int]:
    """For how many periods each model serves."""
    least, more = divmod(periods, max(updates, 1))
    return [least + 1] * more + [least] * (max(updates, 1) - more)


def record(spec: LifeSpec, folder: Path) -> list[Row]:
    """Plan after the first third, then live the rest by every schedule."""
    served = spec.make(0)
    write_world(spec, 0, folder)
    np.savez(folder / "served.npz", x=served.x, y=served.y)
    stream = open_stream(f"npz:{folder}/served.npz", every=served.every)
    first = max(len(stream) // 3 // PERIOD, 2) * PERIOD
    periods = (len(stream) - first) // PERIOD
    model = load_model(str(folder / "model"))
    model, _ = updated(model, stream, first - PERIOD - 1, "finetune", 0.999)
    comparison = compare(
        model, stream.window(first - PERIOD - 1, PERIOD), stream.window(first - 1, PERIOD), options=OPTIONS,
        settings=SETTINGS, task=False, device="cpu", accounting=ACCOUNTING, ledger=str(folder / "ledger.db"),
    )  # fmt: skip
    plan = plan_of(comparison, Aims.of(periods, "1kWh", None))
    until = comparison.settings.until
    assert until is not None
    return [lived(model, stream, first, schedule, periods, until) for schedule in plan.schedules]


def table(lives: dict[str, list[Row]]) -> str:
    """Shares inside the plan's intervals, how far medians are off, and updates that fit a budget."""
    lines = [
        "| option | schedules | quality inside its interval | median less actual, points | mean distance, points "
        "| energy inside its interval | median over actual energy |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for option in OPTIONS:
        rows = [row for each in lives.values() for row in each if row["option"] == option]
        errors = [100 * (row["forecast_quality"][1] - row["quality"]) for row in rows]
        inside = [row["forecast_quality"][0] <= row["quality"] <= row["forecast_quality"][2] for row in rows]
        paid = [row for row in rows if row["kwh"] and None not in row["forecast_kwh"]]
        energy = [row["forecast_kwh"][0] <= row["kwh"] <= row["forecast_kwh"][2] for row in paid]
        ratios = [row["forecast_kwh"][1] / row["kwh"] for row in paid]
        cost = f"{100 * np.mean(energy):.0f} % | {np.median(ratios):.2f}" if paid else " | "
        lines.append(
            f"| {option} | {len(rows)} | {100 * np.mean(inside):.0f} % | {np.mean(errors):+.1f} "
            f"| {np.mean(np.abs(errors)):.1f} | {cost} |"
        )
    planned, possible, kept = fitting(lives)
    lines.append("")
    lines.append(
        f"Of {possible} updates that a budget of what they really took would have borne, the plan's upper ends let "
        f"{planned} in; what it let in kept the budget in {100 * kept:.0f} % of the cases."
    )
    return "\n".join(lines)


def fitting(lives: dict[str, list[Row]]) -> tuple[int, int, float]:
    """Updates that the plan lets in, those that fit, and how often what it lets in keeps the budget."""
    planned = possible = 0
    kept = []
    for rows in lives.values():
        for option in OPTIONS[1:]:
            own = {row["updates"]: row for row in rows if row["option"] == option}
            for most, row in own.items():
                let_in = max(
                    (n for n, r in own.items() if (r["forecast_kwh"][2] or np.inf) <= row["kwh"]), default=0
                )
                planned, possible = planned + min(let_in, most), possible + most
                kept.append(not let_in or own[let_in]["kwh"] <= row["kwh"])
    return planned, possible, float(np.mean(kept))


def main() -> None:
    """Record what is missing, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    first = {spec.stream: spec for spec in reversed(list(all_lives())) if spec.kind != "none"}
    lives: dict[str, list[Row]] = {}
    for spec in reversed(first.values()):
        path = chosen.folder / f"plan-{spec.name.replace(' ', '_')}.json"
        if not path.exists() and chosen.write:
            continue
        if not path.exists():
            began = time.process_time()
            with tempfile.TemporaryDirectory() as place:
                rows = record(spec, Path(place))
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, ".part") as part:
                part.write(json.dumps(rows).encode())
            print(f"{spec.name}: {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)
        lives[spec.name] = json.loads(path.read_text())
    text = table(lives)
    print(text)
    if chosen.write:
        (RESULTS / "life_plans.json").write_text(json.dumps(lives, separators=(",", ":")) + "\n")
        replace_block(ROOT / "docs" / "life.md", "plans", text)


if __name__ == "__main__":
    main()
