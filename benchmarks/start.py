"""What it takes of the processor to start, to refuse wrong calls, and to estimate on the digits; medians of processes.

    python benchmarks/start.py --out benchmarks/start.md

The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

COMMANDS = {
    "import foretoll": ([sys.executable, "-c", "import foretoll"], 1.5),
    "import foretoll, and the names of its Python interface": (
        [sys.executable, "-c", "import foretoll; [getattr(foretoll, name) for name in foretoll.__all__]"],
        None,
    ),
    "foretoll --help": ([sys.executable, "-m", "foretoll.cli", "--help"], 1.0),
    "python -c pass": ([sys.executable, "-c", "pass"], None),
}
TOLL = "estimate --source digits --target digits?shift=gaussian_noise:0.3 --until 0.9 --region DE --out out --model"
ESTIMATE = TOLL.split()
MODEL = "train --arch foretoll:cnn --data digits --out model --max-epochs 3 --region DE"
WRONG = (
    "estimate --model nope/model --source digits --target digits",
    "estimate --model foretoll:cnnn --source digits --target digits",
    "estimate --model foretoll:cnn --source npz:nope.npz --target digits",
    "estimate --model foretoll:cnn --source digits --target digits?shift=blurr:0.3",
    "estimate --model foretoll:cnn --source digits --target digits --option finetun",
    "estimate --model foretoll:cnn --source digits --target digits --metric acc",
    "train --arch foretoll:cnnn --data digits",
    "study run nofile",
    "study table nowhere",
    "ledger show nope",
)
REFUSED_S, ESTIMATE_S = 1.0, 6.0


def seconds(command: list[str], rounds: int) -> list[float]:
    """Processor seconds of `rounds` fresh processes, after one that warms the file cache."""
    return sorted([_of_processor(command) for _ in range(rounds + 1)][1:])


def _of_processor(command: list[str], *, check: bool = True, **options: Any) -> float:
    """User and system seconds of one process; Python keeps what it compiles, as it does by default."""
    environment = dict(options.pop("env", os.environ))
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=check, capture_output=True, env=environment, **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def processor_seconds(words: list[str], folder: Path, *, check: bool, threads: str | None = None) -> float:
    """User and system seconds of one `foretoll` command in a folder; `threads`: OMP_NUM_THREADS, "" for unset."""
    environment = os.environ | {
        "FORETOLL_LEDGER": str(folder / "ledger.db"),
        "FORETOLL_CACHE": str(folder / "cache"),
    }
    if threads is not None:
        environment.pop("OMP_NUM_THREADS", None)
        environment |= {"OMP_NUM_THREADS": threads} if threads else {}
    command = [sys.executable, "-m", "foretoll.cli", *words]
    return _of_processor(command, check=check, cwd=folder, env=environment)


def processor_rows(rounds: int) -> list[tuple[str, float | None, list[float]]]:
    """What each wrong call and each estimate takes of the processor: name, limit, sorted seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processor_seconds(MODEL.split(), folder, check=True)
        (folder / "ledger.db").unlink(missing_ok=True)  # the estimates are those of a user without runs
        call = [*ESTIMATE, "model"]
        estimates = []
        for threads, said in (("1", "one thread"), ("", "OMP_NUM_THREADS unset")):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            first = processor_seconds(call, folder, check=True, threads=threads)
            later = sorted(
                processor_seconds(call, folder, check=True, threads=threads) for _ in range(rounds)
            )
            estimates += [
                (
                    f"foretoll estimate on digits, {said}, the first ever",
                    ESTIMATE_S,
                    [first],
                ),
                (f"foretoll estimate on digits, {said}, a later one", ESTIMATE_S, later),
            ]
        refused = [
            (
                f"foretoll {words}",
                REFUSED_S,
                sorted(processor_seconds(words.split(), folder, check=False) for _ in range(rounds)),
            )
            for words in WRONG
        ]
    torch = seconds([sys.executable, "-c", "import torch"], rounds)
    return [*estimates, ("python -c 'import torch', for comparison", None, torch), *refused]


def main() -> None:
    parser = argparse.ArgumentParser(description="Time to start, as medians of fresh processes.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="write the table to this file")
    args = parser.parse_args()
    times = {name: seconds(command, args.rounds) for name, (command, _) in COMMANDS.items()}
    rows = processor_rows(args.rounds)
    lines = [
        "# Time to start",
        "",
        f"`python {' '.join(sys.argv)}`",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores at a load of {os.getloadavg()[0]:.0f}: seconds of "
        "the processor, user and system, which a load above",
        f"the cores makes larger. {args.rounds} fresh processes each, after one that warms the file cache.",
        "",
        "| | target | median | range |",
        "|---|---|---|---|",
    ]
    for name, values in times.items():
        limit = COMMANDS[name][1]
        target = "" if limit is None else f"< {limit:g} s"
        lines.append(
            f"| `{name}` | {target} | {median(values):.2f} s | {values[0]:.2f} to {values[-1]:.2f} s |"
        )
    lines += [
        "",
        "Whole commands:",
        "",
        "| | target | median | range |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {f'≤ {limit:g} s' if limit else ''} | {median(found):.2f} s "
        f"| {found[0]:.2f} to {found[-1]:.2f} s |"
        for name, limit, found in rows
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    print(
        json.dumps(
            {
                name: {
                    "median_s": round(median(values), 3),
                    "low_s": round(values[0], 3),
                    "high_s": round(values[-1], 3),
                    "target_s": COMMANDS[name][1],
                    "met": COMMANDS[name][1] is None or median(values) < COMMANDS[name][1],
                }
                for name, values in times.items()
            }
        )
    )


if __name__ == "__main__":
    main()
