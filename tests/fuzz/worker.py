"""A process that has everything loaded and forks for each case, which is run as a user would, watched by `pool`."""

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
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from foretoll.data import kept_items

from . import command_lines, data_files, disk_files, model_files, python_calls, record_files
from .case import BRIEFLY, CANARY, QUIETLY, Case, Kind, estimate, retrain
from .laws import PREFIX

AREAS: dict[str, tuple[Any, ...]] = {
    "data": ((*data_files.KINDS, *disk_files.KINDS), data_files.HEAVY),
    "models": (model_files.KINDS, model_files.HEAVY),
    "records": (record_files.KINDS, record_files.HEAVY),
    "commands": (command_lines.KINDS, command_lines.HEAVY),
    "python": (python_calls.KINDS, python_calls.HEAVY),
}
MOST_SHOWN = 200_000  # characters of what was printed
kept_items.MOST_ITEMS = 5_000  # a stream without end is read up to there


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
    """Run one command line, or one call, in this process: exit code and everything that was printed."""
    from foretoll import cli

    environment = dict(os.environ)
    sys.argv = ["foretoll", *case.words]
    code, raised = 0, ""
    with redirected(case.encoding) as (out, err):
        os.environ.update(case.env)
        try:
            if case.call is None:
                cli.main()
            else:
                code = _called(case.call)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        except BaseException as error:  # noqa: BLE001  (whatever passed the boundary is what is looked for)
            where = [
                f"{frame.filename[-40:]}:{frame.lineno}"
                for frame in traceback.extract_tb(error.__traceback__)
            ]
            raised = f"{error!r:.500} at {', '.join(where[-4:])}"
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, OSError):
                stream.flush()
        os.environ.clear()
        os.environ.update(environment)
        shown = [path.read_bytes()[:MOST_SHOWN].decode(case.encoding, "replace") for path in (out, err)]
    return {"code": code, "raised": raised, "out": shown[0], "err": shown[1]}


def _called(function: Callable[[], object]) -> int:
    """What a Python call answers, as a command line would tell it: the exit code; warnings and errors are printed."""
    from foretoll.errors import ForetollError, ForetollWarning

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            print(function())
            code = 0
        except ForetollError as error:
            print(f"{PREFIX}{error}", file=sys.stderr)
            code = error.exit_code
    for warning in told:
        if isinstance(warning.message, ForetollWarning):
            print(f"{PREFIX}warning: {warning.message}", file=sys.stderr)
    return code


def make_stock(folder: Path) -> None:
    """What every case finds in its folder: two data sets, a model, its ledger and export, an estimate, a comparison."""
    import numpy as np

    for seed, name in enumerate(("old", "new")):
        x, y = data_files.samples(seed)
        np.savez(folder / f"{name}.npz", x=x, y=y)
    train = ["train", "--arch", "foretoll:mlp?width=4", "--data", "npz:old.npz", *BRIEFLY[:-1], "m"]
    compare = [
        "compare",
        "-m",
        "m",
        "-s",
        "npz:old.npz",
        "-t",
        "npz:new.npz",
        "-o",
        "keep",
        "-o",
        "head",
        *QUIETLY,
    ]
    steps = (train, estimate(), retrain(), compare, ["ledger", "export", "runs.jsonl"])
    for words in steps:
        own = [] if words[0] in ("estimate", "compare") else ["--ledger", "l.db"]
        done = call(Case("", [*words, *own]))
        if done["code"]:
            raise SystemExit(f"the fuzzer cannot begin: {done}")
        for name in ("estimate.json", "comparison.json"):
            if (folder / "o" / name).exists():
                (folder / "o" / name).replace(folder / name)
        shutil.rmtree(folder / "o", ignore_errors=True)


def _peak_mb() -> float:
    """The most memory that this process held since `_forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def warm(folder: Path) -> None:
    """Load what the cases need, so that no fork does it again."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    from transformers import BertForSequenceClassification  # noqa: F401

    for words in (
        ["ledger", "list"],
        ["ledger", "doctor"],
        ["study", "table", "l.db"],
        ["study", "plot", "l.db"],
    ):
        more = {"ledger": ["--ledger", "l.db"], "plot": ["--out", "page.html"]}
        call(Case("", [*words, *more.get(words[0], more.get(words[1], []))]))
    (folder / "page.html").unlink(missing_ok=True)


def run_one(order: dict[str, Any], folder: Path, tell: Any) -> None:
    """Make the case in its folder, say what it is, run it, say what came of it."""
    draw = random.Random(f"{order['seed']}/{order['area']}/{order['index']}")
    kinds = kinds_of(order["area"], heavy=order["heavy"])
    kind = kinds[order["index"] % len(kinds)]
    os.chdir(folder)
    try:
        case = kind(draw, folder)
    except Exception:
        tell({"failed": traceback.format_exc()})
        raise
    gc.collect()
    _forget_peak()
    base, began = _peak_mb(), time.process_time()
    kept = case.kept() if case.kept else b""
    tell({"begun": case.what, "kind": kind.__name__, "words": case.words, "pid": os.getpid()})
    done = call(case)
    tell(
        {
            **done,
            "what": case.what,
            "kind": kind.__name__,
            "words": case.words,
            "names": case.names,
            "growth_mb": _peak_mb() - base,
            "cpu_s": time.process_time() - began,
            "canary": (folder / CANARY).exists(),
            "changed": bool(case.kept and case.kept() != kept),
        }
    )


def fork(order: dict[str, Any], stock: Path, tell: Any) -> None:
    """Carry out one case in a process of its own, whatever becomes of that."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as top:
        folder = Path(top) / "deep" / "down"
        shutil.copytree(stock, folder)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                nowhere = os.open(os.devnull, os.O_RDONLY)
                os.dup2(nowhere, 0)  # the orders are not for the case
                run_one(order, folder, tell)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
    tell({"ended": os.waitstatus_to_exitcode(status)})


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
    os.environ.update(HOME=str(home), FORETOLL_LEDGER="own.db", COLUMNS="100", CUDA_VISIBLE_DEVICES="")
    os.environ.pop("FORETOLL_DEBUG", None)
    try:
        make_stock(stock)
        warm(stock)
        gc.freeze()
        tell({"ready": psutil.Process().memory_info().rss / 2**20})
        for line in sys.stdin:
            fork(json.loads(line), stock, tell)
    finally:
        shutil.rmtree(stock, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
