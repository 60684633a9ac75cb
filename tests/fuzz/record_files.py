"""Hostile ledgers, exports, estimates and study files."""

from __future__ import annotations

import gzip
import json
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from foretoll.exchange.reading import text_of_record

from .case import QUIETLY, TEXTS, Case, as_json, either, junk, mutated, retrain, spoiled
from .model_files import CODE, _evil

READING = (
    ["ledger", "list"], ["ledger", "show", "2"], ["ledger", "doctor"], ["ledger", "export", "e.jsonl"],
    ["study", "table", "l.db"], ["study", "score", "l.db", "--jobs", "1"], ["study", "plot", "l.db", "--out", "p.html"],
    ["study", "pack", "l.db", "--into", "packed"], ["ledger", "doctor", "--repair"], ["ledger", "list", "--json"],
)  # fmt: skip


def _reading(draw: random.Random) -> list[str]:
    words = list(draw.choice(READING))
    return [*words, "--ledger", "l.db"] if words[0] == "ledger" else words


def ledger_records(draw: random.Random, folder: Path) -> Case:
    """One record of the ledger changed by another program, or by a newer version."""
    with closing(sqlite3.connect(folder / "l.db")) as base:
        for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            base.execute(f"DROP TRIGGER {name}")
        table, key = draw.choice((("run_start", "id"), ("run_end", "run_id")))
        rows = f"SELECT {key}, {table}.record, run_start.record FROM {table}"
        rows += " JOIN run_start ON run_id = id" if table == "run_end" else ""
        run, text, start = draw.choice(base.execute(f"{rows} ORDER BY {key}").fetchall())
        if draw.random() < 0.6:
            record, what = mutated(draw, json.loads(text_of_record(text, start)), changes=draw.choice((1, 3)))
            changed: Any = json.dumps(record)
        else:
            changed = draw.choice(
                ("", "{}", "[", "null", text[:-100], b"\xff\xfe", "x" * 200_000, 5, "[" * 90_000)
            )
            what = f"{changed!r:.40}"
        base.execute(f"UPDATE {table} SET record = ? WHERE {key} = ?", (changed, run))
        if draw.random() < 0.3:
            column = draw.choice(("started_at", "option", "arch", "target", "host", "pid", "boot_id", "id"))
            value = draw.choice((*[t.replace("\udcff", "") for t in TEXTS], 5, b"\xff", "\x1b[31mx\n"))
            base.execute(f"UPDATE run_start SET {column} = ? WHERE id = ?", (value, run))
            what += f", {column}={value!r:.20}"
        base.commit()
    return Case(f"ledger {table} {what}", _reading(draw), names=("l.db", "ledger", "run"))


def ledger_file(draw: random.Random, folder: Path) -> Case:
    """The file spoiled, of another program, a device, a pipe, a folder, or of another version."""
    path = folder / "l.db"
    kind = draw.choice(
        ("spoiled", "spoiled", "fifo", "folder", "zero", "version", "views", "gone", "wal", "loop")
    )
    what = kind
    if kind == "spoiled":
        content, what = spoiled(draw, path.read_bytes())
        path.write_bytes(content)
    elif kind == "wal":
        (folder / "l.db-wal").write_bytes(draw.randbytes(5000))
    elif kind in ("version", "views"):
        with closing(sqlite3.connect(path)) as base:
            if kind == "version":
                value = draw.choice((999, -1, 77, 2**62))
                base.execute("INSERT OR REPLACE INTO foretoll_schema VALUES (?, ?)", (value, "\x1b[31m"))
            else:
                for name in ("run_tag", "run_end"):
                    base.execute(f"DROP TABLE {name}")
                base.execute("CREATE VIEW run_end AS WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n "
                             "LIMIT 5) SELECT x AS run_id FROM n")  # fmt: skip
            base.commit()
    else:
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind != "gone":
            path.symlink_to("/dev/zero" if kind == "zero" else "l.db")
    return Case(f"ledger file {what}", _reading(draw), names=("l.db", "ledger", "run"))


def exports(draw: random.Random, folder: Path) -> Case:
    """Lines of an export changed; compressed, endless, of another kind."""
    lines = (folder / "runs.jsonl").read_bytes().splitlines()
    kind = draw.choice(("change", "change", "spoiled", "line", "gz", "endless", "id"))
    name, what = "d.jsonl", kind
    if kind in ("change", "id"):
        at = draw.randrange(len(lines))
        record = json.loads(lines[at])
        if kind == "change":
            record, what = mutated(draw, record)
        else:
            record["id"] = draw.choice(TEXTS)
            what = f"id {record['id']!r:.30}"
        lines[at] = as_json(record)
    elif kind == "line":
        lines.insert(
            1, draw.choice((b"", b"null", b"[" * 90_000, b"\xff", b"{}", b"1" * 5000, b"x" * 5_000_000))
        )
    content = b"\n".join(lines) + b"\n"
    if kind == "spoiled":
        content, what = spoiled(draw, content)
    elif kind == "gz":
        name = "d.jsonl.gz"
        content = gzip.compress(content, mtime=0)
        content = draw.choice((content[:-20], content + b"more", b"x" + content, gzip.compress(content)))
    (folder / name).write_bytes(content)
    if kind == "endless":
        name = draw.choice(("/dev/zero", "/dev/null", "gone.jsonl", "."))
    words = draw.choice((["ledger", "import", name], ["ledger", "import", name], ["study", "table", name]))
    return Case(f"export {what}", words, names=(name, "d.jsonl", "run"))


