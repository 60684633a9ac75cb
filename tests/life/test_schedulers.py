"""What docs/life.md gives to schedulers is run by a shell: kept models, due updates, broken calls."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from foretoll.workflows.life import Life

from .worlds import build, samples, start

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "life.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
CRON = next(line for line in PAGE.splitlines() if line.startswith("0 6 * * 1 ")).split(None, 5)[5]
ACTION = BLOCKS["yaml"].split("- run: ")[1].strip()
AIRFLOW = [
    ast.literal_eval(keyword.value)
    for call in ast.walk(ast.parse(BLOCKS["python"]))
    if isinstance(call, ast.Call)
    for keyword in call.keywords
    if keyword.arg == "bash_command"
]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A life that has looked at one week; its floor is kept by weeks that do not drift."""
    build(tmp_path, batches=1)
    life = start(tmp_path, worth=None, floor=0.8)
    life.watch(f"npz:{tmp_path}/w0.npz")
    return tmp_path


def week(folder: Path, turn: float, name: str = f"{date.today():%V}") -> Path:
    """What is served in a week."""
    path = folder / f"week-{name}.npz"
    x, y = samples(150, turn, len(list(folder.glob("week-*"))))
    np.savez(path, x=x, y=y)
    return path


def shell(folder: Path, command: str) -> int:
    """The exit code of a command, its places moved into the folder."""
    for place in ("/srv/shop", "/var/lib/node_exporter"):
        command = command.replace(place, str(folder))
    command = command.replace(r"\%", "%")  # as cron reads it
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": path,
        "FORETOLL_LEDGER": str(folder / "ledger.db"),
        "FORETOLL_REGION": "DE",
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, check=False, capture_output=True
    )
    return done.returncode


@pytest.mark.slow
def test_airflow_skips_the_update_where_none_is_due_and_makes_it_where_one_is(shop: Path) -> None:
    def task(command: str, name: str) -> int:
        return shell(shop, command.replace("{{ ds }}", name))

    watch, update = AIRFLOW
    week(shop, 0.0, "2026-10-05")
    assert task(watch, "2026-10-05") == 99
    Life.open("shop", ledger=str(shop / "ledger.db")).watch(f"npz:{week(shop, 2.0, '2026-10-12')}")
    week(shop, 2.0, "2026-10-19")
    assert task(watch, "2026-10-19") == 0
    assert task(update, "2026-10-19") == 0 and served(shop).startswith("update-")
    week(shop, 2.0, "2026-10-26").write_bytes(b"broken")
    assert task(watch, "2026-10-26") == 1


def test_cron_makes_the_update_and_an_action_says_that_it_is_due(shop: Path) -> None:
    path = week(shop, 2.0)
    assert shell(shop, ACTION) == 0
    assert '"action": "update"' in (shop / "decision.json").read_text()
    assert shell(shop, CRON) == 0
    assert 'foretoll_life_update_due{life="shop"} 1' in (shop / "shop.prom").read_text()
    assert served(shop).startswith("update-")
    path.write_bytes(b"broken")
    assert shell(shop, ACTION) == 1 and shell(shop, CRON) == 1


def served(folder: Path) -> str:
    """Which model is served."""
    return (folder / "life-shop" / "served").readlink().name
