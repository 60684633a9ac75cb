"""From a name to an engine."""

from __future__ import annotations

from collections.abc import Callable

from foretoll.engine.base import Engine
from foretoll.engine.in_process import InProcess
from foretoll.engine.local_processes import LocalProcesses, usable_cores
from foretoll.engine.ray_engine import RayEngine
from foretoll.errors import UsageError, shown, unknown_name

_BY_NAME: dict[str, Callable[[int | None], Engine]] = {
    "local": lambda _: InProcess(),
    "processes": LocalProcesses,
    "ray": lambda workers: RayEngine("ray", workers),
}
_FORMS = ("local", "processes", "processes:4", "ray", "ray:4", "ray://host:port")


def open_engine(name: str = "local") -> Engine:
    """Open an engine by name; use it as a context manager, so that its workers are stopped.

    "local": this process, one task after the other. "processes" or "processes:4": worker processes here,
    as many as cores or four. "ray" or "ray:4": Ray, started on this machine. "ray://host:port": a running
    Ray cluster.

    Raises:
        UsageError: unknown name, or a number of workers that is none.
        MissingExtraError: Ray is not installed.
        ForetollError: the cluster cannot be reached.

    """
    check_engine(name)
    if name.startswith("ray://"):
        return RayEngine(name)
    kind, _, number = name.partition(":")
    return _BY_NAME[kind](int(number) if number else None)


def check_engine(name: str) -> None:
    """Refuse a name that is no engine, or more workers than this machine bears (UsageError); opens nothing."""
    if name.startswith("ray://"):
        return
    kind, colon, number = name.partition(":")
    if kind not in _BY_NAME or (kind == "local" and colon):
        raise UsageError(unknown_name("engine", name, _FORMS))
    if colon and not (number.isascii() and number.isdigit() and len(number) < 10 and int(number) > 0):
        raise UsageError(
            f"the engine {shown(name)} needs a number of workers after the colon, such as {kind}:4"
        )
    if colon:
        check_workers(int(number), f"the engine {shown(name)}")


def check_workers(number: int, what: str) -> None:
    """Refuse a number of processes that would take the machine down (UsageError)."""
    most = max(64, 4 * usable_cores())
    if not 1 <= number <= most:
        raise UsageError(f"{what} asks for {number} processes: give 1 to {most}")
