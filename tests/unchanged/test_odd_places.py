"""A program that uses foretoll works in odd places too, and ends with its own code; see odd.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import odd

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of a process in each place."""
    folder = tmp_path_factory.mktemp("odd")
    for parent in (folder, *folder.parents):  # also one without a name may come here
        if parent.stat().st_mode & 0o001 or parent == Path("/"):
            break
        parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "unchanged.odd", str(folder), *odd.PLACES],
        cwd=TESTS, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(found) == len(odd.PLACES), done.stderr
    return {each.pop("place"): each for each in found}


@pytest.mark.parametrize("place", ["service", "unread", "crowd", "spawned"])
def test_it_works(place: str, seen: dict[str, dict[str, Any]]) -> None:
    there = seen[place]
    assert there["code"] == 0 and not there["errors"], there
    assert there["outcomes"] == ["censored", "reached"] and there["changes"] == []
    assert "Traceback" not in there["said"]


def test_without_a_home_the_runs_are_kept_in_files(seen: dict[str, dict[str, Any]]) -> None:
    failed = [text for text in seen["service"]["faults"] if " failed (" in text]
    assert failed and all("there is no home folder for the ledger" in text for text in failed)
    assert seen["service"]["spooled"] == 2


def test_streams_that_know_ascii_or_have_no_reader_stop_nothing(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["unread"]["kept"] == ["censored", "reached"]
    failed = [text for text in seen["unread"]["faults"] if " failed (" in text]
    assert all("showing" in text and "BrokenPipeError" in text for text in failed)


def test_a_daemon_that_was_spawned_ends_well(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["spawned"]["exit"] == 0 and seen["spawned"]["kept"] == ["censored", "reached"]


def test_threads_that_ask_at_once_take_turns(seen: dict[str, dict[str, Any]]) -> None:
    assert seen["crowd"]["alike"] and seen["crowd"]["random"]
    assert seen["crowd"]["kept"] == ["censored", "censored", "reached"]


def test_an_error_of_the_user_ends_the_process_with_the_meter_at_work(
    seen: dict[str, dict[str, Any]],
) -> None:
    there = seen["failing"]
    assert there["code"] == 1 and there["raised"] == "ModelError" and "mine" in there["errors"]
    assert there["outcomes"] == ["failed"] and there["threads"] == []