def estimates(draw: random.Random, folder: Path) -> Case:
    """An estimate.json to be shown beside a run."""
    content = json.loads((folder / "estimate.json").read_text())
    changed, what = mutated(draw, content, changes=draw.choice((1, 3)))
    (folder / "e.json").write_bytes(as_json(changed))
    if draw.random() < 0.2:
        text, what = spoiled(draw, (folder / "e.json").read_bytes())
        (folder / "e.json").write_bytes(text)
    return Case(f"estimate.json {what}", [*retrain(), "--estimate", "e.json"], names=("e.json",))


def energy_series(draw: random.Random, folder: Path) -> Case:
    """A recorded series of energy."""
    content: Any = draw.choice(
        (
            {"watts": junk(draw)},
            {"joules": junk(draw)},
            {"joules": {"training": junk(draw), "evaluation": [1.0, 1.0, 1.0]}},
            {"joules": {}, "watts": 1},
            junk(draw),
        )
    )
    (folder / "s.json").write_bytes(as_json(content))
    words = [word for word in retrain() if word not in ("--energy", "none")]
    return Case(
        f"replay {content!r:.60}", [*words, "--energy", "replay:s.json"], names=("s.json", "energy", "replay")
    )


STUDY = '''schema = "foretoll.study/1"
name = "tiny"
[models]
mlp = "foretoll:mlp?width=4"
[[sources]]
name = "old"
source = "npz:old.npz"
target = "npz:new.npz"
[shifts]
gaussian_noise = [0.2]
inversion = [0.6, 1.0]
[settings]
batch_size = 32
max_epochs = 0.1
[source_training]
batch_size = 32
max_epochs = 0.1
[design]
seeds = [0, 1]
options = ["head"]
'''  # fmt: skip


def _toml(value: Any) -> str:
    """A value as TOML has it; what TOML has not (null) as a text."""
    if isinstance(value, float):
        return repr(value)
    text = json.dumps(value if value is not None else "null")
    return (
        text.replace("null", "0")
        .replace("Infinity", "inf")
        .replace("NaN", "nan")
        .replace("\\udcff", "\\ufffd")
    )


def studies(draw: random.Random, folder: Path) -> Case:
    """A study file with values of other kinds, names of code, or hardly TOML."""
    _evil(folder)
    text, what = STUDY, draw.choice(("value", "value", "value", "code", "spoiled", "more", "name", "size"))
    kind = what
    if kind == "value":
        lines = text.splitlines()
        at = draw.choice([i for i, line in enumerate(lines) if "=" in line])
        key = lines[at].partition(" =")[0]
        lines[at] = f"{key} = {_toml(junk(draw))}"
        text, what = "\n".join(lines), lines[at][:60]
    elif kind == "code":
        arch, options = draw.choice(CODE)
        query = "&".join(f"{k}={v}" for k, v in options.items())
        text = text.replace("foretoll:mlp?width=4", f"{arch}?{query}".replace('"', "'"))
        what = f"code {arch}"
    elif kind == "size":
        old, new = draw.choice(
            (("width=4", "width=99999999"), ("[0, 1]", str(list(range(20_000)))), ("[0, 1]", "[0, 0]"),
             ("max_epochs = 0.1", "max_epochs = 1e9"), ("batch_size = 32", "batch_size = 1"),
             ("[0.2]", "[" * 200 + "]" * 200))
        )  # fmt: skip
        text, what = text.replace(old, new), f"{old} -> {new[:30]}"
    elif kind == "more":
        text = draw.choice(("x = 1\n", "[more]\na = 1\n", "[[[", "\x1b[31m = 1\n")) + text
    elif kind == "name":
        text = text.replace('"tiny"', json.dumps(draw.choice(TEXTS)).replace("\\udcff", "\\ufffd"))
    content = text.encode("utf-8", "replace")
    if kind == "spoiled":
        content, what = spoiled(draw, content)
    (folder / "s.toml").write_bytes(content)
    rest = ["--plan"] if draw.random() < 0.8 else ["--limit", "1"]
    flags = ["--energy", "none", "--region", "DE", "-q", "--out", "so", *rest]
    return Case(
        f"study {what}", ["study", "run", "s.toml", *flags], names=("s.toml", "study", "failed", "width")
    )


def study_places(draw: random.Random, folder: Path) -> Case:
    """A study file that is a device, a pipe, a folder, or nothing."""
    kind = draw.choice(
        ("/dev/zero", "/dev/null", "fifo", "folder", "gone.toml", "", "x" * 5000, "\x1b[31m.toml")
    )
    name = kind
    if kind == "fifo":
        name = "f.toml"
        os.mkfifo(folder / name)
    elif kind == "folder":
        name = "f.toml"
        (folder / name).mkdir()
    return Case(f"study file {kind!r:.30}", ["study", "run", name, "--plan"], names=(name[-10:-5], "study"))


def own_runs(draw: random.Random, folder: Path) -> Case:
    """A damaged ledger that a forecast should rest on."""
    case = ledger_records(draw, folder)
    words = either(draw)
    assert QUIETLY[-1] in words
    return Case(f"{case.what}, then {words[0]}", [*words, "--ledger", "l.db"], names=case.names)


KINDS = (
    ledger_records, ledger_records, ledger_file, exports, exports, estimates, energy_series, studies, studies,
    study_places, own_runs,
)  # fmt: skip
HEAVY: tuple[Any, ...] = ()
