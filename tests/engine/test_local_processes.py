"""What only worker processes do: they die, are interrupted, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from foretoll.engine import LocalProcesses, open_engine
from foretoll.errors import UsageError

from . import work
from .contract import by_index
from .scripts import gone, start_script, start_sleepers, wait_for, workers_of


def test_ctrl_c_stops_the_workers_and_begins_nothing_more(tmp_path: Path) -> None:
    script = start_sleepers("processes:2", tmp_path)
    children = [child.pid for child in psutil.Process(script.pid).children(recursive=True)]
    os.killpg(script.pid, signal.SIGINT)  # a terminal sends it to all: the workers get it too
    out, err = script.communicate(timeout=60)
    assert (out, err, script.returncode) == ("interrupted\n", "", 0)
    assert len(children) >= 2
    wait_for(lambda: all(gone(pid) for pid in children), "the children to be gone")
    assert len(workers_of(tmp_path)) == 2  # no third task was begun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_die_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    script = start_sleepers("processes:2", tmp_path)
    os.kill(script.pid, number)
    script.communicate(timeout=60)
    wait_for(lambda: all(gone(pid) for pid in workers_of(tmp_path)), "the workers to be gone")


def test_functions_of_a_script_can_be_run() -> None:
    script = start_script("processes:1", "double", "-")
    assert script.communicate(timeout=60) == ("[0, 2, 4, 6]\n", "")


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "bare.py"
    script.write_text(
        "from foretoll.engine import LocalProcesses\nprint(list(LocalProcesses(1).run(abs, [1])))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "ForetollError: worker processes cannot start (the last one ended with exit code 1): put"
        in done.stderr
    )


def test_closing_stops_idle_and_busy_workers(tmp_path: Path) -> None:
    with LocalProcesses(2) as engine:
        idle = {pid for pid, _ in (r.value for r in engine.run(work.count_loads, range(20)))}  # type: ignore[misc]
        results = engine.run(
            work.sleep_and_tell, [work.Marked(0, str(tmp_path)), work.Marked("x", str(tmp_path / "nowhere"))]
        )  # type: ignore[arg-type]
        assert next(results).error is not None  # the second one; the first sleeps
        wait_for(lambda: bool(workers_of(tmp_path)), "the sleeper")
    assert all(gone(pid) for pid in {*idle, *workers_of(tmp_path)})
    with pytest.raises(UsageError, match="closed"):
        engine.run(work.square, [1])


@pytest.mark.parametrize("name", ["local", "processes:2"])
def test_closing_inside_the_loop_ends_it(name: str) -> None:
    engine = open_engine(name)
    results = engine.run(work.square, range(100))
    next(results)
    engine.close()
    with pytest.raises(UsageError, match="closed while it ran tasks"):
        next(results)


def test_a_death_is_seen_though_a_grandchild_holds_the_pipe() -> None:
    with LocalProcesses(1, max_retries=0) as engine:
        found = by_index(engine.run(work.fork_and_die, [0, 1]))
    assert found[1].value == 1
    assert found[0].error == (
        "the worker of 0 was killed by SIGKILL at its only attempt: if memory ran out, use fewer workers or "
        "smaller batches"
    )


def test_exit_codes_are_told() -> None:
    with LocalProcesses(1, max_retries=1) as engine:
        found = by_index(engine.run(work.leave_at_once, [0, 1]))
    assert found[0].value == 0
    assert "ended with exit code 7 at each of 2 attempts" in str(found[1].error)


def test_a_worker_killed_while_idle_is_replaced_without_a_word() -> None:
    with LocalProcesses(1) as engine:
        ((first, _),) = (result.value for result in engine.run(work.count_loads, [0]))  # type: ignore[misc]
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: gone(first), "the worker to be gone")
        ((second, loads),) = (result.value for result in engine.run(work.count_loads, [0]))  # type: ignore[misc]
    assert second != first
    assert loads == 1


def test_workers_survive_from_run_to_run_and_may_have_children() -> None:
    with LocalProcesses(1) as engine:
        pids = {result.value[0] for _ in range(3) for result in engine.run(work.count_loads, [0])}  # type: ignore[index]
        assert len(pids) == 1
        (result,) = engine.run(work.with_processes_of_its_own, [3])
        assert result.value == 0


def test_threads_are_limited_in_the_worker_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with LocalProcesses(1, threads_per_worker=2) as engine:
        (result,) = engine.run(work.threads, [0])
    assert result.value == ("2", 2)
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "MKL_NUM_THREADS" not in os.environ


def test_functions_without_a_module_level_name_are_refused() -> None:
    with LocalProcesses(1) as engine, pytest.raises(UsageError, match="at the top level of a module"):
        list(engine.run(lambda task: task, [1]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers is 0: give at least 1"),
        ({"threads_per_worker": 0}, "threads_per_worker is 0: give at least 1"),
        ({"max_retries": -1}, "max_retries is -1: give at least 0"),
    ],
)
def test_numbers_are_checked(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LocalProcesses(**arguments)


def test_a_worker_that_is_stopped_writes_down_what_it_measured(tmp_path: Path) -> None:
    """As a study's run does: its record says that it was interrupted, and how far it came."""
    with LocalProcesses(2) as engine:
        tasks = [work.Marked(number, str(tmp_path)) for number in (0, 1)]
        for result in engine.run(work.write_down_when_stopped, tasks):
            assert result.value == "seen"
            break
    assert (tmp_path / "record").read_text() == "stopped by SIGTERM"
