"""Every case of docs/bad_input.md: one sentence, an exit code, and nothing lost."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from foretoll.errors import listed
from foretoll.ledger import Ledger
from foretoll.options import OPTIONS
from foretoll.records import Outcome
from foretoll.study import study_file

from .bad_input import ALL, FAULTS, PAGE, QUIETLY, UPDATE, Case, page
from .conftest import Call, Called
from .yard import a_run, build_yard


@pytest.fixture(scope="module")
def yard() -> Iterator[Path]:
    """The folder of wrong things; unlike pytest's own, every user can reach it."""
    folder = Path(tempfile.mkdtemp()).resolve()
    folder.chmod(0o755)
    build_yard(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def here(yard: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Call]:
    """The command line within the yard, with a ledger that holds a run."""
    monkeypatch.chdir(yard)
    monkeypatch.delenv("FORETOLL_DATA", raising=False)
    Ledger.open().finish(a_run("before"))
    yield call
    sys.modules.pop("yardmodels", None)


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder with its digest, every folder with a bar."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "/"
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts and not path.name.endswith("-shm")  # SQLite's own scratch
    }


class _Capabilities(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def permissions_count(whether: bool) -> None:
    """For root's own thread: whether it may do only what permissions allow, as everybody else (capset(2))."""
    version_3, pass_over = 0x20080522, 0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    head, held = (ctypes.c_uint32 * 2)(version_3, 0), (_Capabilities * 2)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(head, held) == 0
    held[0].effective = held[0].effective & ~pass_over if whether else held[0].effective | pass_over
    assert libc.capset(head, held) == 0


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder that nobody may write to, root included."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        permissions_count(True)
    try:
        yield
    finally:
        if root:
            permissions_count(False)
        folder.chmod(0o755)
        folder.rmdir()


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, which the system refuses to root too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def said(done: Called, yard: Path) -> str:
    """The message with its placeholders."""
    text = done.err.removeprefix("foretoll: ").removesuffix("\n")
    text = text.replace("(File too large)", "(DISK FULL)").replace(str(yard), "FOLDER")
    text = text.replace(", ".join(sorted(OPTIONS)), "OPTIONS")
    text = re.sub(r"(processes: give 1 to) \d+", r"\1 MANY", text)
    shipped = sorted(file.stem for file in (Path(study_file.__file__).parent / "files").glob("*.toml"))
    text = text.replace(listed(shipped), "STUDIES")
    return re.sub(r"run \d{8}-\d{6}-\w{6}|show \d{8}-\d{6}-\w{6}", lambda m: f"{m[0].split()[0]} RUN", text)


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.command.split()[0]}: {case.what}")
def test_one_sentence_an_exit_code_and_nothing_lost(case: Case, here: Call, yard: Path) -> None:
    before, runs = contents(yard), Ledger.open().runs()
    conditions = {
        "read-only": read_only(yard / "locked"),
        "full disk": full_disk(33_000),  # SQLite needs 32 kB beside a file that it only reads
        "small disk": full_disk(300_000),
    }
    quiet = f"{case.words} --quiet" if case.words.startswith("study run") else case.words
    with conditions.get(case.under, nullcontext()):
        done = here(quiet.replace("{", "{{").replace("}", "}}"))
    expected = re.escape(case.message).replace("REASON", ".+")
    assert re.fullmatch(expected, said(done, yard)), done.err
    assert done.code == case.code != 0
    assert done.err.startswith("foretoll: ") and done.err.count("\n") == 1
    assert "Traceback" not in done.err + done.out
    # an estimate that was paid for is shown, even where it cannot be written; else nothing is printed
    assert ("90 % interval" in done.out) if case.under == "full disk" else (done.out == "")
    shutil.rmtree(yard / "new", ignore_errors=True)
    assert contents(yard) == before
    now = Ledger.open().runs()
    if case.under == "small disk":  # a run that was paid for is remembered, even where its model has no room
        assert now.pop(0).outcome is Outcome.REACHED
    assert now == runs


def test_the_page_lists_exactly_these_cases() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python tests/cli/bad_input.py"
    assert len({case.command + case.under for case in ALL}) == len(ALL), "no case stands there twice"
    root = PAGE.parents[1]
    assert all((root / test).exists() for _, _, test in FAULTS)


def test_every_message_names_a_way_out() -> None:
    """A colon or semicolon stands between what is wrong and what to do instead, or a question asks for it."""
    for case in ALL:
        assert re.search(r"[:;?] ?\S", case.message), case.message
        assert "\n" not in case.message and not case.message.endswith(".")


def test_a_class_on_one_side_only_works_and_is_told(here: Call) -> None:
    done = here(f"estimate {UPDATE} --target npz:two.npz --same-task --json --out new {QUIETLY}")
    assert (done.code, done.err) == (0, "")
    assert done.data["indices"]["resque"]["missing_classes"] == ["2"]
    assert "classes on one side only (2): RESQUE is the mean over the others" in done.data["warnings"]
    shutil.rmtree("new")


def test_packing_nothing_leaves_the_reference_that_is_there(here: Call, tmp_path: Path) -> None:
    """`study pack` replaces the runs that forecasts rest on: not by nothing. Always with a folder of its own here."""
    kept = tmp_path / "reference"
    kept.mkdir()
    (kept / "reference.jsonl.gz").write_bytes(b"the runs of a year")
    done = here(f"study pack whole.db --into {kept}")
    assert done.code == 2 and "has no run of a study to pack" in done.err
    assert (kept / "reference.jsonl.gz").read_bytes() == b"the runs of a year"


# --- Ctrl-C ------------------------------------------------------------------------------------------


def test_ctrl_c_in_an_estimate(here: Call, yard: Path) -> None:
    before = contents(yard)
    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:  # the step probe alone takes longer than the timer
        done = here(f"estimate {UPDATE} --calibrate 5min {QUIETLY} --out new")
    finally:
        timer.cancel()
    assert (done.code, done.out, done.err) == (1, "", "foretoll: stopped by the user\n")
    assert contents(yard) == before


def test_ctrl_c_in_a_run_from_a_shell(here: Call, yard: Path, tmp_path: Path) -> None:
    """A process of its own gets the signal in the middle of its training."""
    path = tmp_path / "shell.db"
    words = f"retrain {UPDATE} --until 0.99999 --max-epochs 1000000 --lr 1e-6 {QUIETLY} --json --out {tmp_path}/new"
    process = subprocess.Popen(
        [sys.executable, "-m", "foretoll.cli", *words.split()],
        cwd=yard,
        env={**os.environ, "FORETOLL_LEDGER": str(path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 240
        while not Ledger.open(path).runs() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [run.outcome for run in Ledger.open(path).runs()] == [Outcome.RUNNING]
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    (run,) = Ledger.open(path).runs()
    assert (run.outcome, run.reason) == (Outcome.INTERRUPTED, "stopped by the user")
    assert process.returncode == 1
    assert err == (
        f"foretoll: run {run.id} interrupted (stopped by the user); what was measured is kept: "
        f"foretoll ledger show {run.id}\n"
    )
    assert json.loads(out)["outcome"] == "interrupted" and json.loads(out)["id"] == run.id
    assert Ledger.open(path).doctor() == []
    assert not (tmp_path / "new" / "model.json").exists()
