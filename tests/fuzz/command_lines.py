"""Hostile command lines: flags, data URIs, environments, streams."""

from __future__ import annotations

import random
from pathlib import Path

from .case import NUMBERS, QUIETLY, TEXTS, Case, either, estimate, retrain, train_on

NUMERIC = (
    "--lr", "--batch-size", "--max-epochs", "--weight-decay", "--seed", "--until", "--pue", "--intensity", "--year",
    "--samples", "--confidence", "--requests",
)  # fmt: skip
TEXTUAL = (
    "--metric", "--optimizer", "--device", "--energy", "--region", "--head", "--embedding-layer", "--weights",
    "--ledger", "--out", "--engine", "--hardware", "--option", "--calibrate", "--budget", "--source", "--target", "-m",
    "--estimate",
)  # fmt: skip
OWN = {  # values with a meaning, bent
    "--energy": (
        "replay:/dev/zero",
        "replay:",
        "watts:nan",
        "watts:-1",
        "watts:1e400",
        "replay:m",
        "nvml",
        "none:1",
    ),
    "--device": ("cuda:99", "cpu:1", "mps", "meta", "cuda:-1", "cpu\x1b[31m"),
    "--engine": ("processes:0", "processes:99999999", "processes:-1", "local:2", "ray://", "processes:²"),
    "--calibrate": ("1m", "-1runs", "0min", "1e99runs", "nanmin", "6 runs", "99999999999runs"),
    "--budget": ("-1kWh", "nan", "1e999kWh", "50", "0g", "1min1s"),
    "--out": ("/dev/null", "/dev/zero/x", "old.npz", "/proc/x", "o/" * 500, ""),
    "--weights": ("m", "/dev/zero", "old.npz", "gone.pt", "m/model.json", "."),
    "--ledger": (
        "/dev/zero",
        "m",
        "nosuch://a/b",
        "postgresql://\x1b[31m",
        "sqlite:///",
        "http://a",
        "sqlite://",
    ),
    "--region": ("DE-XX", "Germoney", "US-", "DEU\x1b[31m"),
    "--option": ("keep", "fintune", "head,lora", "scratch+head", "reprogram+"),
    "--hardware": ("H100", "host@h100", "a@b@c", "{}", "old.npz"),
}
_OF = {
    "estimate": {"--calibrate", "--samples", "--engine", "--hardware"},
    "compare": {"--budget", "--requests", "--confidence", "--samples"},
    "retrain": {"--estimate"},
}
HERE = tuple(text for text in TEXTS if text not in ("/", ".", "../.."))  # nothing is written elsewhere


def _door(draw: random.Random, flag: str) -> list[str]:
    door = next((name for name, flags in _OF.items() if flag in flags), draw.choice(("estimate", "retrain")))
    if door == "compare":
        return ["compare", "-m", "m", "-s", "npz:old.npz", "-t", "npz:new.npz", "-o", "keep", *QUIETLY]
    return estimate() if door == "estimate" else retrain()


def flags(draw: random.Random, _: Path) -> Case:
    """One or two flags with values that are out of range, of another kind, or very long."""
    chosen = draw.choice(NUMERIC if draw.random() < 0.4 else TEXTUAL)
    if chosen in NUMERIC and draw.random() < 0.8:
        value = str(draw.choice(NUMBERS))
    elif chosen in OWN and draw.random() < 0.5:
        value = draw.choice(OWN[chosen])
    else:
        value = draw.choice(HERE if chosen == "--out" else TEXTS)
    words = _door(draw, chosen)
    alias = {"--option": "-o", "--source": "-s", "--target": "-t"}.get(chosen, chosen)
    if alias in words:
        at = words.index(alias)
        del words[at : at + 2]
    words.append(f"{chosen}={value}" if chosen.startswith("--") else f"{chosen}{value}")
    where = ("data URI",) if chosen in ("--source", "--target") else ()
    names = (chosen, chosen.strip("-").split("-")[0], value.strip()[:4], *where)
    return Case(f"{words[0]} {chosen}={value!r:.50}", words, names=names)


def words(draw: random.Random, _: Path) -> Case:
    """Commands and flags that there are not."""
    text = draw.choice(TEXTS)
    line = draw.choice(
        (
            [text], ["estimate", text], ["estimate", f"--{text}"], ["ledger", text], ["study", "run", text],
            ["ledger", "show", text], ["ledger", "list", "--tag", text], ["ledger", "list", "--outcome", text],
            ["ledger", "list", "--limit", text], ["ledger", "import", text], ["ledger", "export", text],
            ["study", "table", text], ["study", "table", "l.db", "--cost", text], ["study", "plot", text],
            ["study", "score", text], ["study", "score", "l.db", "--option", text],
            ["study", "pack", text, "--into", "packed"],
            ["study", "score", "l.db", "--jobs", str(draw.choice((0, -1, 999_999)))], ["ledger", "export", "/"],
            ["ledger", "export", "."], ["ledger", "export", ""], ["demo", text],
            ["ledger", "import", "/dev/zero"], ["train", "--arch", text, "--data", "npz:old.npz", *QUIETLY], [],
            ["study", "run", "small", "--limit", "-1", "--plan"], ["study", "table", "l.db", "--option", text],
        )
    )  # fmt: skip
    return Case(f"words {line!r:.60}", line)


