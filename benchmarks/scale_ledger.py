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
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import zstandard

import foretoll
from foretoll.exchange import packing
from foretoll.exchange.files import write_runs
from foretoll.forecast.case import OF_STUDIES, Case, case_of_run, decided
from foretoll.forecast.lesson_rows import row_of_run
from foretoll.forecast.own_lessons import drawn
from foretoll.forecast.reference import reference_runs
from foretoll.ledger import Ledger
from foretoll.ledger.append import start_of, start_values
from foretoll.options.table import DEFAULT
from foretoll.records import Outcome, Run

OWNERS = 40
NEWER = {"option_settings"}  # empty fields of a record that an older version does not know
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
TEMPLATES = 1500  # varied by their numbers; more runs repeat these with other ids and times
AT_ONCE = 10_000  # rows of a transaction
STARTED = "id, started_at, recorded_at, option, arch, target, record"
ENDED = "run_id, presumed, recorded_at, outcome, finished_at, record"
HERE = Path(foretoll.__file__).parents[1]
# what `estimate` does in its stage "forecast", in a process of its own
MEASURED = """
import json, sys, time
from pathlib import Path
from foretoll.forecast import Case
from foretoll.forecast.reference import reference_settings
from foretoll.forecast.unseen import unseen_settings
from foretoll.ledger import Ledger
from foretoll.records import TrainingSettings
from foretoll.workflows.estimate import experience_of
cases = [Case.model_validate(one) for one in json.load(open(sys.argv[2]))]
status = lambda name: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024
Path("/proc/self/clear_refs").write_text("5")  # the peak from here on, not that of the process that started this one
before, began = status("VmRSS"), time.process_time()
known, forecaster = experience_of(Ledger.open(sys.argv[1]))
of_own = known.settings if hasattr(known, "settings") else known.runs
unseen_settings(TrainingSettings(), [*reference_settings(), *of_own])
told = forecaster.foretell(cases[0])
for case in cases[1:]:
    forecaster.foretell(case, time_only=True)
print(json.dumps([time.process_time() - began, status("VmHWM") - before, told.forecast.epochs.median]))
"""
# what else is asked of a ledger: the newest runs, a run by its id and by the beginning of it, one that begins and ends
USED = """
import json, sys, time
from foretoll.ledger import Ledger
from foretoll.ledger.append import start_of
from foretoll.records import Run
run = Run.model_validate_json(sys.stdin.read())
ledger = Ledger.open(sys.argv[1])
def both():
    ledger.begin(start_of(run))
    ledger.finish(run)
took = []
ledger.summaries(limit=1)
for work in (
    lambda: ledger.summaries(limit=20), lambda: ledger.get("own000000500"), lambda: ledger.get("ope"), both
):
    began = time.process_time()
    work()
    took.append(time.process_time() - began)
print(json.dumps(took))
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


def full_ledger(path: Path, count: int, seed: int = 0) -> None:
    """A ledger of so many runs as this version writes it, in bulk: records are packed in a hurry, each on its own."""
    rng = random.Random(seed)
    path.unlink(missing_ok=True)
    texts = []
    for number in range(min(count, TEMPLATES)):
        run = varied(rng, number)
        start, end = (one.model_dump_json(by_alias=True) for one in (start_of(run), run))
        texts.append((run, start, end, row_of_run(run), [*start_values(run, None, b"").values()]))
    Ledger(path).begin(start_of(texts[0][0].model_copy(update={"id": "open"})))
    packer = zstandard.ZstdCompressor(level=1, dict_data=packing._dictionary(), write_checksum=True)
    nth: Counter[int] = Counter()
    known = {row.settings_alike: row.settings for *_, row, _ in texts}

    def rows(first: int) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]]:
        for number in range(first, min(first + AT_ONCE, count)):
            run, start, end, row, (_, _, _, *columns) = texts[number % len(texts)]
            name, at = f"own{number:09d}", moment(number)
            was = run.started_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            start, end = (text.replace(run.id, name).replace(was, at) for text in (start, end))
            nth[row.alike] += 1
            toll = run.toll.epochs, run.toll.energy_kwh, run.toll.emissions_kg, run.toll.duration_s
            place = drawn(name) * nth[row.alike]
            lesson = row.made_by, row.teaches, row.model, row.weights, row.alike, nth[row.alike], place
            yield (
                (name, at, at, *columns[:-1], packer.compress(start.encode())),
                (name, 0, at, run.outcome.value, at, *toll, packer.compress(end.encode())),
                (number + 1, name, 0, *lesson, crc32(end.encode()) >> 1, None),
            )

    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-200000")
        connection.executemany("INSERT INTO run_settings VALUES (?, ?)", known.items())
        for first in range(0, count, AT_ONCE):
            for table, some in zip(
                ("run_start", "run_end", "run_lesson"), zip(*rows(first), strict=True), strict=True
            ):
                marks = ",".join("?" * len(some[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", some)  # names of our own
            connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


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
        text=first.model_copy(update={"id": "open"}).model_dump_json(by_alias=True, exclude=NEWER),
    )
    templates = [varied(rng, number) for number in range(min(count, TEMPLATES))]
    texts = [
        (run, *(one.model_dump_json(by_alias=True, exclude=NEWER) for one in (start_of(run), run)))
        for run in templates
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


def one_more(ledger: Path) -> list[float]:
    """Seconds for the newest runs, a run by its id, by the beginning of one, and for one that begins and ends."""
    run = varied(random.Random(7), 3_000_000).model_copy(update={"id": f"{time.time_ns():d}"})
    text = run.model_dump_json(by_alias=True)
    found: list[float] = json.loads(in_python(USED, [str(ledger)], HERE, {}, text=text))
    return found


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
            for run in runs:
                ledger.begin(start_of(run))
                ledger.finish(run)
        else:
            ledger.import_(work / "runs.jsonl")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes.append(path.stat().st_size / count)
    return sizes[0], sizes[1]


def forecast(ledger: Path, work: Path, cache: str) -> list[float]:
    """Seconds, megabytes and what the stage forecast told, in a process of its own."""
    words = [str(ledger), str(work / "cases.json")]
    found: list[float] = json.loads(in_python(MEASURED, words, HERE, {"FORETOLL_CACHE": cache}))
    return found


def section(args: argparse.Namespace) -> list[str]:
    """The table of this part."""
    with tempfile.TemporaryDirectory() as name:
        work = args.work or Path(name)
        work.mkdir(exist_ok=True)
        (work / "cases.json").write_text(json.dumps([case.model_dump(mode="json") for case in asked()]))
        rows: list[str] = []
        before: list[str] = []
        for count in args.runs:
            ledger = work / f"ledger-{count}.db"
            if args.before and count <= args.before_up_to:
                plain = work / f"plain-{count}.db"
                plain_ledger(plain, count, args.before)
                size, old = plain.stat().st_size / count, measured(plain, args.before, work)
                once = forecast(plain, work, "off")[0] - forecast(plain, work, "off")[0]
                before.append(
                    f"| {count:,} | {old['cold']:.2f} | {old['warm']:.2f} | {old['cold_mb']:.0f} | {size:,.0f} "
                    f"| {once:.1f} |"
                )
                print(before[-1], flush=True)
            if not ledger.exists():
                full_ledger(ledger, count)
            new = measured(ledger, HERE, work)
            used = one_more(ledger)
            again = forecast(ledger, work, str(work / "cache"))
            rows.append(
                f"| {count:,} | {new['cold']:.2f} | {new['warm']:.2f} | {again[0]:.2f} | {new['cold_mb']:.0f} "
                f"| {new['warm_mb']:.0f} | {' | '.join(f'{1000 * took:.0f}' for took in used)} |"
            )
            print(rows[-1], flush=True)
        imported, begun = bytes_a_run(work)
    return [
        "The stage forecast of `estimate`, for a case of one of the ledger's models and three other options. Cold: a",
        "first process, nothing kept. Warm: the next one. One more: the next one after another run has ended. MB: the",
        "peak above what the process had before the stage. Then milliseconds, in a process that has the ledger open:",
        "for the 20 newest runs, a run by its id, by the beginning of it, and to append a run that begins and ends.",
        "",
        "| own runs | cold, s | warm, s | one more, s | MB cold | MB warm | list, ms | by id, ms | "
        "by its beginning, ms | begin and finish, ms |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        "Before there were columns, a ledger as that version writes it. Once: what the first forecast of today takes",
        "longer on it, which writes its columns.",
        "",
        "| own runs | cold, s | warm, s | MB cold | bytes a run | once, s |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *before,
        "",
        f"Bytes a run of the file now, of 1,500: {imported:,.0f} imported, {begun:,.0f} begun and ended.",
    ]
