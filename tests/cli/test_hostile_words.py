"""What a fuzzer once typed, and brought an error out that nobody had foreseen, or a message of a thousand characters.

Values of flags, paths, environment and specs; files of that list are in `tests/data/hostile.py` and
`tests/models/hostile.py`. All of them are refused, in one printable line, before any work.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from .conftest import Call

LONG = "x" * 5000
RETRAIN = "retrain -m m -s npz:old.npz -t npz:new.npz -o head --energy none --region DE -q --max-epochs 0.05 --out o"
FLAGS = [
    ("--lr", "1e38"), ("--lr", "1e39"), ("--lr", "1e308"), ("--weight-decay", "1e308"), ("--out", "~nouser/x"),
    ("--out", "\udcff"), ("--ledger", "x\udcff.db"), ("--weights", "\n"), ("--weights", "/dev/zero"),
    ("--energy", "replay:/dev/zero"), ("--energy", LONG), ("--region", LONG), ("--head", LONG),
    ("--ledger", "a/" * 3000), ("--max-epochs", "1e9"),
]  # fmt: skip
URIS = [
    "npz:~nosuchuser/x.npz", "npz:d.npz\x00", "npz:\x1b[31m", "npz:a\nb", "\n", f"npz:{'a' * 5000}",
    f"npz:{'a/' * 3000}", "npz:old.npz?limit=%00", "npz:old.npz?limit=" + "9" * 400, "npz:old.npz?shift=" + LONG,
    "npz:old.npz?" + "&".join(f"k{i}=1" for i in range(3000)), "~gm\x18\x11\"5';\x07\x1bA({", "E\x16$\x15r>b",
    "\ufeffy_\x1aQ", "'\"\x0bG\x1f", "folder:o?size=1000000000", "npz:/dev/zero", "digits?shift=shot_noise:1e999",
    "X+\x08\u202eo\x06_}I9",
]  # fmt: skip
SPECS = [
    "torch:zeros", "time:sleep", "os:abort", "foretoll.cli:main", "foretoll:mlp?width=99999999999",
    "foretoll:mlp?mean=nan", "foretoll:mlp?std=nan", "foretoll:mlp?depth=100000", "foretoll:cnn?width=99999999",
    "/dev/zero", LONG, "a\nb:c",
]  # fmt: skip
COMMANDS = [
    "ledger export /", "ledger export ''", "ledger export .", "ledger import /dev/zero", f"ledger show {LONG}",
    "study score reference --jobs 0", "study score reference --jobs 999999", "study score reference --jobs -1",
]  # fmt: skip


def _one_line(call: Call, words: list[str]) -> None:
    done = call(" ".join(shlex.quote(word).replace("{", "{{").replace("}", "}}") for word in words))
    assert done.code in (1, 2), words[-1][:80]
    lines = [line for line in done.err.splitlines() if not line.startswith("foretoll: warning: ")]
    assert len(lines) == 1 and len(lines[0]) <= 300, lines
    assert lines[0].isprintable() and lines[0].startswith("foretoll: ")
    assert "should not have happened" not in lines[0] and "Traceback" not in done.err


@pytest.fixture
def yard(call: Call) -> Call:
    draw = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = draw.normal(size=(120, 6)).astype(np.float32)
    for name in ("old", "new"):
        np.savez(f"{name}.npz", x=x + 2 * (y[:, None] == np.arange(6)), y=y)
    trained = call(
        "train --arch foretoll:mlp?width=4 --data npz:old.npz --max-epochs 0.1 --energy none -q --out m"
    )
    assert trained.code == 0, trained.err
    return call


def test_values_of_flags(yard: Call) -> None:
    for flag, value in FLAGS:
        _one_line(yard, [*RETRAIN.split(), flag, value])
    assert not Path("o").exists()


def test_uris_and_specs(yard: Call) -> None:
    for uri in URIS:
        _one_line(yard, ["train", "--arch", "foretoll:mlp", "--data", uri, "--energy", "none", "-q"])
    for spec in SPECS:
        _one_line(yard, [spec if word == "m" else word for word in RETRAIN.split()])


def test_other_commands_and_the_environment(yard: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in COMMANDS:
        _one_line(yard, shlex.split(command))
    monkeypatch.setenv("FORETOLL_LEDGER", "\udcff")
    _one_line(yard, ["ledger", "list", "--outcome", LONG])
