"""A ledger's server that is killed and restarted again and again under writers and users' loops: what is lost.

PYTHONPATH=tests OMP_NUM_THREADS=1 python -m tests.ledger.outages --kills 200 --restarts 50 --writers 8

Every fourth writer is a user's loop under `foretoll.track`, whose weights are held against the loop without it; the
others begin and finish runs without end. The table is for docs/ledger.md.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from foretoll.errors import LedgerError
from foretoll.ledger import Ledger
from ledger.making import ended, make_run
from ledger.server import Server, why_not
from tracking.loops import Loop, same


def write(url: str, acks: int, stop: Path) -> None:
    """Begin and finish runs; what the ledger acknowledged is noted."""
    ledger, number = Ledger(url), 0
    while not stop.exists():
        number += 1
        run = make_run(f"{os.getpid()}-{number}", number)
        for what, act in (("began", lambda r: ledger.begin(r)), ("ended", lambda r: ledger.finish(ended(r)))):
            try:
                act(run)
                os.write(acks, f"{what} {run.id}\n".encode())
            except LedgerError as error:
                os.write(acks, f"{'kept' if error.saved else f'not-{what}'} {run.id}\n".encode())


def train(url: str, acks: int, stop: Path) -> None:
    """A user's loop, again and again."""
    ledger = Ledger(url)
    plain = list(Loop().run()[0].state_dict().values())
    while not stop.exists():
        try:
            model, run, _ = Loop().run({"ledger": ledger, "forecast": False})
            alike = same(list(model.state_dict().values()), plain)
            name = run.record.id if run is not None and run.record is not None else "nobody"
            os.write(acks, f"{'loop' if alike else 'changed'} {name}\n".encode())
        except BaseException as error:  # noqa: BLE001  it must never happen: that is what is counted
            os.write(acks, f"stopped {type(error).__name__}\n".encode())


def main() -> int:
    """Do it, and print a table; exit 1 where something was lost or stopped."""
    parser = argparse.ArgumentParser()
    for name, usual in (("kills", 200), ("restarts", 50), ("writers", 8), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    asked = parser.parse_args()
    if reason := why_not():
        sys.stdout.write(f"{reason}\n")
        return 1
    torch.set_num_threads(1)
    rng, folder = random.Random(asked.seed), Path(tempfile.mkdtemp())
    os.environ["XDG_DATA_HOME"] = str(folder)
    server, stop = Server(safe=True), folder / "stop"
    server.do("CREATE DATABASE mine")
    url = server.url("mine")
    acks = os.open(folder / "acks", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    sys.stdout.flush()
    children = []
    for number in range(asked.writers):
        child = os.fork()
        if child == 0:
            null = os.open(folder / "said", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            os.dup2(null, 2)
            try:
                (train if number % 4 == 3 else write)(url, acks, stop)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    began = time.monotonic()
    harms = ["kill"] * asked.kills + ["restart"] * asked.restarts
    rng.shuffle(harms)
    for harm in harms:
        time.sleep(rng.uniform(0.0, 0.6))
        (server.kill if harm == "kill" else server.shut_down)()
        time.sleep(rng.choice((0.0, 0.0, 0.5)))
        server.start()
    stop.touch()
    codes = [os.waitpid(child, 0)[1] for child in children]
    lines = [line.split() for line in (folder / "acks").read_text().splitlines()]
    counts = Counter(what for what, _ in lines)
    ledger = Ledger(url)
    taken = ledger.flush()
    there = {run.id: run for run in ledger.runs()}
    lost = [name for what, name in lines if what in ("began", "ended", "loop", "kept") and name not in there]
    wrong = [
        name
        for what, name in lines
        if what in ("ended", "kept") and there.get(name) != ended(make_run(name, int(name.split("-")[1])))
    ]
    findings = [finding for finding in ledger.doctor() if "has no end" not in finding]
    server.close()
    sys.stdout.write(
        f"| kills | restarts | writers | minutes | starts acknowledged | ends acknowledged | users' loops | lost | "
        f"loops stopped or changed | kept in files, then taken in |\n"
        f"| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        f"| {asked.kills} | {asked.restarts} | {asked.writers} | {(time.monotonic() - began) / 60:.0f} | "
        f"{counts['began']:,} | {counts['ended']:,} | {counts['loop']:,} | {len(lost) + len(wrong)} | "
        f"{counts['stopped'] + counts['changed']} | {taken} |\n"
    )
    bad = bool(lost or wrong or findings or any(codes) or counts["stopped"] or counts["changed"])
    if bad:
        sys.stdout.write(
            f"lost {lost[:5]} wrong {wrong[:5]} findings {findings[:5]} codes {codes} {counts}\n"
        )
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
