"""Where an export is written: files, links, pipes, the standard output; and what is cleared beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from foretoll.atomic import own_name
from foretoll.errors import LedgerError
from foretoll.ledger import Ledger, read_runs

from .test_faults import filled


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return filled(tmp_path / "ledger.db")


@pytest.mark.parametrize(
    "place", ["", ".", "/", "/dev", "/dev/null", "/dev/zero", "a\0b", "x" * 300, "no/such/file"]
)
def test_a_place_that_is_no_file_is_left_as_it_is(
    ledger: Ledger, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LedgerError, match=r"cannot be written \(.*\): name a file") as caught:
        ledger.export(place)
    assert len(str(caught.value)) <= 300 and str(caught.value).isprintable()
    assert sorted(tmp_path.iterdir()) == before
    assert Path("/dev/null").is_char_device() and Path("/dev/zero").is_char_device()


def test_a_link_stays_and_what_it_names_is_written(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "far" / "runs.jsonl")
    for _ in range(2):  # a link into nothing, and one to a file
        assert ledger.export(link) == 3
        assert link.is_symlink() and len(read_runs(tmp_path / "far" / "runs.jsonl")) == 3
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["runs.jsonl"]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(LedgerError, match="cannot be written"):
        ledger.export(tmp_path / "loop")


def test_a_pipe_and_the_standard_output_are_streams(ledger: Ledger, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    assert ledger.export(pipe) == 3
    reader.join()
    ledger.export(tmp_path / "runs.jsonl")
    whole = (tmp_path / "runs.jsonl").read_bytes()
    assert found == [whole]
    for place in ("-", "/dev/stdout"):
        done = subprocess.run(
            [sys.executable, "-m", "foretoll.cli", "ledger", "export", place, "--ledger", ledger.where],
            capture_output=True,
            check=True,
        )
        assert (done.stdout, done.stderr) == (whole, b"foretoll: 3 runs written\n")


# --- what a kill leaves ------------------------------------------------------------------------------

WRITER = """
import sys, time
from pathlib import Path
from foretoll.atomic import replacing
with replacing(Path(sys.argv[1]), ".part") as file:
    file.write(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_writer_left_is_cleared_and_what_a_living_one_writes_is_not(
    ledger: Ledger, tmp_path: Path
) -> None:
    target = tmp_path / "runs.jsonl"
    theirs = [tmp_path / ".runs.jsonl.mine.part", tmp_path / ".runs.jsonl.part", tmp_path / "runs.jsonl.part"]
    other = tmp_path / own_name(".other.jsonl.", ".part")
    for path in (*theirs, other):
        path.write_text("not ours to take")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
    try:
        parts = set(tmp_path.glob(".runs.jsonl.*-*.part"))
        assert len(parts) == 2
        writers[0].send_signal(signal.SIGKILL)
        writers[0].wait()
        assert ledger.export(target) == 3
        (left,) = tmp_path.glob(".runs.jsonl.*-*.part")
        assert f"-{writers[1].pid}-" in left.name and left in parts
        assert all(path.exists() for path in (*theirs, other))
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    ledger.export(target)
    assert not list(tmp_path.glob(".runs.jsonl.*-*.part"))


KILLED = """
import sys
from foretoll.ledger import Ledger
from tests.ledger.making import ended, make_run
path, number = sys.argv[1], 0
ledger = Ledger(path)
print("ready", flush=True)
while True:
    number += 1
    if sys.argv[2] == "append":
        ledger.finish(ended(make_run(f"n{number}", number)))
    elif sys.argv[2] == "export":
        ledger.export(path + ".jsonl.gz")
    else:
        ledger.doctor(repair=True)
"""


@pytest.mark.parametrize("what", ["append", "export", "repair"])
def test_kills_at_random_moments_leave_all_or_nothing(tmp_path: Path, what: str) -> None:
    from .test_faults import tamper

    path = tmp_path / "ledger.db"
    filled(path, 40)
    broken = tuple(f"UPDATE run_end SET record = 'torn' WHERE run_id = 'r{i}'" for i in range(0, 40, 2))
    if what == "repair":
        tamper(path, *broken)
    for delay in (0.0, 0.004, 0.02):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), what], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.kill()
        process.communicate()
        ledger = Ledger(path)
        found = ledger.select()
        if what == "repair":
            assert len(found.runs) == 20 and len(found.unread) in (0, 20), "all were moved or none"
        else:
            assert len(found.runs) >= 40 and not found.unread
            assert ledger.doctor() == []
            assert Ledger(path).export(f"{path}.jsonl.gz") == len(found.runs)
            assert len(read_runs(f"{path}.jsonl.gz")) == len(found.runs)
    if what == "repair":
        Ledger(path).doctor(repair=True)
        assert Ledger(path).doctor() == [] and len(Ledger(path).runs()) == 20
    assert not list(tmp_path.glob(".*.part"))
