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

import psutil
import pytest
import torch

from foretoll.engine import RayEngine, Shared, check_nodes
from foretoll.errors import ForetollError
from study.carrying import all_runs, carry_out, ended, essence

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]
RAY = str(Path(sys.executable).with_name("ray"))
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")  # of a token in ~/.ray, which Ray makes
        try:
            where = [f"--port={port}", f"--ray-client-server-port={client}", f"--temp-dir={room / 'r'}"]
            _start([RAY, "start", "--head", "--include-dashboard=false", *where, *LIMITS])
            first = _processes(room)
            join = " ".join([RAY, "start", f"--address=127.0.0.1:{port}", *LIMITS])
            _start(["unshare", "-m", "sh", "-c", f"mount -t tmpfs own {private} && exec {join}"])
            second = [process for process in _processes(room) if process not in first]
            yield Cluster(f"ray://127.0.0.1:{client}", private, second)
        finally:
            for process in _processes(room):
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


def _processes(room: Path) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if any(str(room) in word for word in one.info["cmdline"] or ())]


def test_a_folder_that_a_node_has_for_itself_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    with RayEngine(cluster.address) as engine:
        check_nodes(engine, Shared((tmp_path,), (Path(__file__),)))
        with pytest.raises(ForetollError, match=r"^node .*: the folder .*private' is not there"):
            check_nodes(engine, Shared((cluster.private,)))
        with pytest.raises(ForetollError, match=r"private' is not there"):
            carry_out(cluster.private, engine)
        assert not all_runs(cluster.private), "nothing was begun"


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
