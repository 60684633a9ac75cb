"""The long fuzzer: `python -m tests.fuzz --cases 2000 --seed 1`; counts by area and outcome at the end.

python -m tests.fuzz --area models --kind card_code --cases 50     only this kind
python -m tests.fuzz --only models/17 --seed 1                     one case again, with all it printed
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .laws import BROKEN
from .pool import run_all
from .worker import AREAS, kinds_of


def main() -> int:
    """Run the cases, print those that break a law as they come, then the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="hostile inputs, generated")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--area", choices=sorted(AREAS), action="append")
    parser.add_argument("--kind", action="append", help="only kinds (functions) of this name")
    parser.add_argument("--only", action="append", help="AREA/INDEX: this case, with all that it printed")
    parser.add_argument("--light", action="store_true", help="without the kinds that write gigabytes")
    parser.add_argument("--log", type=Path, help="all results as JSON lines")
    arguments = parser.parse_args()
    began, found = time.monotonic(), []
    log = arguments.log.open("w") if arguments.log else None
    for result in run_all(_orders(arguments), workers=arguments.workers):
        found.append(result)
        if log:
            log.write(json.dumps(result) + "\n")
            log.flush()
        if arguments.only or result["outcome"] in BROKEN:
            _show(result, whole=bool(arguments.only))
    print(_table(found))
    broken = sum(result["outcome"] in BROKEN for result in found)
    print(
        f"\n{len(found)} inputs, {broken} broke a law, seed {arguments.seed}, {time.monotonic() - began:.0f} s"
    )
    return int(broken > 0)


def _orders(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rest = {"seed": arguments.seed, "heavy": not arguments.light}
    if arguments.only:
        pairs = [text.split("/") for text in arguments.only]
        return [{"area": area, "index": int(index), **rest} for area, index in pairs]
    areas = arguments.area or list(AREAS)
    orders: list[dict[str, Any]] = []
    at = 0
    while len(orders) < arguments.cases:
        area, index = areas[at % len(areas)], at // len(areas)
        kinds = kinds_of(area, heavy=rest["heavy"])
        if not arguments.kind or kinds[index % len(kinds)].__name__ in arguments.kind:
            orders.append({"area": area, "index": index, **rest})
        at += 1
        if at > 1000 * (arguments.cases + 1):
            raise SystemExit("no kind has that name")
    return orders


def _show(result: dict[str, Any], *, whole: bool) -> None:
    place = f"{result['area']}/{result['index']}"
    print(f"{result['outcome']:<10} {place:<14} {result['kind']}: {result['what']!r:.150}")
    print(f"           {(result['err'].strip() or result.get('raised', ''))[-700:]!r}", flush=True)
    if whole:
        print(f"{result['words']!r:.2000}\n{result['out']}\n{result.get('raised', '')}")


def _table(found: list[dict[str, Any]]) -> str:
    """Counts as Markdown, a line for each outcome, a column for each area."""
    areas = sorted({result["area"] for result in found})
    counts = Counter((result["outcome"], result["area"]) for result in found)
    outcomes = ["answered", "refused", "wrong use", *BROKEN]
    lines = [f"| outcome | {' | '.join(areas)} | all |", f"|---|{'---|' * (len(areas) + 1)}"]
    for outcome in outcomes:
        row = [counts[outcome, area] for area in areas]
        lines.append(f"| {outcome.lower()} | {' | '.join(map(str, row))} | {sum(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
