"""The forecast of an estimate, and its memory, with ever more runs of one's own in the ledger; bytes a run takes."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import foretoll
from foretoll.exchange.files import write_runs
from foretoll.forecast.case import OF_STUDIES, Case, case_of_run, decided
from foretoll.forecast.reference import reference_runs
from foretoll.ledger import Ledger
from foretoll.ledger.append import start_of
from foretoll.options.table import DEFAULT
from foretoll.records import Outcome, Run

OWNERS = 40
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
TEMPLATES = 1500  # varied by their numbers; more runs repeat these with other ids and times
STARTED = "id, started_at, recorded_at, option, arch, target, record"
ENDED = "run_id, presumed, recorded_at, outcome, finished_at, record"
HERE = Path(foretoll.__file__).parents[1]
# what `estimate` does in its stage "forecast", in a process of its own
MEASURED = """
import json, resource, sys, time
from foretoll.forecast import Case
from foretoll.forecast.reference import reference_settings
from foretoll.forecast.unseen import unseen_settings
from foretoll.ledger import Ledger
from foretoll.records import TrainingSettings
from foretoll.workflows.estimate import experience_of
cases = [Case.model_validate(one) for one in json.load(open(sys.argv[2]))]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, began = peak(), time.process_time()
known, forecaster = experience_of(Ledger.open(sys.argv[1]))
of_own = known.settings if hasattr(known, "settings") else known.runs
unseen_settings(TrainingSettings(), [*reference_settings(), *of_own])
told = forecaster.foretell(cases[0])
for case in cases[1:]:
    forecaster.foretell(case, time_only=True)
print(json.dumps([time.process_time() - began, peak() - before, told.forecast.epochs.median]))
"""


def varied(rng: random.Random, number: int) -> Run:
    """A run that ships as somebody's own: another id and time, of one of some models, its numbers jittered."""
    run = rng.choice(reference_runs())
    signals = {k: None if v is None else v * (1 + rng.gauss(0, 0.02)) for k, v in run.signals.items()}
    data = run.model_dump(mode="json", by_alias=True)
    data |= {"id": f"own{number:09d}", "signals": signals, "tags": [], "started_at": moment(number)}
    data["finished_at"] = data["started_at"]
    data["model"]["parent_weights_digest"] = f"{rng.randrange(OWNERS):032x}"
    return Run.model_validate(data)


def moment(number: int) -> str:
    """When a run began: an hour after the one before."""
    return (BEGAN + timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def plain_ledger(path: Path, count: int, source: Path, seed: int = 0) -> None:
    """A ledger as the older version writes it: its tables, and records as texts."""
    rng = random.Random(seed)
    first = varied(rng, 0).model_copy(update={"outcome": Outcome.RUNNING})
    path.unlink(missing_ok=True)
    make = "import sys; from foretoll.ledger import Ledger; from foretoll.records import Run\n"
    make += "Ledger(sys.argv[1]).begin(Run.model_validate_json(sys.stdin.read()))"
    in_python(
        make,
        [str(path)],
        source,
        {},
        text=first.model_copy(update={"id": "open"}).model_dump_json(by_alias=True),
    )
    templates = [varied(rng, number) for number in range(min(count, TEMPLATES))]
    texts = [
        (r, start_of(r).model_dump_json(by_alias=True), r.model_dump_json(by_alias=True)) for r in templates
    ]
    with closing(sqlite3.connect(path)) as connection:
        for number in range(count):
            run, start, end = texts[number % len(texts)]
            name, at = f"own{number:09d}", moment(number)
            was = run.started_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000", "")
            start, end = (text.replace(run.id, name).replace(was, at) for text in (start, end))
            insert(
                connection,
                "run_start",
                STARTED,
                (name, at, at, run.option, run.model.arch, run.target.uri, start),
            )
            insert(connection, "run_end", ENDED, (name, 0, at, run.outcome.value, at, end))
        connection.commit()


def insert(connection: sqlite3.Connection, table: str, columns: str, values: tuple[Any, ...]) -> None:
    """One row."""
    marks = ",".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)  # names of our own


def in_python(code: str, words: list[str], source: Path, more: dict[str, str], text: str = "") -> str:
    """What code prints, run with a foretoll of its own."""
    environment = os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"} | more
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, input=text
    ).stdout


