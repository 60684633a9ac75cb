"""One process, or thread, carries out the studies of a folder; no cell is done twice or counted twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from foretoll.errors import ForetollError
from foretoll.ledger import Ledger
from foretoll.process import this_process
from foretoll.records import Outcome
from foretoll.study.lock import LOCK, study_lock
from foretoll.study.reading import study_runs

from .carrying import all_runs, carry_out, ended, place_of

HOLDER = """
import sys, time
from pathlib import Path
from foretoll.study.lock import study_lock
with study_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_named_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    try:
        with (
            pytest.raises(
                ForetollError, match=rf"being run by process {holder.pid} on .* since 20"
            ) as caught,
            study_lock(tmp_path),
        ):
            pass
        assert len(str(caught.value)) <= 300 + len(str(tmp_path))
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert (tmp_path / LOCK).exists(), "it was killed, and could not clear up"
    with (
        study_lock(tmp_path),
        pytest.raises(ForetollError, match="being run by process"),
        study_lock(tmp_path),  # nor twice in one process
    ):
        pass
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize(("host", "free"), [(None, True), ("another-machine", False)])
def test_what_a_stamp_says_where_locks_do_not_reach_across_hosts(
    tmp_path: Path, host: str | None, free: bool
) -> None:
    me = this_process()
    stamp = {
        "host": host or me.host,
        "boot_id": me.boot_id,
        "pid_namespace": me.pid_namespace,
        "pid": 2**22 + 1,
    }
    (tmp_path / LOCK).write_text(json.dumps({**stamp, "started": "1", "since": "2026-01-01T00:00"}))
    if free:
        with study_lock(tmp_path):
            pass
    else:
        with (
            pytest.raises(
                ForetollError, match="process 4194305 on another-machine since 2026-01-01 00:00 UTC"
            ),
            study_lock(tmp_path),
        ):
            pass
        (tmp_path / LOCK).write_text("torn")
        with study_lock(tmp_path):
            pass


def test_two_at_once_do_each_cell_once(tmp_path: Path) -> None:
    refused: list[str] = []

    def work() -> None:
        try:
            carry_out(tmp_path, limit=2)
        except ForetollError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cells = [next(tag for tag in run.tags if tag.startswith("cell:")) for run in ended(tmp_path) if
             any(tag.startswith("cell:") for tag in run.tags)]  # fmt: skip
    assert len(cells) == len(set(cells)) == 2
    assert len(refused) <= 1 and all("are being run by" in text for text in refused)


def test_a_ledger_in_which_cells_were_done_twice_counts_each_once(tmp_path: Path) -> None:
    carry_out(tmp_path, limit=2)
    runs = [run for run in all_runs(tmp_path) if any(tag.startswith("cell:") for tag in run.tags)]
    ledger = Ledger.open(place_of(tmp_path).ledger)
    for number, run in enumerate(runs):
        ledger.finish(run.model_copy(update={"id": f"again-{number}"}))
    ledger.finish(runs[0].model_copy(update={"id": "stopped", "outcome": Outcome.INTERRUPTED}))
    found = study_runs(str(tmp_path))
    assert list(found.notes) == ["2 runs repeat a cell that is there already: each counts once"]
    assert {run.id for run in found.runs if run.outcome is not Outcome.INTERRUPTED} == {
        run.id for run in all_runs(tmp_path) if not run.id.startswith(("again", "stopped"))
    }
    assert carry_out(tmp_path, limit=0).total == 0
