"""Ray on this machine: the laws of engines, killed workers, silence, and nothing left behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from foretoll.engine import Engine, RayEngine, open_engine
from foretoll.errors import UsageError

from . import work
from .contract import SendingContract
from .scripts import gone, wait_for, workers_of

# not importorskip(): the engine itself shall import Ray, which reads some variables only then
pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@contextmanager
def printed_to(path: Path) -> Iterator[None]:
    """Send what this process and the ones it starts print to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with path.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(saved, 1):
            os.dup2(copy, number)
            os.close(copy)


@pytest.fixture(scope="module")
def ray_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayEngine]:
    printed = tmp_path_factory.mktemp("ray") / "printed"
    variables, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    others = {child.pid for child in psutil.Process().children(recursive=True)}
    with printed_to(printed):
        engine = open_engine("ray:2")
    assert isinstance(engine, RayEngine)
    children = {child.pid for child in psutil.Process().children(recursive=True)} - others
    assert children
    yield engine
    with printed_to(printed):
        engine.close()
    assert printed.read_text() == ""
    # the process is as it was before
    for name in ("PYTEST_CURRENT_TEST", "FORETOLL_LEDGER"):
        variables.pop(name, None)
    assert {
        name: value for name, value in os.environ.items() if name in variables or "RAY" in name
    } == variables
    assert signal.getsignal(signal.SIGTERM) == handler
    wait_for(lambda: all(map(gone, children)), "Ray's processes to be gone")


class TestRay(SendingContract):
    @pytest.fixture
    def engine(self, ray_engine: RayEngine) -> Engine:
        return ray_engine

    def test_threads_and_workers(self, ray_engine: RayEngine) -> None:
        assert ray_engine.workers == 2
        (result,) = ray_engine.run(work.variable, ["OMP_NUM_THREADS"])
        assert result.value == "1"

    def test_functions_without_a_name_are_sent_by_value(self, ray_engine: RayEngine) -> None:
        add = 3
        assert [result.value for result in ray_engine.run(lambda task: task + add, [1])] == [4]

    def test_a_ray_that_runs_already_is_used_and_left_running(self, ray_engine: RayEngine) -> None:
        with open_engine("ray") as guest:
            assert isinstance(guest, RayEngine)
            assert guest.workers == 2  # the CPUs that are there
            assert [result.value for result in guest.run(work.square, [3])] == [9]
        assert [result.value for result in ray_engine.run(work.square, [4])] == [16]

    def test_ctrl_c_stops_what_runs_and_what_waits(self, ray_engine: RayEngine, tmp_path: Path) -> None:
        def press() -> None:
            wait_for(lambda: len(workers_of(tmp_path)) == 2, "two workers")
            os.kill(os.getpid(), signal.SIGINT)

        finger = threading.Thread(target=press)
        finger.start()
        with pytest.raises(KeyboardInterrupt):
            list(ray_engine.run(work.sleep_and_tell, [work.Marked(k, str(tmp_path)) for k in range(9)]))
        finger.join()
        sleepers = workers_of(tmp_path)
        wait_for(lambda: all(map(gone, sleepers)), "the workers to be gone")
        assert [result.value for result in ray_engine.run(work.square, [4])] == [16]
        assert workers_of(tmp_path) == sleepers  # what waited was not begun

    def test_leaving_the_loop_while_tasks_are_ending(self, ray_engine: RayEngine) -> None:
        for k in range(40):
            for result in ray_engine.run(work.square, range(1000)):
                if result.index >= k % 7:
                    break
        assert [result.value for result in ray_engine.run(work.square, [4])] == [16]

    def test_leaving_the_loop_stops_what_runs(
        self, ray_engine: RayEngine, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        tasks = [work.Marked(k, str(tmp_path)) for k in range(9)]
        for _ in ray_engine.run(work.wait_for_a_sleeper, tasks):
            break
        sleepers = workers_of(tmp_path)  # one, or two where the next began before the loop was left
        assert sleepers
        wait_for(lambda: all(map(gone, sleepers)), "the workers to be gone")
        assert capfd.readouterr() == ("", "")

    def test_what_no_node_can_run_is_refused(self, ray_engine: RayEngine) -> None:
        with pytest.raises(UsageError, match="threads_per_worker is 3, but no Ray node has more than 2 CPUs"):
            RayEngine(threads_per_worker=3)


def test_addresses_are_checked() -> None:
    with pytest.raises(UsageError, match=r'unknown Ray address .* give "ray" or "ray://host:port"'):
        RayEngine("10.0.0.1:6379")
