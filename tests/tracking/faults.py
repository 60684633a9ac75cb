"""A fault of foretoll at every call that a user's training makes of it: the table of docs/own_faults.md.

The calls are read off the code: whatever the recorder of a loop, or of `retrain`, takes from another module, and every
public method and property of the classes among that. One that is new is among them by itself.

PYTHONPATH=tests python -m tests.tracking.faults      writes the page anew
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, is_dataclass
from enum import Enum
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from foretoll.ledger import Ledger, read_runs
from foretoll.measure import EnergyMeter, NoMeter
from foretoll.records import Run, TrainingSettings
from foretoll.tracking import TrackedRun
from foretoll.workflows import Accounting
from foretoll.workflows.carry_out import RunMetadata
from foretoll.workflows.context import Runtime, Update, Watcher
from foretoll.workflows.retrain import retrain_update
from integrations.trainings import TRAININGS
from options.making import blobs as task
from options.making import mlp, weights
from tracking.loops import Loop, blobs

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_faults.md"
FAULTS: dict[str, Callable[[], BaseException]] = {
    "disk full": lambda: OSError(28, "No space left on device"),
    "bug": lambda: KeyError("surprise"),
    "memory": lambda: MemoryError(),
    "exit": lambda: SystemExit(1),
}
BOUNDARY = "foretoll.training.guard"
TRACKING = ("foretoll.tracking.run", "foretoll.tracking.showing", "foretoll.workflows.keeping")
RETRAINING = ("foretoll.workflows.carry_out", "foretoll.workflows.retrain", "foretoll.workflows.keeping")
# In `retrain` the loop is foretoll's own: these rooms are what stands beside its steps.
BESIDE = {"ledger", "measure", "forecast", "indices", "workflows"}
TOO = {"quality_of"}  # of the others
# Of those rooms: what refuses an input before anything is spent, opens it, trains, or is a plain value.
WORK = {
    "open_update", "choose_device", "check_settings", "check_give_up", "require_labels", "with_target", "settled",
    "kept_pilot", "seeded", "planned_run", "planned_update", "guarded", "_notes", "retrain_update", "carry_out",
    "_test", "_frozen_as", "_named", "_made", "_saved", "_why",
}  # fmt: skip
KNOWN = {
    "Accounting.grid",
    "Accounting.check",
    "Ledger.of",
    "Ledger.check",
}  # in `retrain`: asked at its start
# The boundary itself, and calls that hold nothing but a guarded one; what the test alone calls.
ITSELF = {
    "begin", "keep", "show_forecast", "show_end", "log_run", "_judged", "_ended", "_serving", "Ledger.open",
    "Ledger.runs", "Ledger.select", "planned_settings",
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A call: the name of what is called in the room of `owner` (a module or a class)."""

    owner: Any
    name: str

    def __str__(self) -> str:
        inner = self.owner.__name__ if inspect.isclass(self.owner) else ""
        return f"{inner}.{self.name}".strip(".")

    @contextlib.contextmanager
    def replaced(self, call: Callable[[], None]) -> Iterator[None]:
        """Have `call` called first, whenever it is called."""
        old = inspect.getattr_static(self.owner, self.name)
        inner = getattr(old, "fget", None) or getattr(old, "func", None) or getattr(old, "__func__", old)

        def instead(*args: Any, **kwargs: Any) -> Any:
            if not (args and isinstance(args[0], NoMeter)):  # the clock that takes a meter's place
                call()
            return inner(*args, **kwargs)

        new: Any = instead
        if isinstance(old, property | cached_property):
            new = property(instead)
        elif isinstance(old, classmethod | staticmethod):
            new = type(old)(instead)
        setattr(self.owner, self.name, new)
        try:
            yield
        finally:
            setattr(self.owner, self.name, old)


def points(modules: tuple[str, ...], rooms: set[str] | None = None) -> list[Point]:
    """Every call out of these modules into foretoll."""
    found: dict[str, Point] = {}
    for name in modules:
        module = importlib.import_module(name)
        for key, value in vars(module).items():
            home = getattr(value, "__module__", "")
            if not (inspect.isclass(value) or inspect.isfunction(value)) or not home.startswith("foretoll."):
                continue
            own, kind = home == name, inspect.isclass(value) and issubclass(value, BaseModel | BaseException)
            beside = rooms is None or home.split(".")[1] in rooms or key in TOO
            outside = not beside or (rooms is not None and key in WORK)
            itself = home == BOUNDARY or key == "GuardedWatcher"
            if itself or kind or outside or (own and inspect.isclass(value)):
                continue
            for point in _of_class(value) if inspect.isclass(value) else [Point(module, key)]:
                found.setdefault(str(point), point)
    for point in (*_of_class(EnergyMeter), *_of_class(Watcher), *_of_class(Accounting)):
        found.setdefault(str(point), point)
    return [found[name] for name in sorted(set(found) - ITSELF)]