KEYS = (
    "split", "limit", "classes", "shift", "part", "where", "rows", "kind", "label", "seed", "size", "root", "config",
    "download", "columns", "drop",
)  # fmt: skip
VALUES = (
    "0", "-1", "1", "2", "9" * 60, "nan", "1/2", "2/1", "0/0", "1/99999999", "²", "a:b", ":", "0:5", "5:0",
    "0:99999999", "0x0", "99999999x99999999", "a,a", ",", "gaussian_noise:1e308", "gaussian_noise:0.3", "contrast:nan",
    "label:0", "shot_noise:1e-300", "rotation:1e300", "label!0", "x:y|", "image", "vector", "1e9", "%", "%zz", "%00",
    "\udcff",
)  # fmt: skip


def uris(draw: random.Random, _: Path) -> Case:
    """Schemes, paths, keys and values of a data URI."""
    kind = draw.choice(("key", "key", "key", "path", "scheme", "many", "digits"))
    key, value = draw.choice((*KEYS, "", "x" * 300)), draw.choice((*VALUES, *TEXTS))
    uri = {
        "key": f"npz:old.npz?{key}={value}",
        "digits": f"digits?{key}={value}&limit=100",
        "path": f"{draw.choice(('npz', 'folder', 'parquet', 'hf', 'csv'))}:{value}",
        "scheme": f"{value}:old.npz",
        "many": "npz:old.npz?" + "&".join(f"{k}={value}" for k in KEYS * draw.choice((1, 30))),
    }[kind]
    words = train_on(uri) if draw.random() < 0.7 else either(draw, target=uri)
    return Case(
        f"uri {uri!r:.70}", words, names=(uri[:3], "data URI", key, value.strip()[:4], "column of old")
    )


VARIABLES = (
    "FORETOLL_LEDGER", "FORETOLL_REGION", "FORETOLL_PUE", "FORETOLL_DATA", "XDG_DATA_HOME", "HOME", "COLUMNS", "LANG",
    "CODECARBON_FORCE_CPU_POWER", "CODECARBON_FORCE_RAM_POWER", "CODECARBON_TRACKING_MODE", "CODECARBON_GPU_IDS",
    "CODECARBON_OUTPUT_DIR", "CODECARBON_LOG_LEVEL", "CODECARBON_RAPL_INCLUDE_DRAM", "CODECARBON_PUE", "TMPDIR",
    "CUDA_VISIBLE_DEVICES", "TERM", "NO_COLOR", "TZ", "CODECARBON_MEASURE_POWER_SECS",
)  # fmt: skip


def environment(draw: random.Random, _: Path) -> Case:
    """Variables of the environment that are nonsense."""
    name = draw.choice(VARIABLES)
    value = draw.choice(
        [t for t in HERE if len(t) < 5000] + ["0", "-100", "1e400", "0.5", "gone/x", "cuda:99"]
    )
    words = draw.choice((estimate(), retrain(), ["ledger", "list"]))
    env = {name: value}
    if name in ("HOME", "XDG_DATA_HOME"):
        env["FORETOLL_LEDGER"] = ""
    if "--region" in words and name in ("FORETOLL_REGION", "FORETOLL_PUE"):
        at = words.index("--region")
        del words[at : at + 2]
    if name.startswith("CODECARBON"):
        words = [*[word for word in retrain() if word not in ("--energy", "none")], "--energy", "codecarbon"]
    return Case(f"{name}={value!r:.40}", words, env=env, names=(name, value.strip()[:4], name[9:13].lower()))


CONFIGURATIONS = (
    "[codecarbon]\nproject_name = 50% run\n", "[codecarbon]\na=1\n[codecarbon]\nb=2\n", "measure_power_secs=15\n",
    "[codecarbon]\na=1\na=2\n", "\0\0\0", "[codecarbon]\ntracking_mode = \x1b[31m\n", "[codecarbon\n",
    "[codecarbon]\nforce_cpu_power = much\n", "[codecarbon]\ngpu_ids = a,b\n", "[other]\nx = %(y)s\n", "é" * 50,
)  # fmt: skip


def configuration(draw: random.Random, folder: Path) -> Case:
    """A configuration of CodeCarbon in the way."""
    text = draw.choice(CONFIGURATIONS)
    place = folder / ".codecarbon.config"
    kind = draw.choice(("text", "text", "text", "latin", "folder", "loop"))
    if kind == "folder":
        place.mkdir()
    elif kind == "loop":
        place.symlink_to(place.name)
    else:
        place.write_bytes(text.encode("latin-1" if kind == "latin" else "utf-8"))
    words = [word for word in retrain() if word not in ("--energy", "none")]
    return Case(f".codecarbon.config {kind} {text!r:.40}", words, names=(".codecarbon.config",))


def streams(draw: random.Random, _: Path) -> Case:
    """A terminal of another encoding, with everything that is shown."""
    encoding = draw.choice(("ascii", "latin-1", "cp1252", "cp437", "gbk", "cp932", "cp850", "koi8-r"))
    line = draw.choice(
        (
            [word for word in estimate() if word != "-q"], [word for word in retrain() if word != "-q"],
            ["ledger", "list", "--ledger", "l.db"], ["ledger", "show", "2", "--ledger", "l.db"], ["estimate", "--help"],
            [*estimate(), "--json"], ["study", "table", "l.db"], ["indices"], ["ledger", "list", "--json"],
            ["estimate", "--µ"], ["ledger", "show", "µ…𝔘", "--ledger", "l.db"], train_on("npz:µ…𝔘.npz"),
        )
    )  # fmt: skip
    return Case(f"{encoding}: {' '.join(line)[:40]!r}", line, encoding=encoding)


KINDS = (
    flags,
    flags,
    flags,
    flags,
    words,
    words,
    uris,
    uris,
    uris,
    environment,
    environment,
    configuration,
    streams,
)
HEAVY: tuple[object, ...] = ()
