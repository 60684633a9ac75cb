"""What is kept between processes: the same forecast to the bit, nothing executed, and damage is only slower."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretoll.forecast import Case, Forecaster, case_of_run
from foretoll.forecast.case import decided
from foretoll.forecast.kept import MOST_FILES, ArrayStore
from foretoll.forecast.lesson_columns import Lessons
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.reference import reference_held_out, reference_lessons, reference_runs
from foretoll.records import Run


def open_cases(runs: list[Run]) -> list[Case]:
    """Two cases that need steps, of nobody and of a model that the ledger knows."""
    every = (case_of_run(run) for run in runs if run.option == "finetune")
    case = next(c for c in every if c is not None and c.model_id and not decided(c))
    return [case.model_copy(update={"model_id": "", "weights_digest": ""}), case]


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Enough runs for every part of a model: trees, held-out residuals, scale, probability of reaching."""
    return list(reference_runs())[::3]


@pytest.fixture(scope="module")
def few(runs: list[Run]) -> list[Run]:
    """Enough for a forecast, with trees; each test fits several such ledgers."""
    return [run for run in runs if run.option == "finetune"][:80]


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz"))


def test_a_kept_forecaster_foretells_as_a_fresh_one_to_the_bit(runs: list[Run], tmp_path: Path) -> None:
    store, before = ArrayStore(tmp_path), lessons_of(runs[:-5])
    again = Lessons(Lessons.of(before).columns)
    for case in open_cases(runs):
        held = reference_held_out()
        fresh = Forecaster(runs, held_out=held).foretell(case)
        first = Forecaster(runs[-5:], before=before, held_out=held, store=store).foretell(case)
        written = {path: path.stat().st_mtime_ns for path in files_of(tmp_path)}
        second = Forecaster(runs[-5:], before=again, held_out=held, store=store).foretell(case)
        assert set(files_of(tmp_path)) == set(written), "nothing is fitted again"
        assert repr(fresh) == repr(first) == repr(second)
        assert fresh.forecast.epochs is not None and fresh.quality is not None


def test_another_ledger_is_another_model(runs: list[Run], few: list[Run], tmp_path: Path) -> None:
    store, case = ArrayStore(tmp_path), open_cases(runs)[0]
    for some in (few, few[:60], few[:60]):
        told = Forecaster(some, store=store).foretell(case)
        assert repr(told) == repr(Forecaster(some).foretell(case))
    assert len(files_of(tmp_path)) == 2 * 4


def test_the_lessons_of_the_reference_are_those_of_its_runs(tmp_path: Path) -> None:
    lessons = lessons_of(reference_runs())
    assert list(Lessons.of(lessons)) == lessons == list(reference_lessons())


@pytest.mark.parametrize("damage", [b"", b"no archive", None], ids=["empty", "text", "cut short"])
def test_a_damaged_file_is_made_anew(
    runs: list[Run], few: list[Run], tmp_path: Path, damage: bytes | None
) -> None:
    store, case = ArrayStore(tmp_path), open_cases(runs)[0]
    told = repr(Forecaster(few, store=store).foretell(case))
    for path in files_of(tmp_path):
        path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    assert repr(Forecaster(few, store=store).foretell(case)) == told
    assert all(store.get(path.stem) for path in files_of(tmp_path)), "and kept again"


def test_arrays_that_are_no_model_are_made_anew(runs: list[Run], few: list[Run], tmp_path: Path) -> None:
    store, case = ArrayStore(tmp_path), open_cases(runs)[0]
    told = repr(Forecaster(few, store=store).foretell(case))
    for path in files_of(tmp_path):
        arrays = store.get(path.stem)
        assert arrays is not None
        store.put(path.stem, {**arrays, "trees left": arrays["trees left"] + 10**6})
    assert repr(Forecaster(few, store=store).foretell(case)) == told


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "bomb.npz", columns=np.array([_Bomb()], dtype=object))
    assert ArrayStore(tmp_path).get("bomb") is None
    assert not (tmp_path / "exploded").exists()


def test_where_nothing_can_be_written_it_is_silent(runs: list[Run], few: list[Run], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    case = open_cases(runs)[0]
    told = repr(Forecaster(few).foretell(case))
    for store in (ArrayStore(tmp_path / "file" / "below"), ArrayStore(None)):
        assert repr(Forecaster(few, store=store).foretell(case)) == told


def test_the_files_that_were_not_used_longest_go(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    for i in range(MOST_FILES):
        store.put(f"k{i}", {"x": np.array(i)})
        os.utime(tmp_path / f"k{i}.npz", (i, i))
    assert store.get("k0") is not None
    store.put("new", {"x": np.array(0)})
    assert len(files_of(tmp_path)) == MOST_FILES
    assert store.get("k1") is None and store.get("k0") is not None and store.get("new") is not None


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"FORETOLL_CACHE": "/c"}, "/c"),
        ({"FORETOLL_CACHE": "off"}, None),
        ({"XDG_CACHE_HOME": "/x"}, "/x/foretoll"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/foretoll"),
    ],
)
def test_where_it_is_kept(
    variables: dict[str, str], folder: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORETOLL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ArrayStore.of_user().folder == (None if folder is None else Path(folder))


CODE = """
import sys
from foretoll.forecast import Case
from foretoll.forecast.reference import reference_forecaster
told = reference_forecaster().foretell(Case.model_validate_json(sys.argv[1]))
print(repr(told).replace("\\n", " "))
print(sorted({"sklearn"} & set(sys.modules)))
"""


def test_the_second_process_neither_fits_nor_reads_the_records(tmp_path: Path) -> None:
    case = open_cases(list(reference_runs()))[0]
    environment = os.environ | {"FORETOLL_CACHE": str(tmp_path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", CODE, case.model_dump_json()],
            env=environment, check=True, capture_output=True, text=True,
        ).stdout.splitlines()
        for _ in range(2)
    ]  # fmt: skip
    assert said[0][0] == said[1][0]
    assert said[0][1] == said[1][1] == "[]", "neither needs scikit-learn"