def _of_class(kind: type) -> list[Point]:
    """Its public methods and properties, and how it is made where that is more than taking values."""
    names = [n for n in vars(kind) if not n.startswith("_")]
    callable_ = (property, cached_property, classmethod, staticmethod)
    found = [n for n in names if inspect.isfunction(vars(kind)[n]) or isinstance(vars(kind)[n], callable_)]
    if issubclass(kind, Enum) or kind is TrackedRun:
        return []
    plain = is_dataclass(kind) or "__init__" not in vars(kind) or kind in (EnergyMeter, Ledger)
    made = [] if plain else ["__init__"]
    return [Point(kind, n) for n in (*found, *made)]


@dataclass(frozen=True)
class Seen:
    """What a training came to: its weights and the random states after it, lines on the standard error, its runs."""

    weights: list[torch.Tensor]
    states: tuple[Any, ...]
    said: list[str]
    runs: list[Run]


def _states() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


class Silent:
    """A logger that is called."""

    def log_run(self, *_: Any) -> None:
        """Log nothing."""


def tracked(*, look: bool = False) -> list[torch.Tensor]:
    """A loop of the user's own under `foretoll.track`."""
    plan: dict[str, Any] = {"target": (blobs(), blobs(60)), "quiet": False, "loggers": [Silent()]}
    model, _, _ = Loop().run(plan | ({"source": blobs(), "until": 0.9} if look else {"forecast": False}))
    return list(model.state_dict().values())


def retrained(*, look: bool = False) -> list[torch.Tensor]:
    """`foretoll.retrain`, from where its data are open."""
    update = Update(mlp(task()), task(), task(seed=1, distance=1.0), False, torch.device("cpu"))
    accounting = Accounting("watts:20", region="DE")
    done = retrain_update(
        update,
        "finetune",
        TrainingSettings(
            batch_size=16, max_epochs=2, lr=0.01, until=0.99, give_up=1e-9
        ),  # hardly ever given up
        Runtime(accounting=accounting, ledger=Ledger.open()),
        RunMetadata(signals=None if look else {}),
    )
    return [] if done.model is None else list(weights(done.model).values())


def seen(training: Callable[[], list[torch.Tensor]]) -> Seen:
    """Run a training with a ledger and a user folder of its own."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # nothing waits for a disk
    with tempfile.TemporaryDirectory(dir=memory) as folder, _environment(folder):
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            found = [value.clone() for value in training()]
        states = _states()
        said = [line for line in errors.getvalue().splitlines() if line.startswith("foretoll: ")]
        kept = Ledger.open().runs()
        for file in Path(folder).rglob("foretoll-run-*.jsonl"):
            kept += read_runs(file)
        return Seen(found, states, [line.replace(folder, "…") for line in said], kept)


@contextlib.contextmanager
def _environment(folder: str) -> Iterator[None]:
    names = {
        "FORETOLL_LEDGER": f"{folder}/ledger.db",
        "XDG_DATA_HOME": f"{folder}/data",
        "FORETOLL_CACHE": f"{folder}/cache",
        "TMPDIR": folder,
    }
    before = {name: os.environ.get(name) for name in names}
    temporary, tempfile.tempdir = tempfile.tempdir, folder
    os.environ.update(names)
    try:
        yield
    finally:
        tempfile.tempdir = temporary
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def called(training: Callable[[], list[torch.Tensor]], places: list[Point]) -> tuple[list[Point], Seen]:
    """Those of the points that a training comes to, and what it comes to without a fault."""
    met: set[Point] = set()
    with contextlib.ExitStack() as stack:
        for place in places:
            stack.enter_context(place.replaced(lambda place=place: met.add(place)))
        whole = seen(training)
    return [place for place in places if place in met], whole


def with_fault(training: Callable[[], list[torch.Tensor]], point: Point, fault: str) -> Seen:
    """What a training comes to where a call fails, each time it is made."""

    def fail() -> None:
        raise FAULTS[fault]()

    with point.replaced(fail):
        return seen(training)


HEAD = """# When foretoll itself fails

