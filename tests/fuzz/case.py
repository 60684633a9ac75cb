"""One hostile input: the command line and the files that it names; and values that break programs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CANARY = "CANARY"  # a file of this name in the case's folder: code from an input has run
QUIETLY = ["--energy", "none", "--region", "DE", "-q", "--out", "o"]
BRIEFLY = ["--max-epochs", "0.05", *QUIETLY]


@dataclass(frozen=True)
class Case:
    """What is typed, in the folder that holds the files.

    what: one line for a list. words: the command line without the program's name. env: environment on top.
    encoding: of the standard streams. names: one of them must stand in the message of a refusal.
    call: what is called in Python instead; `words` then only describe it. kept: the bytes of what the user handed
    over, which must be the same afterwards.
    """

    what: str
    words: list[str]
    env: dict[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()
    call: Callable[[], object] | None = None
    kept: Callable[[], bytes] | None = None


Kind = Callable[[random.Random, Path], Case]
"""Writes its files into the (current) folder, which holds `old.npz`, `new.npz` and the model folder `m` already."""


def train_on(uri: str, *, arch: str = "foretoll:mlp?width=4") -> list[str]:
    """Train on it: the quickest command that reads data whole."""
    return ["train", "--arch", arch, "--data", uri, *BRIEFLY]


def estimate(*, model: str = "m", source: str = "npz:old.npz", target: str = "npz:new.npz") -> list[str]:
    """A small estimate of the option head."""
    flags = ["-m", model, "-s", source, "-t", target, "-o", "head", "--samples", "40"]
    return ["estimate", *flags, *QUIETLY]


def retrain(*, model: str = "m", source: str = "npz:old.npz", target: str = "npz:new.npz") -> list[str]:
    """One step of the option head."""
    return ["retrain", "-m", model, "-s", source, "-t", target, "-o", "head", *BRIEFLY]


def either(draw: random.Random, **places: str) -> list[str]:
    """An estimate or a retraining."""
    return draw.choice((estimate, retrain))(**places)


def nested(depth: int) -> Any:
    """Lists within lists."""
    inner: Any = 1
    for _ in range(depth):
        inner = [inner]
    return inner


TEXTS = (
    "", " ", "x", "x" * 100_000, "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b2J", "a\nb", "a\rb", "\u202eabc",
    "[red]x[/red]", "[link=http://a.b]x[/link]", "[/]", "\udcff", "\ufeffx", "~nouser/x", "/dev/zero", "/", ".",
    "../..", "nan", "1e999", "-1", "%00", "%1b%5b31m", "{0}", "%s%n", "<script>alert(1)</script>", "os:system",
    "con", "é" * 300, "a/" * 3000, "𝔘𝔫𝔦", "\t",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2, 3, 255, 10**4, 10**6, 2**31, 2**32, 2**63, 2**64, 10**30, -(2**63), 0.5, -0.0, 1e-300, 1e38, 1e39,
    1e308, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip


def junk(draw: random.Random) -> Any:
    """A value that JSON can hold and nobody expects."""
    return draw.choice(
        (
            None,
            draw.random() < 0.5,
            draw.choice(NUMBERS),
            draw.choice(TEXTS),
            [],
            {},
            [draw.choice(NUMBERS) for _ in range(3)],
            [draw.choice(TEXTS) for _ in range(2)],
            {draw.choice(TEXTS): draw.choice(NUMBERS)},
            nested(draw.choice((5, 300))),
        )
    )


def places_of(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place within a JSON value, by keys and positions."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in [(*place, key), *places_of(item, (*place, key))]]


def mutated(draw: random.Random, value: Any, *, changes: int = 1) -> tuple[Any, str]:
    """A copy of a JSON value with some places changed or gone, and what was done."""
    copy, done = json.loads(json.dumps(value)), []
    for _ in range(changes):
        place = draw.choice(places_of(copy))
        holder = copy
        for key in place[:-1]:
            holder = holder[key]
        name = ".".join(map(str, place))
        if draw.random() < 0.1:
            del holder[place[-1]]
            done.append(f"{name} gone")
        else:
            holder[place[-1]] = junk(draw)
            done.append(f"{name}={holder[place[-1]]!r:.60}")
    return copy, ", ".join(done)


def as_json(value: Any) -> bytes:
    """As others' programs write it: NaN and lone surrogates as they come, UTF-8 where it can be."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def spoiled(draw: random.Random, content: bytes) -> tuple[bytes, str]:
    """The bytes of a file cut, flipped, filled with nothing or with something else."""
    kind = draw.choice(("cut", "flip", "many", "zeros", "grown", "empty", "random", "twice"))
    at = draw.randrange(max(len(content), 1))
    if kind == "cut":
        content = content[:at]
    elif kind == "flip":
        content = content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :]
    elif kind == "many":
        changed = bytearray(content)
        for _ in range(max(len(content) // 50, 1)):
            changed[draw.randrange(len(content))] = draw.randrange(256)
        content = bytes(changed)
    elif kind == "zeros":
        content = content[:at] + bytes(min(64, len(content) - at)) + content[at + 64 :]
    elif kind == "grown":
        content += draw.randbytes(100)
    elif kind == "random":
        content = draw.randbytes(len(content))
    elif kind == "twice":
        content *= 2
    else:
        content = b""
    return content, f"{kind} at {at}"


def file_name(draw: random.Random, suffix: str) -> str:
    """A name that a file can have."""
    stem = draw.choice(
        (
            "d",
            "a b",
            "é",
            "\x1b[31md",
            "a\nb",
            "\udcff",
            "[red]d",
            "\u202ed",
            "x" * 200,
            "#d",
            "d%20",
            "'d\"",
            "-d",
        )
    )
    return f"{stem}{suffix}"
