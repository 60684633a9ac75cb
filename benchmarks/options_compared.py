"""Every way to reuse a model, forecast and then measured: six shifts, two architectures each.

    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/options_compared.py [--workers 2] [--only speech]
    FORETOLL_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/options_compared.py --forecasts

Runs `foretoll compare --measure` for each; writes docs/options_compared.md and results/options_compared.json, one
comparison after the other: a second call goes on where the first was stopped (remove the JSON to begin anew). The
recommendation rests on the forecasts made before any option ran. With `--forecasts` these are made anew,
from the ledger that ships now, and what was measured stays. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from foretoll.forecast.reference import reference_runs
from foretoll.measure import describe_hardware
from foretoll.units import human_energy

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "options_compared.json"
IMAGES = ("foretoll:cnn?width=16&input_size=16", "foretoll:resnet?width=8&input_size=16")
SERIES = ("foretoll:cnn1d?width=16", "networks:listening")


@dataclass(frozen=True)
class Shift:
    """What a model was trained on, and what it must then serve."""

    name: str
    title: str
    source: str
    target: str
    flags: str
    archs: tuple[str, str] = IMAGES


SHIFTS = (
    Shift(
        "blur",
        "CIFAR-10, blurred",
        "parquet:$D/cifar10.parquet?part=1/10",
        "parquet:$D/cifar10.parquet?part=2/10&shift=gaussian_blur:2.5",
        "",
    ),
    Shift(
        "noise",
        "Fashion-MNIST, noise",
        "npz:$D/fashion_mnist.npz?part=1/12",
        "npz:$D/fashion_mnist.npz?part=2/12&shift=gaussian_noise:0.3",
        "",
    ),
    Shift("usps", "MNIST → USPS", "npz:$D/mnist.npz?part=1/12", "npz:$D/usps.npz", "--same-task"),
    Shift(
        "kmnist",
        "Fashion-MNIST → KMNIST, a task",
        "npz:$D/fashion_mnist.npz?part=1/12",
        "npz:$D/kmnist_test10k_split.npz?part=1/2",
        "--task --until 0.75",
    ),
    Shift(
        "gtsrb",
        "CIFAR-10 → GTSRB, a task of 43 classes",
        "parquet:$D/cifar10.parquet?part=1/10",
        "npz:$D/gtsrb_32px_8880.npz?part=1/2",
        "--task --until 0.5",
    ),
    Shift(
        "speech",
        "Spoken digits, a new speaker",
        "npz:$D/fsdd_8khz.npz?where=speaker!theo",
        "npz:$D/fsdd_8khz.npz?where=speaker:theo",
        "--same-task",
        SERIES,
    ),
)


def foretoll(command: str, folder: Path, data: str) -> dict[str, Any]:
    """Run a command in the folder; its JSON."""
    words = [sys.executable, "-m", "foretoll.cli", *shlex.split(command.replace("$D", data)), "--json"]
    environment = {
        **os.environ,
        "FORETOLL_LEDGER": str(folder / "ledger.db"),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        raise SystemExit(f"{command}\n{done.stderr}")
    # where the data lie is nobody's business
    found: dict[str, Any] = json.loads(done.stdout.replace(data, "$D"))
    return found


def compared(shift: Shift, arch: str, data: str, flags: str) -> dict[str, Any]:
    """Train a source model and compare all options for it."""
    with tempfile.TemporaryDirectory() as name:  # each with a ledger of its own: no case teaches another
        folder = Path(name)
        shared = "--max-epochs 10 --batch-size 32 --region DE"
        foretoll(f"train --arch '{arch}' --data '{shift.source}' {shared} --out source", folder, data)
        between = f"--source '{shift.source}' --target '{shift.target}' {shift.flags}"
        return foretoll(f"compare --model source {between} {shared} {flags} --out compared", folder, data)


def forecast_anew(one: dict[str, Any], shift: Shift, data: str) -> dict[str, Any]:
    """A comparison with its forecasts and its recommendation made anew; what was measured stays."""
    found = compared(shift, one["arch"], data, "")
    told = {row["option"]: row for row in found["candidates"]}
    rows = [row if row["why_not"] else row | _forecast(told[row["option"]]) for row in one["candidates"]]
    chosen, best = found["recommendation"]["candidate"], one["measured_best"]
    chosen = None if chosen is None else _position(rows, found["candidates"][chosen]["option"])
    reached = chosen is not None and rows[chosen]["outcome"] == "reached"
    regret = rows[chosen]["energy_kwh"] / rows[best]["energy_kwh"] if reached else None
    recommendation = {"candidate": chosen, "reason": found["recommendation"]["reason"]}
    print(f"{shift.title}, {one['arch']}: {recommendation['reason']}; regret {regret}", flush=True)
    return one | {"regret": regret, "recommendation": recommendation, "candidates": rows}


def _position(rows: list[dict[str, Any]], option: str) -> int:
    return next(number for number, row in enumerate(rows) if row["option"] == option)


def carried_out(task: tuple[Shift, str, str]) -> dict[str, Any]:
    """Compare all options for a source model and carry all of them out; the comparison."""
    shift, arch, data = task
    found = compared(shift, arch, data, "--measure")
    print(f"{shift.title}, {arch}: {found['recommendation']['reason']}; regret {found['regret']}", flush=True)
    return kept(shift.title, arch, found)


def kept(title: str, arch: str, found: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a comparison."""
    return {
        "case": title,
        "arch": arch,
        **{name: found[name] for name in ("until", "regret", "measured_best")},
        "recommendation": {name: found["recommendation"][name] for name in ("candidate", "reason")},
        "candidates": [_kept_candidate(row) for row in found["candidates"]],
    }


