"""What reaches the terminal: printable characters in its own encoding, one line a message, nobody else's words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foretoll import streams
from foretoll.ledger import Ledger
from foretoll.records import Run

from .conftest import Call
from .yard import a_run

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202eabc\r\nnext\u2028line"
MARKUP = "[red]x[/red] [link=http://a.b]y[/link] [/] :smile:"


@pytest.fixture(scope="module")
def hostile_run() -> Run:
    """A run whose every name comes from somebody who means no good."""
    run = a_run("hostile")
    model = run.model.model_copy(update={"arch": ESCAPES, "family": ESCAPES, "classes": (ESCAPES, MARKUP)})
    target = run.target.model_copy(
        update={"name": MARKUP, "uri": ESCAPES, "classes": (ESCAPES, "b" * 100_000)}
    )
    return run.model_copy(
        update={
            "model": model,
            "target": target,
            "option": ESCAPES,
            "reason": "c" * 100_000,
            "tags": (ESCAPES,),
            "warnings": (ESCAPES + MARKUP,),
            "checkpoint": ESCAPES,
        }
    )


def only_lines(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize("command", ["ledger list", "ledger show hostile"])
def test_names_from_a_ledger_are_shown_literally(call: Call, hostile_run: Run, command: str) -> None:
    Ledger.open().finish(hostile_run)
    shown = call(command)
    assert (shown.code, shown.err) == (0, "")
    assert only_lines(shown.out)
    assert len(shown.out) < 8000
    assert "\\x1b[31mred" in shown.out.replace("\n", "") or command == "ledger list"
    assert "[red]" in shown.out
    assert "next" not in [line.strip() for line in shown.out.splitlines()]


def test_json_of_the_same_is_exact(call: Call, hostile_run: Run) -> None:
    Ledger.open().finish(hostile_run)
    shown = call("ledger show hostile --json")
    assert only_lines(shown.out)
    assert len(shown.out.splitlines()) == 1
    assert shown.data["target"]["name"] == MARKUP
    assert shown.data["option"] == ESCAPES
    assert shown.data["reason"] == "c" * 100_000


def test_a_message_is_one_line_of_at_most_300_characters(call: Call, tmp_path: Path) -> None:
    name = "\x1b[31m\u202ename\n" * 3
    np.savez(tmp_path / "wrong.npz", **{name: np.zeros(3), "k" * 50_000: np.zeros(3)})
    for command in (
        "train --arch foretoll:mlp --data npz:wrong.npz",
        "train --arch foretoll:mlp --data {uri}",
        "ledger show {uri}",
        "ledger {uri}",
        "estimate -m m -s digits -t digits --head {long} --engine {long}",
        "estimate -m m -s digits -t digits --region {long} --energy {long}",
        "estimate -m {long} -s digits -t digits",
        "study run {long}",
    ):
        said = call(command, uri=f"npz:{name}", long="x" * 100_000)
        assert said.code in (1, 2)
        assert len(said.err.splitlines()) == 1
        assert said.err.rstrip("\n").isprintable()
        assert len(said.err) <= 301
        assert said.err.startswith("foretoll: ")
        assert "should not have happened" not in said.err


TYPOGRAPHY = "1.5 µWh … 2 × é – ≥ \udcff 中"
FORETOLL = [sys.executable, "-m", "foretoll.cli"]


def run(
    *words: str, env: dict[str, str] | None = None, **settings: object
) -> subprocess.CompletedProcess[bytes]:
    """A real process with the ledger of the test."""
    return subprocess.run(
        [*FORETOLL, *words],
        check=False,
        env={**os.environ, **(env or {})},
        timeout=120,
        **settings,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_every_encoding_gets_what_it_can_print(encoding: str, hostile_run: Run) -> None:
    Ledger.open().finish(hostile_run)
    Ledger.open().finish(a_run("one"))
    done = run("ledger", "show", "one", env={"PYTHONIOENCODING": encoding}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Outcome" in done.stdout.decode(encoding)
    done = run("ledger", "list", "--json", env={"PYTHONIOENCODING": encoding}, capture_output=True)
    assert [r["option"] for r in json.loads(done.stdout.decode(encoding))] == ["finetune", ESCAPES]
    refused = run("ledger", "show", "µ…𝔘", env={"PYTHONIOENCODING": encoding}, capture_output=True)
    assert refused.returncode == 1
    assert len(refused.stderr.decode(encoding).splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "cp1252", "cp932", "latin-1"])
def test_letters_that_an_encoding_lacks_are_written_in_plain_ones(encoding: str) -> None:
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}
    code = f"from foretoll import streams\nwith streams.ours(): streams.write({TYPOGRAPHY!a})"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, check=True
    )
    plain = "1.5 uWh ... 2 x e - >= ? ?\n"
    own = re.fullmatch(
        r"1\.5 [µu]Wh (…|\.\.\.) 2 [×x] [ée] [–-] (≥|>=) \? [中?]\n", done.stdout.decode(encoding)
    )
    assert done.stdout.decode() == plain if encoding == "ascii" else own


def test_a_closed_pipe_ends_quietly() -> None:
    Ledger.open().finish(a_run("one"))
    for words in ("ledger list", "ledger show one --json"):
        reader, writer = os.pipe()
        os.close(reader)
        done = run(*words.split(), stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_behind_the_output_is_one_sentence() -> None:
    Ledger.open().finish(a_run("one"))
    for words in ("ledger list", "--version", "ledger list --json"):
        with Path("/dev/full").open("wb") as full:
            done = run(*words.split(), stdout=full, stderr=subprocess.PIPE)
        assert done.returncode == 1
        assert done.stderr.decode() == (
            "foretoll: the standard output cannot be written (No space left on device): send it where there is room\n"
        )


def test_a_closed_output_is_one_sentence_and_no_file_takes_its_number(tmp_path: Path) -> None:
    Ledger.open(tmp_path / "l.db").finish(a_run("one"))
    line = f"{sys.executable} -m foretoll.cli ledger list --ledger {tmp_path}/l.db >&-"
    done = subprocess.run(line, shell=True, capture_output=True, check=False)
    assert done.stderr.decode().startswith("foretoll: the standard output cannot be written (it is closed)")
    assert done.returncode == 1
    assert [r.id for r in Ledger.open(tmp_path / "l.db").runs()] == ["one"]


NOISY = """
import logging, os, sys, warnings
from torch import nn
def make():
    warnings.warn("somebody's warning")
    warnings.warn("deprecated", DeprecationWarning)
    logging.getLogger("somebody").error("somebody's log")
    os.write(2, b"somebody's C code\\n")
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
"""


@pytest.mark.parametrize("debug", ["", "1"])
def test_other_peoples_words_are_kept_off_the_terminal(tmp_path: Path, debug: str) -> None:
    (tmp_path / "noisy.py").write_text(NOISY)
    x = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(60) % 3)
    words = "train --arch noisy:make --data npz:d.npz --max-epochs 0.1 --energy none --region DE -q --json"
    done = run(*words.split(), env={"FORETOLL_DEBUG": debug}, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "reached"
    said = done.stderr.decode()
    assert all((words in said) == bool(debug) for words in ("warning", "log", "C code"))
    assert not said or debug


def test_a_progress_line_that_nobody_reads_stops_no_work(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = (
        "train --arch foretoll:mlp?width=4 --data digits?kind=vector&limit=60 --max-epochs 0.1 --energy none"
    )
    done = run(
        *words.split(), "--region", "DE", "--json", cwd=tmp_path, stdout=subprocess.PIPE, stderr=writer
    )
    os.close(writer)
    assert done.returncode == 0
    assert json.loads(done.stdout)["outcome"] == "reached"
    assert (tmp_path / "foretoll-train" / "model.safetensors").is_file()


def test_threads_of_a_command_wait_asleep_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with streams.ours():
        assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    with streams.ours():
        assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
