"""Ray: on this machine or on a cluster, with plain tasks. Ray is imported when it is used."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, cast

from foretoll.engine.base import Engine, Job, Result, TaskT, ValueT
from foretoll.engine.calls import Reply, call_pickled, limit_threads, opened, sentence
from foretoll.engine.lifeline import Lifeline, held_by
from foretoll.engine.local_processes import check_numbers, usable_cores
from foretoll.engine.supply import Attempt, Supply
from foretoll.errors import ForetollError, MissingExtraError, UsageError, one_line

_AHEAD = 2  # tasks that wait at Ray beyond those that run, so that a worker need not wait for us
_LOOK_WITHIN_S = 60.0  # a node starts a worker, which imports foretoll
_STOP_WITHIN_S = 10.0  # what takes longer to stop, on a cluster out of reach, is no longer waited for

# Read by Ray when it is imported or started. The second turns on now what is announced for later, and so a
# warning off. The third keeps off stdout what log_to_driver=False does not: that a worker died is in a Result.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed|memory pressure|node OOM",
}


class RayEngine(Engine):
    """Runs tasks on Ray. `address`: "ray" starts Ray on this machine, "ray://host:port" joins a cluster.

    workers: how many tasks run at once; by default as many as there are CPUs for `threads_per_worker` each
    max_retries: how often a task is begun again after its worker died; exceptions are not retried

    A Ray that runs in this process already is used and left running; what was started here is shut down when
    the engine is closed. On a cluster, foretoll is installed on every node. Newer versions of Ray guard what
    they start with a token that they keep in ~/.ray, and so does this one.

    Raises:
        UsageError: a number is out of range, or the address is none.
        MissingExtraError: Ray is not installed.
        ForetollError: Ray cannot be started or reached.

    """

    def __init__(
        self,
        address: str = "ray",
        workers: int | None = None,
        threads_per_worker: int = 1,
        *,
        max_retries: int = 2,
    ) -> None:
        check_numbers(1 if workers is None else workers, threads_per_worker, max_retries)
        if address != "ray" and not address.startswith("ray://"):
            raise UsageError(f'unknown Ray address {address!r}: give "ray" or "ray://host:port"')
        if not _is_installed():
            raise MissingExtraError("the Ray engine", "ray")
        self.threads_per_worker, self.max_retries = threads_per_worker, max_retries
        self._here = address == "ray"
        self._before = _Before()
        with _quiet_variables():
            import ray

            self._ray: Any = ray
            self._ours = not ray.is_initialized()
            if self._ours:
                self._start(address, (workers or usable_cores()) * threads_per_worker)
        self._remote = ray.remote(_call_on_ray)
        self._workers = workers
        self._lifeline: Any = None  # begun with the first loop
        self._loops = 0
        self._check_threads()

    @property
    def workers(self) -> int:
        """How many tasks run at once; on a cluster without a given number, its present CPUs decide."""
        if self._workers is not None:
            return self._workers
        cpus = int(self._ray.cluster_resources().get("CPU", 1))
        return max(1, cpus // self.threads_per_worker)

    @property
    def has_nodes(self) -> bool:
        """Whether this is a cluster that somebody else started."""
        return not (self._here and self._ours)

    def on_each_node(
        self, function: Callable[[TaskT], ValueT], task: TaskT
    ) -> Iterator[tuple[str, ValueT | str]]:
        """Call a function once on every node that runs tasks; what is slow to answer counts as out of reach."""
        from ray import cloudpickle
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        dumps: Any = cloudpickle.dumps  # untyped
        sent, payload = dumps(function), dumps(task)
        paths = tuple(sys.path) if self._here else ()
        look, asked = self._ray.remote(_look_on_ray), {}
        for node in self._ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                options = look.options(num_cpus=0, max_retries=0, scheduling_strategy=place)
                name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
                asked[options.remote(sent, payload, paths)] = name
        ready, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=_LOOK_WITHIN_S)
        for reference, name in asked.items():
            if reference not in ready:
                yield name, f"it did not answer within {_LOOK_WITHIN_S:.0f} s"
                continue
            try:
                answer = cast("Reply[ValueT]", opened(self._ray.get(reference)))
            except self._ray.exceptions.RayError as error:
                yield name, f"it cannot run foretoll ({one_line(str(error.__cause__ or error), 120)})"
            else:
                yield name, answer.error or cast("ValueT", answer.value)

    def _check_threads(self) -> None:
        """Refuse what no node could ever run: Ray would wait for ever, without a word."""
        nodes = [node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]]
        most = int(max(nodes, default=0))
        if 0 < most < self.threads_per_worker:
            self.close()
            raise UsageError(
                f"threads_per_worker is {self.threads_per_worker}, but no Ray node has more than {most} CPUs: "
                "lower it"
            )

    def _start(self, address: str, cpus: int) -> None:
        where: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False} if self._here else {}
        try:
            with warnings.catch_warnings():
                # said again, and better, by the exception that follows
                warnings.filterwarnings("ignore", message="Ray Client connection timed out")
                self._ray.init(
                    # "local" is Ray's word for: start here, whatever RAY_ADDRESS or a cluster on this host says
                    address="local" if self._here else address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **where,
                )
        except Exception as error:
            self._before.restore()
            what = (
                "cannot be started on this machine"
                if self._here
                else f"at {address} cannot be reached: check host and port, and set RAY_AUTH_MODE=token if the "
                "cluster asks for a token"
            )
            raise ForetollError(f"Ray {what} ({sentence(error)})") from error

    def _results(
        self, job: Job[TaskT, ValueT], tasks: Iterator[tuple[int, TaskT]]
    ) -> Generator[Result[TaskT, ValueT], None, None]:
        from ray import cloudpickle  # also sends what is defined in a script, by value

        supply = Supply(job, tasks, max_retries=self.max_retries, dumps=cloudpickle.dumps)
        function = self._ray.put(supply.function)
        if self._lifeline is None:
            self._lifeline = self._ray.remote(Lifeline).options(num_cpus=0, max_restarts=-1).remote()
        self._loops += 1
        flying: dict[Any, _Flight] = {}
        room = self.workers + _AHEAD
        try:
            done = self._deal(supply, function, flying, room)
            while done or flying:
                yield from done
                done = self._collect(supply, flying)
                done += self._deal(supply, function, flying, room)
        finally:
            if flying:
                self._stop(flying)
        if supply.failure is not None:
            raise supply.failure

    def _deal(
        self, supply: Supply[TaskT, ValueT], function: Any, flying: dict[Any, _Flight], room: int
    ) -> list[Result[TaskT, ValueT]]:
        refused: list[Result[TaskT, ValueT]] = []
        while len(flying) + len(refused) < room:
            taken = supply.take()
            if taken is None:
                break
            if isinstance(taken, Result):
                refused.append(taken)
                continue
            taken.begun += 1
            # retries are counted here, not by Ray, which does not say how many there were
            remote = self._remote.options(
                num_cpus=self.threads_per_worker, max_retries=0, retry_exceptions=False
            )
            paths = tuple(sys.path) if self._here else ()
            reference = remote.remote(
                function, taken.payload, self.threads_per_worker, paths, self._lifeline, self._loops
            )
            flying[reference] = _Flight(taken, time.perf_counter())
        return refused

    def _collect(
        self, supply: Supply[TaskT, ValueT], flying: dict[Any, _Flight]
    ) -> list[Result[TaskT, ValueT]]:
        """Wait until a task is done, and fetch all that are."""
        if not flying:
            return []
        self._ray.wait(list(flying), num_returns=1)
        ready, _ = self._ray.wait(list(flying), num_returns=len(flying), timeout=0)
        done: list[Result[TaskT, ValueT]] = []
        for reference in ready:
            flight = flying.pop(reference)
            attempt = flight.attempt
            try:
                reply = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                how = f"died ({type(error).__name__})"
                failed = supply.worker_died(attempt, how, time.perf_counter() - flight.began)
                done += [] if failed is None else [failed]
            else:
                answer = cast("Reply[ValueT]", opened(reply))
                done.append(answer.result(attempt.index, attempt.task, attempt.begun))
        return done

    def _stop(self, flying: dict[Any, _Flight]) -> None:
        """Stop what runs and what waits of this loop, and wait until it has.

        Not by ray.cancel(): when it meets a task that is just ending, Ray may abort this whole process
        ("Tried to complete task that was not pending", seen with 2.60; others of its kind are in ray#54798).
        """
        with contextlib.suppress(Exception):  # why the loop was left is what the caller must hear of
            self._ray.get(self._lifeline.cut.remote(self._loops), timeout=_STOP_WITHIN_S)
            ended, _ = self._ray.wait(list(flying), num_returns=len(flying), timeout=_STOP_WITHIN_S)
            for reference in ended:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    self._ray.get(reference)  # an error that nobody fetches is printed by Ray

    def close(self) -> None:
        """Shut Ray down if this engine started it."""
        if not self._closed and self._ours:
            with _quiet_variables():
                self._ray.shutdown()
            self._before.restore()
        super().close()


class _Before:
    """What Ray changes in a process and leaves behind: its variables and the handler of SIGTERM."""

    def __init__(self) -> None:
        self._names = _ray_variables()
        self._handler = signal.getsignal(signal.SIGTERM)

    def restore(self) -> None:
        for name in _ray_variables() - self._names:
            del os.environ[name]
        if threading.current_thread() is threading.main_thread() and self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)


def _ray_variables() -> set[str]:
    return {name for name in os.environ if name.startswith("RAY_")}


@dataclass
class _Flight:
    """A task at Ray, and since when."""

    attempt: Attempt[Any]
    began: float


def _is_installed() -> bool:
    return importlib.util.find_spec("ray") is not None


def _look_on_ray(function: bytes, task: bytes, paths: tuple[str, ...]) -> Reply[bytes]:
    """Run in a Ray worker, for a moment."""
    sys.path.extend(path for path in paths if path not in sys.path)
    return call_pickled(function, task)


def _call_on_ray(
    function: bytes, task: bytes, threads: int, paths: tuple[str, ...], lifeline: Any, loop: int
) -> Reply[bytes]:
    """Run in a Ray worker. `paths`: where the driver imports from, if it is on the same machine."""
    sys.path.extend(path for path in paths if path not in sys.path)
    limit_threads(threads)
    with held_by(lifeline, loop) as holds:
        return call_pickled(function, task) if holds else Reply(None, "not begun", 0.0)


@contextlib.contextmanager
def _quiet_variables() -> Iterator[None]:
    """Set Ray's own variables while it is imported, started or stopped; what the user set stands."""
    added = {name: value for name, value in _QUIET.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
