"""Two Ray nodes in mount namespaces of their own, by `ray://`: what they do not share, and one that is killed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from foretoll.engine import RayEngine, Shared, check_nodes
from foretoll.errors import ForetollError
from foretoll.models import Loading
from foretoll.records import TrainingSettings
from foretoll.workflows.context import open_update
from foretoll.workflows.retrain import take_signals
from foretoll.workflows.sharded import sharded_collector
from study.carrying import all_runs, carry_out, ended, essence

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]
RAY = str(Path(sys.executable).with_name("ray"))
ROOM = "FORETOLL_TEST_ROOM"  # some of Ray's processes name no folder in their command line, and live on
LIMITS = ("--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats")


@dataclass
class Cluster:
    """Its address, a folder that each node has for itself, and the processes of the second node."""

    address: str
    private: Path
    second: list[psutil.Process]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not make a mount namespace: run the tests as root")
    room = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets are in it
    private = room / "private"
    private.mkdir()
    port, client = _free_port(), _free_port()
    second: list[psutil.Process] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")  # of a token in ~/.ray, which Ray makes
        patch.setenv(ROOM, str(room))
        try:
            where = [f"--port={port}", f"--ray-client-server-port={client}", f"--temp-dir={room / 'r'}"]
            _start([RAY, "start", "--head", "--include-dashboard=false", *where, *LIMITS])
            first = _processes(room)
            join = " ".join([RAY, "start", f"--address=127.0.0.1:{port}", *LIMITS])
            _start(["unshare", "-m", "sh", "-c", f"mount -t tmpfs own {private} && exec {join}"])
            second = [process for process in _processes(room) if process not in first]
            yield Cluster(_reached(f"ray://127.0.0.1:{client}"), private, second)
        finally:
            for process in {*_processes(room), *second}:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            shutil.rmtree(room, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _start(words: list[str]) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120, env=os.environ)
    said = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode and "timed out" in " ".join(said[-3:]):
        pytest.skip(f"Ray gives a node 30 s to start, and this machine took longer: {said[-1]}")
    assert done.returncode == 0, said[-5:]


def _reached(address: str) -> str:
    """The address, once a client has reached it: for the first one Ray starts a server, which it gives 30 s."""
    for _ in range(3):
        try:
            RayEngine(address).close()
        except ForetollError as error:
            if not any(slow in str(error) for slow in ("timed out", "Starting Ray client server failed")):
                raise
        else:
            return address
    pytest.skip("Ray gives a client's server 30 s to start, and this machine took longer three times")


def _processes(room: Path) -> list[psutil.Process]:
    """What was started with the environment of this cluster, and its children, some of which wrote over theirs."""
    found: dict[int, psutil.Process] = {}
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if one.pid != os.getpid() and one.environ().get(ROOM) == str(room):
                found |= {every.pid: every for every in (one, *one.children(recursive=True))}
    return list(found.values())


def test_a_folder_that_a_node_has_for_itself_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    with RayEngine(cluster.address) as engine:
        check_nodes(engine, Shared((tmp_path,), (Path(__file__),)))
        with pytest.raises(ForetollError, match=r"^node .*: the folder .*private' is not there"):
            check_nodes(engine, Shared((cluster.private,)))
        with pytest.raises(ForetollError, match=r"private' is not there"):
            carry_out(cluster.private, engine)
        assert not all_runs(cluster.private), "nothing was begun"


def test_an_estimate_of_arrays_and_a_model_in_memory_sees_what_one_machine_sees(
    cluster: Cluster, tmp_path: Path
) -> None:
    random = np.random.default_rng(4)
    y = random.integers(0, 3, 700)
    x = (random.normal(size=(700, 6)) + y[:, None]).astype(np.float32)
    network = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    update = open_update(network, (x[:350], y[:350]), (x[350:] + 0.5, y[350:]))
    settings = TrainingSettings(until=0.9)
    alone = take_signals(update, settings, samples=150).signals
    with RayEngine(cluster.address) as engine:
        import ray

        assert sum(node["Alive"] for node in ray.nodes()) == 2
        collector = sharded_collector(
            engine, update, model=network, source=x, target=x, loading=Loading(), seed=0
        )
        spread = take_signals(update, settings, samples=150, collector=collector).signals
    assert spread.keys() == alone.keys()
    for name, value in alone.items():
        assert spread[name] == (None if value is None else pytest.approx(value, rel=1e-6, abs=1e-6)), name


def test_a_study_comes_to_the_same_runs_where_a_node_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    alone, spread = tmp_path / "alone", tmp_path / "spread"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have it: rounding depends on it
    try:
        assert carry_out(alone).failures == []
    finally:
        torch.set_num_threads(threads)
    over = threading.Event()

    def kill() -> None:
        while not over.is_set() and not (spread / "models").is_dir():
            time.sleep(0.02)
        for process in cluster.second:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    killer = threading.Thread(target=kill)
    with RayEngine(cluster.address) as engine:
        killer.start()
        try:
            progress = carry_out(spread, engine)
        finally:
            over.set()
            killer.join()
    assert progress.failures == []
    assert essence(ended(spread)) == essence(ended(alone))