A fault of foretoll (its ledger, its meter, its forecast, its page, a bug) never stops or changes a training: neither
your own loop under `foretoll.track` or a callback, nor `foretoll retrain` and `foretoll train`. It is one line on the
standard error, what failed is not tried again, and a run that the ledger cannot take is kept in a file, which the next
command takes in (`foretoll ledger flush`). What passes is an error of your own code, Ctrl-C, and an input that is
refused at the start. `foretoll --strict …`, `track(strict=True)` or `FORETOLL_STRICT=1` make faults errors again, for
continuous integration.

A server that is away (a restart, too many clients, a connection that was cut) is tried for up to 30 s first. What can
be no ledger at all (a file of another kind, a database that is not known, a newer version) is refused before anything
is spent. Without a home folder the record is kept in the folder for temporary files. A study and a life, which are
read back from their ledgers, end with the error.

The tables are written by `PYTHONPATH=tests python -m tests.tracking.faults`, and tests/tracking/test_faults.py holds
them against the code: the calls are read off it, so that a new one is among them. At each of them an exception is
raised, whenever it is called. Weights and random states after the training are then bit for bit those without it. The
callbacks for transformers, Lightning and accelerate come to the calls of the first table too; the last one has those
that they make themselves.

"""


def callback_points(library: str) -> list[Point]:
    """The calls of a callback itself, out of its room and to the tracked run; what these come to is TRACKING's."""
    known = {str(point) for point in points(())}
    own = [point for point in points((f"foretoll.integrations.{library}",)) if str(point) not in known]
    return own + [Point(TrackedRun, name) for name in ("batch", "evaluate", "stop")]


def callback_cases(library: str, places: list[Point]) -> list[Case]:
    """The training by that library, at those of the points that it comes to."""
    training = TRAININGS[library][1]
    met, whole = called(training, places)
    return [Case(place, training, whole) for place in met]


def callback_rows() -> list[str]:
    """The table of the callbacks' own calls."""
    lines = ["## In a callback of another library", "", "| library | call | what you see | the run |"]
    lines.append("| --- | --- | --- | --- |")
    for library in TRAININGS:
        for case in callback_cases(library, callback_points(library)):
            lines.append(f"| {library} {row(case, with_fault(case.training, case.point, 'bug'))}")
    return [*lines, ""]


def rows(title: str, training: Callable[..., list[torch.Tensor]], places: list[Point]) -> list[str]:
    """The table of one kind of training."""
    lines = [f"## {title}", "", "| call | what you see | the run |", "| --- | --- | --- |"]
    return [
        *lines,
        *(row(case, with_fault(case.training, case.point, "bug")) for case in cases(training, places)),
        "",
    ]


@dataclass(frozen=True)
class Case:
    """A training that comes to a call, and what it comes to where nothing fails."""

    point: Point
    training: Callable[[], list[torch.Tensor]]
    whole: Seen


def cases(training: Callable[..., list[torch.Tensor]], places: list[Point]) -> list[Case]:
    """The shortest training that comes to each call; calls that none comes to are left out."""
    quick, whole = called(training, places)
    looking = partial(training, look=True)
    rest, looked = called(looking, [place for place in places if place not in quick])
    found = [Case(place, training, whole) for place in quick] + [
        Case(place, looking, looked) for place in rest
    ]
    return sorted(found, key=lambda case: str(case.point))


def row(case: Case, found: Seen) -> str:
    """A line of the table: the call, what its fault looks like, what became of the record."""
    ends = sorted({run.outcome.value for run in found.runs} - {"running"})
    kept = f"recorded as {ends[0]}" if ends else "not recorded"
    return f"| `{case.point}` | {_plain(found.said)} | {kept} |"


def _plain(said: list[str]) -> str:
    """The first line, without what differs from one run to the next."""
    first = said[0].removeprefix("foretoll: ") if said else ""
    return first.replace("|", "\\|").replace("KeyError: 'surprise'", "KeyError")


def page() -> str:
    """The page as it is to be."""
    tables = [
        *rows("In a loop of your own (`foretoll.track`)", tracked, points(TRACKING)),
        *rows("In `foretoll retrain`", retrained, retraining_points()),
        *callback_rows(),
    ]
    return HEAD + "\n".join(tables)


def retraining_points() -> list[Point]:
    """The calls beside the steps of `retrain`."""
    return [point for point in points(RETRAINING, BESIDE) if str(point) not in KNOWN]


if __name__ == "__main__":
    os.environ.setdefault("CODECARBON_LOG_LEVEL", "critical")
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    PAGE.write_text(page(), encoding="utf-8")
