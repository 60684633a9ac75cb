"""Odd places for a program that uses foretoll: each is a process of its own, forked from one that has only torch.

python -m unchanged.odd FOLDER PLACE...     a line of JSON for each place: how its process ended, and what it saw
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

NOBODY = 12345  # a user id without a name
LONGEST_S = 240.0  # for a place; what takes longer hangs
_OF_USER = ("HOME", "USER", "LOGNAME", "USERNAME", "LNAME", "FORETOLL_LEDGER", "FORETOLL_CACHE")


def _service(folder: Path) -> dict[str, Any]:
    """A daemon: a user without name or home, in a folder that it may not write to, all streams closed, LANG=C."""
    for name in [name for name in os.environ if name in _OF_USER or name.startswith("XDG_")]:
        del os.environ[name]
    os.environ |= {"LANG": "C", "LC_ALL": "C", "TMPDIR": str(folder)}
    tempfile.tempdir = str(folder)  # another one was known before
    folder.chmod(0o777)
    locked = folder / "locked"
    locked.mkdir(mode=0o555)
    os.chdir(locked)
    os.setsid()
    if may_become_nobody():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    else:  # have no name at least
        import pwd

        def unknown(uid: int) -> Any:
            raise KeyError(f"getpwuid(): uid not found: {uid}")

        pwd.getpwuid = unknown
    sys.stdin = sys.stdout = sys.stderr = None  # as Python has them where it is started with all closed
    for number in range(3):
        with contextlib.suppress(OSError):
            os.close(number)
    return _all_verbs(None) | {"spooled": len(list(folder.glob("foretoll-run-*.jsonl")))}


def may_become_nobody() -> bool:
    """Whether this is root, and others can read what Python still has to load."""
    return os.geteuid() == 0 and all(folder.stat().st_mode & 0o001 for folder in Path(os.__file__).parents)


def _unread(folder: Path) -> dict[str, Any]:
    """Streams that know ASCII alone, the output read by nobody, in a folder that is gone."""
    os.environ |= {"LANG": "C", "LC_ALL": "C", "FORETOLL_LEDGER": str(folder / "ledger.db")}
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="ascii", errors="strict")  # type: ignore[union-attr]
    gone = folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    os.close(writing)
    return _all_verbs(folder / "ledger.db")


def _crowd(folder: Path) -> dict[str, Any]:
    """Two threads that ask at once within a running event loop, where another trains."""
    os.environ["FORETOLL_LEDGER"] = str(folder / "ledger.db")
    import foretoll
    from unchanged import verbs

    network = verbs.lived_in(verbs.Calls())

    def estimated(option: str) -> Any:
        found = foretoll.estimate(network, verbs.blobs(), verbs.blobs(0.5, 1), option=option, **verbs.HOW)
        return found.forecast.epochs, found.indices  # all but times

    async def at_once() -> list[Any]:
        asked = [asyncio.to_thread(estimated, option) for option in ("head", "finetune")]
        trained = asyncio.to_thread(_all_verbs, folder / "ledger.db")
        here = asyncio.create_task(_in_the_loop())
        return await asyncio.gather(*asked, trained, here)

    import torch

    before = torch.get_rng_state()
    alone = [estimated(option) for option in ("finetune", "head")]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(estimated, ("finetune", "head")))
    same = torch.equal(before, torch.get_rng_state())
    found = asyncio.run(at_once())
    return found[2] | {"alike": alone == together, "random": same}


async def _in_the_loop() -> str:
    import foretoll
    from unchanged import verbs

    return foretoll.retrain(verbs.Network(verbs.Calls()), verbs.blobs(), verbs.blobs(), **verbs.HOW).id


def _failing(folder: Path) -> dict[str, Any]:
    """A network that raises while the meter's own thread samples, as the last thing of the program."""
    os.environ["FORETOLL_LEDGER"] = str(folder / "ledger.db")
    import foretoll
    from unchanged import verbs

    long = verbs.SETTINGS.model_copy(update={"max_epochs": 20.0, "until": 1.0})
    how: dict[str, Any] = {"accounting": foretoll.Accounting("auto", region="DE"), "settings": long}

    def end(*error: Any) -> None:
        left = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
        outcomes = [run.outcome.value for run in foretoll.Ledger.open().runs()]
        _note(folder, {"outcomes": outcomes, "threads": left, "raised": error[0].__name__} | _now())

    sys.excepthook = end
    foretoll.retrain(verbs.Network(verbs.Calls(80)), verbs.blobs(), verbs.blobs(0.5, 1), **how)
    return {}