def _kept_candidate(row: dict[str, Any]) -> dict[str, Any]:
    if row["why_not"]:
        return {"option": row["option"], "why_not": row["why_not"]}
    run = row["run"]
    return {
        "option": row["option"],
        "why_not": "",
        **_forecast(row),
        "outcome": run["outcome"],
        "quality": run["quality"]["after"],
        "energy_kwh": run["toll"]["energy_kwh"],
        "epochs": run["toll"]["epochs"],
        "trainable_parameters": row["trainable_parameters"],
        "inference_kwh_per_1000": row["inference"]["energy_kwh_per_1000"],
    }


def _forecast(row: dict[str, Any]) -> dict[str, Any]:
    told = row["forecast"]["energy_kwh"]
    return {
        "reach": row["reach_probability"],
        "quality_told": row["quality"] and row["quality"]["median"],
        "energy_told_kwh": told and told["median"],
    }


def option_rows(found: dict[str, Any]) -> list[str]:
    """The table of one comparison."""
    rows = [
        "| option | reach | expected quality | forecast energy | measured | quality | energy | epochs | "
        "trained parameters | inference / 1,000 |",
        "|---|---:|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    chosen, best = found["recommendation"]["candidate"], found["measured_best"]
    for number, row in enumerate(found["candidates"]):
        name = f"**{row['option']}**" if number == chosen else row["option"]
        name += " ✓" if number == best else ""
        if row["why_not"]:
            rows.append(f"| {name} | – | – | – | cannot serve | – | – | – | – | – |")
            continue
        shown = {
            name: "–" if row[name] is None else f"{row[name]:{form}}"
            for name, form in (("reach", ".0%"), ("quality_told", ".2f"))
        }
        energies = [
            "–" if row[name] is None else human_energy(row[name])
            for name in ("energy_told_kwh", "energy_kwh", "inference_kwh_per_1000")
        ]
        rows.append(
            f"| {name} | {shown['reach']} | {shown['quality_told']} | {energies[0]} | {row['outcome']} | "
            f"{row['quality']:.3f} | {energies[1]} | {row['epochs']:.2f} | {row['trainable_parameters']:,} | "
            f"{energies[2]} |"
        )
    return rows


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Regrets, and how often the recommendation missed a target that another option reached."""
    regrets = [f["regret"] for f in found if f["regret"] is not None]
    reachable = [f for f in found if f["measured_best"] is not None]
    missed = [f for f in reachable if f["recommendation"]["candidate"] is not None and f["regret"] is None]
    return {
        "comparisons": len(found),
        "some_option_reached": len(reachable),
        "recommended": sum(f["recommendation"]["candidate"] is not None for f in reachable),
        "recommended_missed": len(missed),
        "median_regret": median(regrets) if regrets else None,
        "largest_regret": max(regrets) if regrets else None,
    }


def main() -> None:
    """Carry out all comparisons and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names of shifts")
    parser.add_argument("--forecasts", action="store_true", help="make the forecasts anew, measure nothing")
    given = parser.parse_args()
    data = os.environ.get("FORETOLL_DATA")
    if not data:
        raise SystemExit("set FORETOLL_DATA to the folder with the data sets")
    wanted = [(shift, arch) for shift in SHIFTS for arch in shift.archs]
    found = json.loads(RESULTS.read_text(encoding="utf-8"))["comparisons"] if RESULTS.is_file() else []
    there = {(one["case"], one["arch"]) for one in found}
    tasks = [
        (shift, arch, data)
        for shift, arch in wanted
        if (shift.title, arch) not in there and (not given.only or shift.name in given.only)
    ]
    order = {(shift.title, arch): number for number, (shift, arch) in enumerate(wanted)}
    figures = summary(found)
    with ThreadPoolExecutor(given.workers) as pool:
        if given.forecasts:
            of = {shift.title: shift for shift in SHIFTS}
            found = list(pool.map(lambda one: forecast_anew(one, of[one["case"]], data), found))
            figures, tasks = summary(found), []
            write(found, figures, given.workers)
        for done in as_completed([pool.submit(carried_out, task) for task in tasks]):
            found.append(done.result())
            found.sort(key=lambda one: order[one["case"], one["arch"]])
            figures = summary(found)
            write(found, figures, given.workers)
    print(json.dumps(figures))


def write(found: list[dict[str, Any]], figures: dict[str, Any], workers: int) -> None:
    """The page and the JSON."""
    hardware = describe_hardware("cpu")
    machine = (
        f"{hardware.cpu}, {hardware.cores} cores, Python {platform.python_version()}, torch {hardware.torch}"
    )
    lines = [
        "# Every way to reuse a model, forecast and measured",
        "",
        "Bold: recommended, from the forecasts alone, before any option ran. ✓: the cheapest that",
        "reached the target. Regret: energy of the recommended option over that of the cheapest that reached.",
        "",
        f"`FORETOLL_DATA=$D OMP_NUM_THREADS=1 python benchmarks/options_compared.py --workers {workers}`",
        f"({date.today()}, {machine}; forecasts from {len(reference_runs()):,} runs; seed 0, one run of each option;",
        "energy by a power model).",
        "",
        f"{figures['comparisons']} comparisons; in {figures['some_option_reached']} some option reached the target;",
        f"in {figures['recommended']} of these one was recommended, in {figures['recommended_missed']} it missed the",
        f"target. Median regret {_factor(figures['median_regret'])}, largest {_factor(figures['largest_regret'])}.",
        "",
        "| case | architecture | target | recommended | cheapest that reached | regret |",
        "|---|---|---:|---|---|---:|",
    ]
    for one in found:
        chosen, best = one["recommendation"]["candidate"], one["measured_best"]
        names = ["none" if i is None else one["candidates"][i]["option"] for i in (chosen, best)]
        lines.append(
            f"| {one['case']} | {one['arch'].partition('?')[0]} | {one['until']:.3f} | {names[0]} | {names[1]} | "
            f"{_factor(one['regret'])} |"
        )
    for one in found:
        lines += ["", f"## {one['case']}, {one['arch'].partition('?')[0]}", "", *option_rows(one), ""]
        reason = one["recommendation"]["reason"]
        lines.append(f"{reason[:1].upper()}{reason[1:]}. Target {one['until']:.3f}.")
    (ROOT / "docs" / "options_compared.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = json.dumps({"summary": figures, "comparisons": found}, indent=1)
    RESULTS.write_text(text + "\n", encoding="utf-8")


def _factor(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
