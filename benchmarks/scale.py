"""What grows with the size of things, and what does not: one part for each kind of size.

    OMP_NUM_THREADS=1 python benchmarks/scale.py ledger --runs 1000 10000 100000 --before OLDER_SRC
    OMP_NUM_THREADS=1 python benchmarks/scale.py thinning
    OMP_NUM_THREADS=1 python benchmarks/scale.py data --before OLDER_SRC
    OMP_NUM_THREADS=1 python benchmarks/scale.py training
    OMP_NUM_THREADS=1 python benchmarks/scale.py networks --before OLDER_SRC
    OMP_NUM_THREADS=1 python benchmarks/scale.py steps
    OMP_NUM_THREADS=1 python benchmarks/scale.py look

Each part writes its section of benchmarks/scale.md, with the command that made it, and leaves the others. `--before`
names the `src` folder of an older foretoll, which is measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import scale_data
import scale_ledger
import scale_look
import scale_steps
import scale_thinning
import scale_training

PAGE = Path(__file__).with_name("scale.md")
PARTS: dict[str, tuple[str, Callable[[argparse.Namespace], list[str]]]] = {
    "data": ("Data", scale_data.section),
    "training": ("Training", scale_training.section),
    "networks": ("Networks", scale_data.section_of_networks),
    "steps": ("Evaluations", scale_steps.section),
    "look": ("The look", scale_look.section),
    "ledger": ("Ledgers", scale_ledger.section),
    "thinning": ("A sample of one's own runs", scale_thinning.section),
}


def replaced(page: str, title: str, section: str) -> str:
    """The page with a section of this title in place of the one before, or at its end."""
    head, *sections = page.split("\n## ")
    others = [one for one in sections if one.split("\n", 1)[0] != title]
    titles = [title for title, _ in PARTS.values()]
    every = sorted([*others, f"{title}\n{section}"], key=lambda one: titles.index(one.split("\n", 1)[0]))
    return "\n## ".join([head.rstrip() + "\n", *(one.strip() + "\n" for one in every)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--before", type=Path, help="src of an older foretoll")
    parser.add_argument(
        "--before-up-to", type=int, default=100_000, help="the largest ledger it is measured on"
    )
    parser.add_argument("--up-to", type=int, default=3_000_000, help="the most samples")
    parser.add_argument("--steps", type=int, default=300, help="of a training that reads pictures")
    parser.add_argument("--up-to-parameters", type=int, default=146_000_000)
    parser.add_argument("--only", default="", help="a word of the kind of data: folders, Parquet, CSV, npz")
    parser.add_argument(
        "--work", type=Path, help="a folder for ledgers, which are kept there; else a temporary one"
    )
    args = parser.parse_args()
    title, section = PARTS[args.part]
    said = " ".join("OLDER_SRC" if str(args.before) == word else word for word in sys.argv[1:])
    if args.work is not None:
        said = said.replace(f" --work {args.work}", "")
    lines = [
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/scale.py {said}`",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores at a load of {os.getloadavg()[0]:.0f}; seconds "
        "are of the processor, user and system.",
        "",
        *section(args),
    ]
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Scale\n"
    text = replaced(page, title, "\n".join(lines))
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