def _spawned(folder: Path) -> dict[str, Any]:
    """A process that multiprocessing spawned, as a daemon, which may start no process of its own."""
    os.environ["FORETOLL_LEDGER"] = str(folder / "ledger.db")
    answers = multiprocessing.get_context("spawn").SimpleQueue()
    process = multiprocessing.get_context("spawn").Process(
        target=_answer, args=(folder, answers), daemon=True
    )
    process.start()
    process.join(LONGEST_S)
    return {"exit": process.exitcode} | (answers.get() if not answers.empty() else {})


def _answer(folder: Path, answers: Any) -> None:
    _load_torch()
    answers.put(_all_verbs(folder / "ledger.db"))


PLACES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "service": _service,
    "unread": _unread,
    "crowd": _crowd,
    "spawned": _spawned,
    "failing": _failing,
}


def _all_verbs(ledger: Path | None) -> dict[str, Any]:
    """Estimate, retrain and track once each; what of the process they changed, and how their runs ended."""
    import foretoll
    from unchanged import state, verbs

    before = state.of_process() if threading.current_thread() is threading.main_thread() else {}
    network, source, target = verbs.Network(verbs.Calls()), verbs.blobs(), verbs.blobs(0.5, 1)
    estimate = foretoll.estimate(network, source, target, option="keep", **verbs.HOW)
    run = foretoll.retrain(network, source, target, **verbs.HOW)
    tracked = _tracked(network, target)
    after = state.of_process() if before else {}
    return {
        # the loop draws numbers itself; see test_verbs.py
        "changes": [line for line in state.changes(before, after) if not line.startswith("random state")],
        "outcomes": [run.outcome.value, tracked.record.outcome.value],
        "faults": [*run.warnings, *tracked.record.warnings],
        "warnings": list(estimate.warnings),
        "kept": sorted(kept.outcome.value for kept in foretoll.Ledger(ledger).runs()) if ledger else [],
    }


def _tracked(network: Any, target: Any) -> Any:
    """A loop of the user's own, with all that is printed of it."""
    import torch

    import foretoll
    from unchanged import verbs

    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    inputs, labels = map(torch.as_tensor, target)
    with foretoll.track(network, optimizer, target=target, until=0.5, **verbs.HOW) as run:
        for _ in range(3):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
        run.evaluate(0.7)
    return run


def _note(folder: Path, found: dict[str, Any]) -> None:
    (folder / "seen.json").write_text(json.dumps(found))


def _now() -> dict[str, float]:
    return {"ended": time.time(), "cpu_s": sum(os.times()[:2])}


def inside(place: str, folder: Path, errors: TextIO) -> None:
    """Do what a program does there; errors are written down."""
    try:
        found = PLACES[place](folder)
    except BaseException:
        errors.write(traceback.format_exc())
        errors.flush()
        raise
    if found:
        _note(folder, found | _now())


def _load_torch() -> None:
    """Load it, and what it loads late, which then is no change of foretoll's making."""
    import numpy  # noqa: F401
    import torch

    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1).step()


def main(folder: Path, places: list[str]) -> None:
    """Fork a process for each place, one after the other, and tell how it ended."""
    _load_torch()
    for place in places:
        own = folder / place
        own.mkdir()
        process = os.fork()
        if not process:
            errors = (own / "errors").open("a")
            sys.stderr = (own / "said").open("w")
            os.dup2(sys.stderr.fileno(), 2)
            inside(place, own, errors)
            return
        print(json.dumps({"place": place} | _ended(process, own)), flush=True)  # noqa: T201


def _ended(process: int, folder: Path) -> dict[str, Any]:
    began = time.monotonic()
    while True:
        found, status, used = os.wait4(process, os.WNOHANG)
        if found:
            break
        if time.monotonic() - began > LONGEST_S:
            os.kill(process, 9)
            os.waitpid(process, 0)
            return {"code": "hangs"}
        time.sleep(0.02)
    now, file = time.time(), folder / "seen.json"
    seen = json.loads(file.read_text()) if file.exists() else {"ended": now, "cpu_s": 0.0}
    texts = {name: (folder / name).read_text() for name in ("errors", "said")}
    return (
        seen
        | texts
        | {
            "code": os.waitstatus_to_exitcode(status),
            "after_s": round(now - seen["ended"], 2),
            "after_cpu_s": round(used.ru_utime + used.ru_stime - seen["cpu_s"], 2),
        }
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
