"""A ledger whose file has damaged pages: what can be read is copied into a new one, and what is lost is counted."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from foretoll.errors import LedgerError
from foretoll.ledger import Ledger
from foretoll.ledger.salvage import salvage

from .making import ended, make_run
from .test_faults import unpack_records

PAGE = 4096
RUNS = 300


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ledger of many runs, as one file without a log; the last run has no end. Its records are texts."""
    path = tmp_path_factory.mktemp("whole") / "l.db"
    fill(path)
    unpack_records(path)
    return in_one_file(path)


def in_one_file(path: Path) -> bytes:
    """A ledger without its log, in pages of `PAGE` bytes, one of which holds one record as a text."""
    with closing(sqlite3.connect(path)) as base:
        base.execute("PRAGMA journal_mode=DELETE")
        base.execute(f"PRAGMA page_size={PAGE}")
        base.execute("VACUUM")
    return path.read_bytes()


def fill(path: Path) -> None:
    ledger = Ledger(path)
    for number in range(RUNS):
        run = make_run(f"r{number:03}", number, tags=("a", "b") if number % 2 else ())
        ledger.begin(run)
        if number < RUNS - 1:
            ledger.finish(ended(run))


def pages_of(content: bytes, folder: Path, name: str) -> list[int]:
    """The numbers, from 1, of a table's leaf pages."""
    path = folder / "look.db"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as base:
        query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
        return [number for (number,) in base.execute(query, (name,))]


def damaged(folder: Path, content: bytes, pages: list[int]) -> Path:
    changed = bytearray(content)
    for page in pages:
        changed[(page - 1) * PAGE : page * PAGE] = b"\xff" * PAGE
    path = folder / "l.db"
    path.write_bytes(changed)
    return path


def new_ledger(folder: Path) -> Ledger:
    (path,) = folder.glob("l-salvaged-*.db")
    return Ledger(path)


@pytest.mark.parametrize("place", ["first", "middle", "last", "some"])
def test_runs_on_other_pages_are_copied(tmp_path: Path, whole: bytes, place: str) -> None:
    leaves = pages_of(whole, tmp_path, "run_end")
    chosen = {
        "first": leaves[:1],
        "middle": [leaves[len(leaves) // 2]],
        "last": leaves[-1:],
        "some": leaves[3::7],
    }
    path = damaged(tmp_path, whole, chosen[place])
    before = path.read_bytes()
    assert "--repair" in Ledger(path).doctor()[0]
    (said,) = Ledger(path).doctor(repair=True)
    found = re.search(
        r"damaged.*; repaired: 300 runs are in the new ledger l-salvaged-\S+\.db beside it, (.*): use that one$",
        said,
    )
    assert found is not None, said
    assert len(said.replace(str(tmp_path), "")) <= 300 and said.isprintable()
    assert path.read_bytes() == before
    assert Ledger(new_ledger(tmp_path).where).doctor() == []
    runs = {run.id: run for run in new_ledger(tmp_path).runs()}
    assert len(runs) == RUNS  # every start could be read
    whole_runs = Ledger(_copy(tmp_path, whole)).runs()
    kept = [run for run in whole_runs if runs[run.id] == run]
    assert len(kept) + len(chosen[place]) == RUNS  # a page holds one run here
    assert found[1] == f"{len(chosen[place])} rows are lost"


def _copy(folder: Path, content: bytes) -> Path:
    path = folder / "copy.db"
    path.write_bytes(content)
    return path


def test_an_end_alone_gives_the_run_and_its_tags(tmp_path: Path, whole: bytes) -> None:
    path = damaged(tmp_path, whole, pages_of(whole, tmp_path, "run_start")[1:-1])
    (said,) = Ledger(path).doctor(repair=True)
    assert "; repaired: " in said
    ledger = new_ledger(tmp_path)
    assert len(ledger.runs()) >= RUNS - 1
    assert ledger.get("r101") == Ledger(_copy(tmp_path, whole)).get("r101")
    assert len(ledger.runs(tag="a")) == len(Ledger(tmp_path / "copy.db").runs(tag="a"))


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_file_that_was_cut_short(tmp_path: Path, whole: bytes, share: float) -> None:
    path = tmp_path / "l.db"
    path.write_bytes(whole[: int(share * len(whole))])
    assert "is truncated" in Ledger(path).doctor()[0]
    (said,) = Ledger(path).doctor(repair=True)
    assert "is truncated" in said and "; repaired: " in said
    known = {run.id: run for run in Ledger(_copy(tmp_path, whole)).runs()}
    runs = new_ledger(tmp_path).runs()
    assert len(runs) >= 0.5 * share * RUNS
    assert all(run.id in known for run in runs)


def test_packed_records_of_other_pages_are_copied(tmp_path: Path) -> None:
    fill(tmp_path / "l.db")
    content = in_one_file(tmp_path / "l.db")
    known = {run.id: run for run in Ledger(_copy(tmp_path, content)).runs()}
    path = damaged(tmp_path, content, pages_of(content, tmp_path, "run_end")[2:4])
    (said,) = Ledger(path).doctor(repair=True)
    lost = re.search(r"; repaired: 300 runs are in .*, (\d+) rows are lost", said)
    runs = new_ledger(tmp_path).runs()
    assert lost is not None, said
    assert 0 < int(lost[1]) == sum(run != known[run.id] for run in runs) < 100
    assert new_ledger(tmp_path).doctor() == []


def test_a_packed_end_is_lost_with_its_start(tmp_path: Path) -> None:
    fill(tmp_path / "l.db")
    content = in_one_file(tmp_path / "l.db")
    known = {run.id: run for run in Ledger(_copy(tmp_path, content)).runs()}
    path = damaged(tmp_path, content, pages_of(content, tmp_path, "run_start")[2:4])
    (said,) = Ledger(path).doctor(repair=True)
    lost = re.search(r"; repaired: (\d+) runs are in .*, (\d+) rows are lost", said)
    runs = new_ledger(tmp_path).runs()
    assert lost is not None, said
    gone = RUNS - int(lost[1])
    assert 0 < gone < 100 and int(lost[2]) == 2 * gone, "a start and an end each"
    assert len(runs) == RUNS - gone and all(run == known[run.id] for run in runs)
    assert new_ledger(tmp_path).doctor() == []


def test_a_file_whose_first_page_is_gone_says_so(tmp_path: Path, whole: bytes) -> None:
    content = whole[:100] + b"\xff" * (PAGE - 100) + whole[PAGE:]
    path = tmp_path / "l.db"
    path.write_bytes(content)
    with pytest.raises(
        LedgerError, match=r"nothing can be read of the damaged ledger .*restore it from a copy"
    ):
        salvage(path)
    (said,) = Ledger(path).doctor(repair=True)
    assert "restore it from a copy" in said
    assert not list(tmp_path.glob("*salvaged*"))


@pytest.mark.parametrize("seed", range(5))
def test_pages_damaged_at_random_never_make_a_run_of_their_own(
    tmp_path: Path, whole: bytes, seed: int
) -> None:
    import random

    draw = random.Random(seed)
    content = bytearray(whole)
    for _ in range(40):
        content[draw.randrange(2 * PAGE, len(content))] ^= 1 << draw.randrange(8)
    path = tmp_path / "l.db"
    path.write_bytes(content)
    known = {run.id for run in Ledger(_copy(tmp_path, whole)).runs()}
    found = salvage(path)
    assert {run.id for run, _ in found.ends} <= known
    assert found.runs >= RUNS // 2
    for sentence in Ledger(path).doctor(repair=True):
        assert sentence.isprintable()
