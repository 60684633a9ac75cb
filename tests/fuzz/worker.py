"""A process that makes one case after the other and runs it as the command line would, watched by `pool`."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from . import command_lines, data_files, model_files, record_files
from .case import BRIEFLY, CANARY, Case, Kind, estimate, retrain

AREAS: dict[str, tuple[Any, ...]] = {
    "data": (data_files.KINDS, data_files.HEAVY),
    "models": (model_files.KINDS, model_files.HEAVY),
    "records": (record_files.KINDS, record_files.HEAVY),
    "commands": (command_lines.KINDS, command_lines.HEAVY),
}
MOST_SHOWN = 200_000  # characters of what was printed


def kinds_of(area: str, *, heavy: bool) -> tuple[Kind, ...]:
    """The kinds of an area; the heavy ones write gigabytes of zeros."""
    light, more = AREAS[area]
    return (*light, *more) if heavy else light


@contextlib.contextmanager
def redirected(encoding: str) -> Iterator[tuple[Path, Path]]:
    """Both standard streams in files, down to what C code writes, in an encoding, as Python sets them up."""
    kept = sys.stdout, sys.stderr, os.dup(1), os.dup(2)
    folder = Path(tempfile.mkdtemp())
    paths = folder / "out", folder / "err"
    try:
        for number, path in enumerate(paths, start=1):
            opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            os.dup2(opened, number)
            os.close(opened)
        sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"), encoding, "strict", line_buffering=True)
        sys.stderr = io.TextIOWrapper(
            os.fdopen(os.dup(2), "wb"), encoding, "backslashreplace", line_buffering=True
        )
        yield paths
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, OSError):
                stream.close()
        sys.stdout, sys.stderr = kept[0], kept[1]
        for number, descriptor in enumerate(kept[2:], start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


def call(case: Case) -> dict[str, Any]:
    """Run one command line in this process: exit code and everything that was printed."""
    from foretoll import cli

    environment = dict(os.environ)
    sys.argv = ["foretoll", *case.words]
    code, raised = 0, ""
    with redirected(case.encoding) as (out, err):
        os.environ.update(case.env)
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        except BaseException as error:  # noqa: BLE001  (whatever passed the boundary is what is looked for)
            raised = repr(error)[:500]
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, OSError):
                stream.flush()
        os.environ.clear()
        os.environ.update(environment)
        shown = [path.read_bytes()[:MOST_SHOWN].decode(case.encoding, "replace") for path in (out, err)]
    return {"code": code, "raised": raised, "out": shown[0], "err": shown[1]}


def make_stock(folder: Path) -> None:
    """What every case finds in its folder: two data sets, a model, its ledger and export, an estimate."""
    import numpy as np

    for seed, name in enumerate(("old", "new")):
        x, y = data_files.samples(seed)
        np.savez(folder / f"{name}.npz", x=x, y=y)
    train = ["train", "--arch", "foretoll:mlp?width=4", "--data", "npz:old.npz", *BRIEFLY[:-1], "m"]
    steps = (train, estimate(), retrain(), ["ledger", "export", "runs.jsonl"])
    for words in steps:
        done = call(Case("", [*words, *(["--ledger", "l.db"] if words[0] != "estimate" else [])]))
        if done["code"]:
            raise SystemExit(f"the fuzzer cannot begin: {done}")
    (folder / "o" / "estimate.json").rename(folder / "estimate.json")
    shutil.rmtree(folder / "o")


def _peak_mb() -> float:
    """The most memory that this process held since `_forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def run_one(order: dict[str, Any], stock: Path, tell: Any) -> None:
    """Make the case in a folder of its own, say what it is, run it, say what came of it."""
    draw = random.Random(f"{order['seed']}/{order['area']}/{order['index']}")
    kinds = kinds_of(order["area"], heavy=order["heavy"])
    kind = kinds[order["index"] % len(kinds)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as top:
        folder = Path(top) / "deep" / "down"
        shutil.copytree(stock, folder)
        os.chdir(folder)
        try:
            case = kind(draw, folder)
        except Exception:
            tell({"failed": traceback.format_exc()})
            raise
        gc.collect()
        _forget_peak()
        base, began = _peak_mb(), time.process_time()
        tell({"begun": case.what, "kind": kind.__name__, "words": case.words})
        done = call(case)
        done |= {
            "what": case.what,
            "kind": kind.__name__,
            "words": case.words,
            "names": case.names,
            "growth_mb": _peak_mb() - base,
            "cpu_s": time.process_time() - began,
            "canary": (folder / CANARY).exists(),
        }
        os.chdir("/")
    tell(done)


def main() -> None:
    """Serve orders, one JSON line each, until the input ends."""
    import torch

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    stock = Path(tempfile.mkdtemp())
    os.chdir(stock)
    home = Path(tempfile.mkdtemp())
    os.environ.update(HOME=str(home), FORETOLL_LEDGER="own.db", COLUMNS="100")
    os.environ.pop("FORETOLL_DEBUG", None)
    try:
        make_stock(stock)
        tell({"ready": psutil.Process().memory_info().rss / 2**20})
        for line in sys.stdin:
            run_one(json.loads(line), stock, tell)
    finally:
        shutil.rmtree(stock, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
