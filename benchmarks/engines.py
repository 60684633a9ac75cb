"""What an engine costs and gains: the overhead of a task, and how much faster workers are than one process.

OMP_NUM_THREADS=1 python benchmarks/engines.py            writes benchmarks/engines.md
OMP_NUM_THREADS=1 python benchmarks/engines.py --cells    the second table alone: 100,000 cells planned and resumed
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from foretoll.engine import open_engine
from foretoll.ledger import Ledger
from foretoll.study.cell import Place
from foretoll.study.plan import keys_of
from foretoll.study.run import plan_study
from foretoll.study.study_file import read_study

PAGE = Path(__file__).with_suffix(".md")
ENGINES = ("local", "processes:1", "processes:2")
SMALL, LARGE = 400, 12
TINY = Path(__file__).resolve().parents[1] / "tests" / "study" / "tiny.toml"
COPIED = ("run_start", "run_end")


def nothing(task: int) -> int:
    """A task whose time is the engine's."""
    return task


def work(task: int) -> float:
    """About a third of a second of arithmetic by one thread."""
    draw = np.random.default_rng(task)
    return float(sum(np.sort(draw.normal(size=400_000)).sum() for _ in range(8)))


def timed(name: str) -> tuple[float, float]:
    """Seconds a task of nothing, and of all of the work; workers run already."""
    with open_engine(name) as engine:
        list(engine.run(nothing, range(4)))
        list(engine.run(work, range(getattr(engine, "workers", 1))))
        began = time.perf_counter()
        list(engine.run(nothing, range(SMALL)))
        middle = time.perf_counter()
        list(engine.run(work, range(LARGE)))
        return (middle - began) / SMALL, time.perf_counter() - middle


def engines() -> list[str]:
    """A row for each engine."""
    lines = ["| engine | overhead a task | time of the work, of one process' |", "|---|---:|---:|"]
    alone = 0.0
    for name in ENGINES:
        overhead, whole = timed(name)
        alone = alone or whole
        lines.append(f"| `{name}` | {1000 * overhead:.2f} ms | {whole / alone:.2f} |")
    return lines


def cells(seeds: int) -> list[str]:
    """A study of ten settings with so many seeds: planned when nothing is there, and when all but ten cells are."""
    study = read_study(TINY)
    design = study.design.model_copy(update={"seeds": tuple(range(seeds))})
    levels = tuple(n / 100 for n in range(1, 11))
    study = study.model_copy(update={"design": design, "shifts": {"gaussian_noise": levels}})
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), f"{folder}/ledger.db", energy="none")
        began = time.process_time()
        plan = plan_study(study, place)
        planned = time.process_time() - began
        _fill(Path(place.ledger), study.name, keys_of(plan.cells)[:-10])
        began = time.process_time()
        again = plan_study(study, place)
        resumed = time.process_time() - began
        assert len(again.todo) == 10
        size = Path(place.ledger).stat().st_size
    return [
        "| cells | planned | resumed, ten left | ledger |",
        "|---:|---:|---:|---:|",
        f"| {len(plan.cells):,} | {planned:.1f} s | {resumed:.1f} s | {size / 1e6:.0f} MB |",
    ]


def _fill(path: Path, study: str, keys: list[str]) -> None:
    """Runs of these cells: one that was made, copied within the database."""
    import foretoll

    one = foretoll.train(
        "foretoll:mlp?width=4", "digits?kind=vector&limit=60", ledger=path, tags=(f"study:{study}",),
        settings=foretoll.TrainingSettings(max_epochs=0.1), accounting=foretoll.Accounting("none", region="DE"),
    )  # fmt: skip
    with sqlite3.connect(path) as database:
        for table in COPIED:
            names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            key = "id" if "id" in names else "run_id"
            row = database.execute(f"SELECT * FROM {table} WHERE {key} = ?", (one.id,)).fetchone()
            place = names.index(key)
            marks = ", ".join("?" * len(names))
            rows = ((*row[:place], f"{one.id}-{n}", *row[place + 1 :]) for n in range(len(keys)))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        tags = (
            (tag, f"{one.id}-{n}")
            for n, cell in enumerate(keys)
            for tag in (f"study:{study}", f"cell:{cell}")
        )
        database.executemany("INSERT INTO run_tag (tag, run_id) VALUES (?, ?)", tags)
    database.close()
    Ledger(path).check()


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", action="store_true")
    parser.add_argument("--seeds", type=int, default=10_000)
    asked = parser.parse_args()
    parts = [] if asked.cells else [engines()]
    parts.append(cells(asked.seeds))
    text = "\n\n".join("\n".join(part) for part in parts)
    print(text)
    if not asked.cells:
        PAGE.write_text(f"# Engines\n\n`python benchmarks/engines.py`, {sys.platform}\n\n{text}\n")


if __name__ == "__main__":
    main()
