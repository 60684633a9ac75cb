"""Shared fixtures. Tests that need the shared research data skip with a reason where it is absent."""

from __future__ import annotations

import atexit
import gc
import os
import signal
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from foretoll.forecast import reference
from foretoll.forecast.case import CLASSIFICATION
from foretoll.forecast.lesson_columns import Lessons
from foretoll.measure import step_probe
from foretoll.measure.step_probe import WINDOW_S

os.environ.setdefault("CODECARBON_LOG_LEVEL", "critical")
# Under nohup, or behind a shell's &, processes ignore these signals and pass that on to those that the tests stop.
for _stop, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_stop) is signal.SIG_IGN:
        signal.signal(_stop, _usual)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, then those with many, so that no worker of pytest-xdist waits long at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))


def pytest_collection_finish() -> None:
    """What was imported and collected is there to the end: the garbage collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries look for what was left behind


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with golden values and real data sets beside the checkout."""
    path = Path(__file__).resolve().parents[1].parent / "shared"
    if not path.is_dir():
        pytest.skip("../shared (golden values, data sets) is not beside this checkout")
    return path


@pytest.fixture(scope="session", autouse=True)
def _nobodys_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a module's fixtures write before `_own_ledger` is set goes to no user's ledger either."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("nobody")
        patch.setenv("FORETOLL_LEDGER", str(folder / "ledger.db"))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        yield


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's ledger."""
    monkeypatch.setenv("FORETOLL_LEDGER", str(tmp_path / "ledger.db"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session", autouse=True)
def _short_windows() -> Iterator[None]:
    """What a step costs is timed for a twentieth of a second; `whole_windows` times as long as users do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_probe, "WINDOW_S", 0.05)
        yield


@pytest.fixture
def whole_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are timed for as long as users' are."""
    monkeypatch.setattr(step_probe, "WINDOW_S", WINDOW_S)


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of all tests of a run: what one worker of pytest-xdist fits, the others read."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "foretoll-cache"


@pytest.fixture(autouse=True)
def _own_cache(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the user's cache."""
    monkeypatch.setenv("FORETOLL_CACHE", str(cache_folder))


@cache
def _part_of_the_reference() -> Lessons:
    """Every eighth lesson of classification that ships, and all of other tasks."""
    columns = reference.reference_lessons().columns
    kept = np.flatnonzero((columns["task"] != CLASSIFICATION) | (np.arange(len(columns["task"])) % 8 == 0))
    return Lessons(
        {name: column if name == "names" else column[..., kept] for name, column in columns.items()}
    )


@pytest.fixture
def less_to_learn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forecasts rest on a part of the runs that ship: for tests of a whole way, whose models are fitted anew."""
    part = _part_of_the_reference()
    monkeypatch.setattr(reference, "reference_lessons", lambda: part)
