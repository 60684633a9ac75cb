"""A process that writes to a ledger, for the tests with real processes.

`writer.py count LEDGER PREFIX N` begins and finishes N runs. `writer.py serve LEDGER ACKS` forks, at every
line on its input, a child that begins and finishes runs without end until it is killed; it notes in the
file ACKS what the ledger has confirmed. Forking spares the test twenty imports of SQLAlchemy.
"""

from __future__ import annotations

import os
import sys

from making import ended, make_run

from foretoll.ledger import Ledger


def count(location: str, prefix: str, number: int) -> None:
    ledger = Ledger(location)
    for i in range(number):
        run = make_run(f"{prefix}-{i}", i)
        ledger.begin(run)
        ledger.finish(ended(run))


def write_until_killed(location: str, acks: int) -> None:
    ledger = Ledger(location)
    number = 0
    while True:
        run = make_run(f"{os.getpid()}-{number}", number, tags=("killed",))
        ledger.begin(run)
        os.write(acks, f"began {run.id}\n".encode())
        ledger.finish(ended(run))
        os.write(acks, f"ended {run.id}\n".encode())
        number += 1


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def serve(location: str, acks_path: str) -> None:
    acks = os.open(acks_path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                write_until_killed(line.strip() or location, acks)
            finally:
                os._exit(1)
        say(str(child))
        _, status = os.waitpid(child, 0)
        say("killed" if os.WIFSIGNALED(status) else "ended by itself")


if __name__ == "__main__":
    if sys.argv[1] == "count":
        count(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        serve(sys.argv[2], sys.argv[3])
