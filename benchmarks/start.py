"""How long the package takes to start: `import foretoll`, and `foretoll --help`; medians of fresh processes.

    python benchmarks/start.py --out benchmarks/start.md

The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

COMMANDS = {
    "import foretoll": ([sys.executable, "-c", "import foretoll"], 3.0),
    "import foretoll, and the names of its Python interface": (
        [sys.executable, "-c", "import foretoll; [getattr(foretoll, name) for name in foretoll.__all__]"],
        None,
    ),
    "foretoll --help": ([sys.executable, "-m", "foretoll.cli", "--help"], 1.0),
    "python -c pass": ([sys.executable, "-c", "pass"], None),
}


def seconds(command: list[str], rounds: int) -> list[float]:
    """Durations of `rounds` fresh processes, after one that warms the file cache."""
    found = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.perf_counter() - began)
    return sorted(found[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time to start, as medians of fresh processes.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="write the table to this file")
    args = parser.parse_args()
    times = {name: seconds(command, args.rounds) for name, (command, _) in COMMANDS.items()}
    lines = [
        "# Time to start",
        "",
        f"`python {' '.join(sys.argv)}`",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores; {args.rounds} fresh processes each, after one "
        "that warms the file cache.",
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
