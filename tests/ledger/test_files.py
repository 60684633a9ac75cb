"""Export and import: JSON lines in and out, all or nothing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.errors import LedgerError
from foretoll.ledger import Ledger, read_runs, write_runs
from foretoll.records import Outcome

from .making import ended, make_run


def filled(path: Path, number: int = 5) -> Ledger:
    ledger = Ledger(path)
    for i in range(number):
        ledger.finish(ended(make_run(f"r{i}", i, tags=("t",))))
    return ledger


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.jsonl.gz"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    ledger = filled(tmp_path / "a.db")
    ledger.begin(make_run("running", 9))
    assert ledger.export(tmp_path / name) == 5  # a run under way stays at home
    raw = (tmp_path / name).read_bytes()
    text = gzip.decompress(raw) if name.endswith(".gz") else raw
    assert [json.loads(line)["id"] for line in text.splitlines()] == ["r0", "r1", "r2", "r3", "r4"]
    other = Ledger(tmp_path / "b.db")
    assert other.import_(tmp_path / name) == 5
    assert other.import_(tmp_path / name) == 0
    assert other.runs(tag="t") == ledger.runs(tag="t")
    assert other.doctor() == []
    ledger.export(tmp_path / ("again-" + name))
    assert (tmp_path / ("again-" + name)).read_bytes() == raw


@settings(max_examples=15, deadline=None)
@given(parts=st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=3))
def test_importing_files_in_any_order_gives_their_union(
    tmp_path_factory: pytest.TempPathFactory, parts: list[set[int]]
) -> None:
    folder = tmp_path_factory.mktemp("union")
    for i, part in enumerate(parts):
        write_runs(folder / f"{i}.jsonl", [ended(make_run(f"r{n}", n)) for n in sorted(part)])
    ledgers = [Ledger(folder / "forward.db"), Ledger(folder / "backward.db")]
    order = list(range(len(parts)))
    added = [
        sum(ledger.import_(folder / f"{i}.jsonl") for i in way)
        for ledger, way in zip(ledgers, (order, order[::-1]), strict=True)
    ]
    union = sorted(set().union(*parts))
    assert added == [len(union), len(union)]
    for ledger in ledgers:
        assert [run.id for run in ledger.runs(newest_first=False)] == [f"r{n}" for n in union]


def test_an_interrupted_run_travels_and_its_real_end_still_counts(tmp_path: Path) -> None:
    presumed = make_run("a").model_copy(update={"outcome": Outcome.INTERRUPTED, "reason": "gone"})
    real = ended(make_run("a"))
    write_runs(tmp_path / "presumed.jsonl", [presumed])
    write_runs(tmp_path / "real.jsonl", [real])
    write_runs(tmp_path / "both.jsonl", [presumed, real, presumed])
    first = Ledger(tmp_path / "first.db")
    assert [first.import_(tmp_path / f"{name}.jsonl") for name in ("presumed", "presumed")] == [1, 0]
    assert first.get("a") == presumed
    assert first.import_(tmp_path / "real.jsonl") == 1
    assert first.get("a") == real
    second = Ledger(tmp_path / "second.db")
    assert [second.import_(tmp_path / f"{name}.jsonl") for name in ("real", "presumed")] == [1, 0]
    third = Ledger(tmp_path / "third.db")
    assert third.import_(tmp_path / "both.jsonl") == 1
    assert first.runs() == second.runs() == third.runs() == [real]
    assert first.doctor() == second.doctor() == third.doctor() == []


def test_an_import_ends_a_run_that_began_here(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    ledger.begin(make_run("a"))
    finished = ended(make_run("a", tags=("late",)))
    write_runs(tmp_path / "a.jsonl", [finished])
    assert ledger.import_(tmp_path / "a.jsonl") == 1
    assert ledger.runs(tag="late") == [finished]


def line_of(run_id: str) -> bytes:
    return ended(make_run(run_id)).model_dump_json(by_alias=True).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (line_of("a") + line_of("b")[:-40], r"bad.jsonl line 2 is no run \(.*EOF"),
        (line_of("a") + b"\n" + b"{}\n" + line_of("b"), r"bad.jsonl line 3 is no run \(id: Field required\)"),
        (line_of("a") + b"\xff\xfe\x00\n", r"bad.jsonl line 2 is no run"),
        (line_of("a").replace(b'"steps":8', b'"steps":"8 or 9","surprise":1'), r"line 1 is no run \(steps"),
        (
            line_of("a").replace(b'"duration_s":5.0', b'"duration_s":-5.0'),
            r"line 1 is no run \(toll.duration_s",
        ),
        (
            line_of("a").replace(b'"duration_s":5.0', b'"duration_s":NaN'),
            r"line 1 is no run \(toll.duration_s",
        ),
        (line_of("a").replace(b"foretoll.run/1", b"foretoll.run/9"), r"line 1 is no run \(schema"),
        (
            line_of("a") + line_of("b").replace(b'"reached"', b'"running"'),
            "run b is still running: import it when it has ended",
        ),
        (line_of("b") + line_of("a").replace(b'"steps":8', b'"steps":9'), "run a differs from the run"),
        (line_of("b") + line_of("b").replace(b'"steps":8', b'"steps":9'), "run b differs from the run"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(tmp_path: Path, content: bytes, message: str) -> None:
    ledger = Ledger(tmp_path / "a.db")
    ledger.finish(ended(make_run("a")))
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(LedgerError, match=message):
        ledger.import_(tmp_path / "bad.jsonl")
    assert [run.id for run in ledger.runs()] == ["a"]
    assert ledger.runs() == [ended(make_run("a"))]


def test_truncated_gzip_at_every_length(tmp_path: Path) -> None:
    filled(tmp_path / "a.db", 3).export(tmp_path / "whole.jsonl.gz")
    raw = (tmp_path / "whole.jsonl.gz").read_bytes()
    target = Ledger(tmp_path / "b.db")
    cut = tmp_path / "cut.jsonl.gz"
    for length in {1, 5, len(raw) // 4, len(raw) // 2, len(raw) - 9, len(raw) - 1}:
        cut.write_bytes(raw[:length])
        with pytest.raises(
            LedgerError, match=r"cut.jsonl.gz (is truncated or no gzip file|line \d+ is no run)"
        ):
            target.import_(cut)
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 0xFF
    cut.write_bytes(flipped)
    with pytest.raises(LedgerError, match=r"cut.jsonl.gz"):
        target.import_(cut)
    cut.write_bytes(b"no gzip at all")
    with pytest.raises(LedgerError, match="is truncated or no gzip file"):
        target.import_(cut)
    assert target.runs() == []


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    ledger = filled(tmp_path / "a.db", 1)
    with pytest.raises(LedgerError, match=r"nowhere.jsonl is not there"):
        ledger.import_(tmp_path / "nowhere.jsonl")
    with pytest.raises(LedgerError, match="cannot be read"):
        ledger.import_(tmp_path)
    with pytest.raises(LedgerError, match=r"cannot be written .*: name a file in a folder that exists"):
        ledger.export(tmp_path / "no" / "folder.jsonl")


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text("precious")

    def runs() -> object:
        yield ended(make_run("a"))
        raise LedgerError("the ledger broke")

    with pytest.raises(LedgerError, match="the ledger broke"):
        write_runs(path, runs())  # type: ignore[arg-type]
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_file_has_no_runs(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    assert read_runs(tmp_path / "empty.jsonl") == []
    assert Ledger(tmp_path / "a.db").import_(tmp_path / "empty.jsonl") == 0
