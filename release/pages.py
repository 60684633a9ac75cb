"""Makes one of each page that foretoll writes, by its own commands on the digits that come with scikit-learn.

python release/pages.py        # into build/pages; a page that is there is kept: make clean-pages, or remove the folder
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "pages"
SITE = ROOT / "build" / "site"

OLD, NEW = "'digits?part=1/2'", "'digits?part=2/2&shift=gaussian_noise:0.25'"
MODEL = f"--model old --source {OLD} --target {NEW} --until 0.9 --max-epochs 12"
BATCH = "life watch shop --carry-out --batch 'digits?part={}/18&shift=gaussian_blur:{}'"
COMMANDS = {
    "old/foretoll.json": [f"train --arch foretoll:cnn --data {OLD} --out old --until 0.95"],
    "estimate/report.html": [f"estimate {MODEL} --for 1Wh,5epochs --hardware A100,L4 --out estimate"],
    "update/report.html": [
        f"estimate {MODEL} --out here",
        f"retrain {MODEL} --estimate here/estimate.json --out update",
    ],
    "comparison/report.html": [f"compare {MODEL} --budget 50g --measure --out comparison"],
    "life.html": [
        "life start shop --model old --source 'digits?part=1/3' --floor 0.85 --max-epochs 12",
        *(BATCH.format(10 + week, blur) for week, blur in enumerate((0.2, 0.6, 1, 1, 1, 1.2))),
        "life report shop --out life.html",
    ],
    "study.html": ["study run smoke --out study", "study plot study --out study.html"],
    "ledger.html": ["ledger page --price 0.30EUR/kWh --out ledger.html"],
}
SHOWN = [name for name in COMMANDS if name.endswith(".html")]
DOCS = [
    "index.html", "tutorial_first.html", "compare.html", "trackers.html", "indices.html", "reference/commands.html",
    *(f"examples/{script.stem}.html" for script in sorted((ROOT / "examples").glob("*.py"))),
]  # fmt: skip
"""Pages of the docs site: one of each kind (entry, tutorial, how-to, long tables, reference), and all examples."""


def make() -> None:
    """Run what is needed for the pages that are not there yet."""
    PAGES.mkdir(parents=True, exist_ok=True)
    own = {"FORETOLL_LEDGER": str(PAGES / "ledger.db"), "FORETOLL_REGION": "DE"}
    env = {"OMP_NUM_THREADS": "1"} | os.environ | own
    foretoll = [sys.executable, "-c", "from foretoll.cli import main; main()"]
    for page, commands in COMMANDS.items():
        for command in commands if not (PAGES / page).exists() else ():
            words = shlex.split(command)
            energy = (
                [] if words[0] == "ledger" or words[1] in ("report", "plot") else ["--energy", "watts:65"]
            )
            done = subprocess.run(
                [*foretoll, *words, *energy], cwd=PAGES, env=env, check=False, capture_output=True
            )
            if done.returncode not in (0, 3):  # 3: none is recommended
                raise SystemExit(f"foretoll {command}\n{done.stderr.decode()}")
    if not SITE.exists():
        quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
        subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet"], cwd=ROOT, env=quiet, check=True)


def every_page() -> dict[str, Path]:
    """The pages by name: those that foretoll writes, then those of the docs site."""
    own = {name.removesuffix("/report.html").removesuffix(".html"): PAGES / name for name in SHOWN}
    return own | {f"docs/{name.removesuffix('.html')}": SITE / name for name in DOCS}


if __name__ == "__main__":
    make()
