"""Watches a small life and makes updates in processes that are killed at random moments; then two at once.

Started by test_kills.py as a process of its own with one thread: it loads torch once and forks.

    python -m tests.life.victims FOLDER SEED KILLS
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tests.life.worlds import ACCOUNTING, build, start

from foretoll.errors import UsageError
from foretoll.models import load_model
from foretoll.records import Offer, Toll
from foretoll.workflows import life as life_module
from foretoll.workflows.life import Life


def offers(life: Life, _events: object) -> tuple[tuple[Offer, ...], Toll, str]:
    """What an update costs, without the seconds of an estimate."""
    return tuple(Offer(option=o, cost=1e-7, cost_high=2e-7) for o in life.card.options), Toll(), ""


def one_step(folder: Path, number: int) -> None:
    """What `foretoll life watch --carry-out` does."""
    life = Life.open("shop", ledger=str(folder / "ledger.db"), accounting=ACCOUNTING)
    life.recover()
    decision = life.watch(f"npz:{folder}/w{number}.npz")
    if decision.action == "update":
        life.carry_out(decision)


def forked(work: Callable[[], None]) -> int:
    """Do it in a process of its own; its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except UsageError as error:
        code = 2 if "another process makes an update" in str(error) else 1
    finally:
        os._exit(code)


def main() -> None:
    """Kill so many times; what is served must load after each."""
    folder, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    life_module.estimate_offers = offers
    build(folder, batches=kills + 6)
    life = start(folder, policy="every", window=2)
    for i in range(2):
        one_step(folder, i)  # everything is loaded from here on
    began = time.time()
    one_step(folder, 2)
    lasts = time.time() - began
    moments = random.Random(seed)
    for kill in range(kills):  # a batch for each: a model that has served nothing is not updated
        child = forked(lambda number=kill + 3: one_step(folder, number))
        time.sleep(moments.uniform(0, 1.2 * lasts))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        load_model(str(life.folder.served))
        assert life.serving
    one_step(folder, kills + 3)
    both = [forked(lambda: one_step(folder, kills + 4)) for _ in range(2)]
    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in both)
    (folder / "codes").write_text(",".join(map(str, codes)))


if __name__ == "__main__":
    main()