def asked() -> list[Case]:
    """A user's case of one of the models, and the same update by three other options without a pilot."""
    known = [case_of_run(run) for run in reference_runs() if run.option == DEFAULT]
    case = next(
        c for c in known if c is not None and not decided(c) and c.signals.get("pilot24_quality") is not None
    )
    hidden = {name.removeprefix("log_") for name in OF_STUDIES}
    signals = {name: value for name, value in case.signals.items() if name not in hidden}
    case = case.model_copy(update={"signals": signals, "weights_digest": f"{3:032x}", "model_id": ""})
    plain = {name: value for name, value in signals.items() if "pilot" not in name}
    others = [run.option for run in reference_runs() if run.option not in (DEFAULT, "keep", "recalibrate")]
    return [
        case,
        *(case.model_copy(update={"option": name, "signals": plain}) for name in sorted(set(others))[:3]),
    ]


def measured(ledger: Path, source: Path, work: Path) -> dict[str, float]:
    """Seconds of the first process and of the next, and megabytes above what it had before."""
    cases, cache = work / "cases.json", work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    told = [
        json.loads(in_python(MEASURED, [str(ledger), str(cases)], source, {"FORETOLL_CACHE": str(cache)}))
        for _ in range(2)
    ]
    (cold, cold_mb, _), (warm, warm_mb, _) = told
    return {"cold": cold, "warm": warm, "cold_mb": cold_mb, "warm_mb": warm_mb}


def one_more(ledger: Path) -> None:
    """A run ends."""
    run = varied(random.Random(7), 300_000)
    Ledger(ledger).finish(run)


def bytes_a_run(work: Path, count: int = 1500) -> tuple[float, float]:
    """Of the file, where runs are imported, and where each begins and ends."""
    rng = random.Random(1)
    runs = [varied(rng, number) for number in range(count)]
    write_runs(work / "runs.jsonl", runs)
    sizes = []
    for begun in (False, True):
        path = work / f"size-{begun}.db"
        path.unlink(missing_ok=True)
        ledger = Ledger(path)
        if begun:
            for run in runs[: count // 5]:
                ledger.begin(start_of(run))
                ledger.finish(run)
        else:
            ledger.import_(work / "runs.jsonl")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes.append(path.stat().st_size / (count // 5 if begun else count))
    return sizes[0], sizes[1]


def section(args: argparse.Namespace) -> list[str]:
    """The table of this part."""
    with tempfile.TemporaryDirectory() as name:
        work = args.work or Path(name)
        work.mkdir(exist_ok=True)
        (work / "cases.json").write_text(json.dumps([case.model_dump(mode="json") for case in asked()]))
        rows: list[str] = []
        for count in args.runs:
            ledger = work / f"ledger-{count}.db"
            plain_ledger(ledger, count, args.before or HERE)
            size = ledger.stat().st_size / count
            old: dict[str, Any] = {}
            if args.before and count <= args.before_up_to:
                old = measured(ledger, args.before, work)
            first = json.loads(
                in_python(MEASURED, [str(ledger), str(work / "cases.json")], HERE, {"FORETOLL_CACHE": "off"})
            )
            new = measured(ledger, HERE, work)
            one_more(ledger)
            again = json.loads(
                in_python(
                    MEASURED,
                    [str(ledger), str(work / "cases.json")],
                    HERE,
                    {"FORETOLL_CACHE": str(work / "cache")},
                )
            )
            rows.append(row(count, old, new, first, again, size))
            print(rows[-1], flush=True)
        imported, begun = bytes_a_run(work)
    return [
        "The stage forecast of `estimate`, for a case of one of the ledger's models and three other options: before /",
        "after. Once: the first forecast on a ledger of the older version, which writes its columns. Cold: a first",
        "process, nothing kept. Warm: the next one. One more: the next one after another run has ended. MB: the peak",
        "above what the process had before the stage, cold.",
        "",
        "| own runs | once | cold | warm | one more | ratio warm | MB cold | bytes a run before |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        f"Bytes a run of the file after: {imported:,.0f} imported, {begun:,.0f} begun and ended.",
    ]


def row(
    count: int,
    old: dict[str, Any],
    new: dict[str, float],
    first: list[float],
    again: list[float],
    size: float,
) -> str:
    """One line of the table."""

    def both(name: str) -> str:
        return f"{old[name]:.2f} / {new[name]:.2f}" if old else f"· / {new[name]:.2f}"

    ratio = f"{old['warm'] / new['warm']:.1f}" if old else "·"
    megabytes = f"{old['cold_mb']:.0f} / {new['cold_mb']:.0f}" if old else f"· / {new['cold_mb']:.0f}"
    return (
        f"| {count:,} | {first[0]:.1f} | {both('cold')} | {both('warm')} | {again[0]:.2f} | {ratio} | {megabytes} "
        f"| {size:,.0f} |"
    )
