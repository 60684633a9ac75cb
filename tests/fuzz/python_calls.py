"""Hostile calls in Python: arguments, settings, records that are read again, and the folders of strangers."""

from __future__ import annotations

import contextlib
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .case import NUMBERS, TEXTS, Case, as_json, junk, mutated
from .python_data import arrays, datasets, frames, quiet, settings
from .python_networks import networks

KEYWORDS: dict[str, tuple[str, ...]] = {
    "estimate": (
        "option",
        "also",
        "until",
        "task",
        "settings",
        "lr",
        "calibrate_for",
        "samples",
        "weights",
        "embedding_layer",
        "head",
        "device",
        "accounting",
        "engine",
        "hardware",
    ),
    "retrain": (
        "option",
        "until",
        "task",
        "settings",
        "lr",
        "weights",
        "embedding_layer",
        "head",
        "device",
        "accounting",
        "out",
        "tags",
    ),
    "compare": (
        "options",
        "until",
        "settings",
        "samples",
        "budget",
        "requests",
        "confidence",
        "measure",
        "out",
        "lr",
    ),
}
FIELDS = (
    "until",
    "metric",
    "max_epochs",
    "evals_per_epoch",
    "first_evaluation",
    "batch_size",
    "lr",
    "optimizer",
    "momentum",
    "weight_decay",
    "seed",
)
SAFE = tuple(text for text in TEXTS if text not in ("/", ".", "../..", "/dev/zero"))


def arguments(draw: random.Random, _: Path) -> Case:
    """Keywords and settings with values that are out of range, or that make no sense."""
    import foretoll

    door = draw.choice(list(KEYWORDS))
    key = draw.choice(KEYWORDS[door])
    number = draw.choice(NUMBERS)
    value: Any = {
        **dict.fromkeys(("until", "confidence"), number),
        **dict.fromkeys(("samples", "requests"), int(number) if abs(number) < 10**40 else 10**40),
        **dict.fromkeys(("also", "options", "tags"), (draw.choice(SAFE), draw.choice(SAFE))),
        "lr": draw.choice((number, draw.choice(SAFE))),
        "task": draw.choice((True, False)),
        "measure": True,
    }.get(key, draw.choice(SAFE))
    field = draw.choice(FIELDS) if key == "settings" or draw.random() < 0.3 else None
    account = draw.choice(("energy", "region", "pue", "intensity_g_per_kwh", "year"))
    if field is not None:
        value = junk(draw)
    elif key == "accounting":
        value = draw.choice(SAFE) if account in ("energy", "region") else number

    def call() -> object:
        more = quiet(**({"option": "head"} if door != "compare" else {"options": ["keep"]}))
        if field is not None:
            more["settings"] = _validated(lambda: settings(**{field: value}))
        elif key == "accounting":
            more[key] = foretoll.Accounting(**{"energy": "none", "region": "DE", account: value})
        else:
            more[key] = value
        function: Any = getattr(foretoll, door)
        return repr(function("m", "npz:old.npz", "npz:new.npz", **more))

    name = field or (account if key == "accounting" else key)
    names = (name, name.split("_")[0].rstrip("s"), "option", str(value).strip()[:4])
    return Case(f"{door}({name}={value!r:.40})", ["python", door], names=names, call=call)


def _validated(make: Callable[[], Any]) -> Any:
    """A record that refuses its values does so in pydantic's words, which are for programmers."""
    from pydantic import ValidationError

    from foretoll.errors import UsageError

    try:
        return make()
    except ValidationError as error:
        first = error.errors()[0]  # one of the whole record has no place, and says it in words
        raise UsageError(f"{first['loc'] or first['msg']}: value") from None


def records_again(draw: random.Random, folder: Path) -> Case:
    """estimate.json and comparison.json that are read again, shown, and made into a page."""
    from foretoll.report import read_comparison, read_estimate, write_report

    kind = draw.choice(("estimate", "comparison"))
    content, what = mutated(
        draw, json.loads((folder / f"{kind}.json").read_text()), changes=draw.choice((1, 1, 3))
    )
    path = folder / f"{kind}.json"
    path.write_bytes(as_json(content) if draw.random() < 0.9 else path.read_bytes()[: draw.randrange(5000)])

    def call() -> object:
        from rich.console import Console

        record: Any = read_estimate(path) if kind == "estimate" else read_comparison(path)
        Console().print(record)
        write_report("page.html", **{kind: record})
        page = Path("page.html").read_text(encoding="utf-8")
        return f"{len(page)} {'<script>alert' in page}"

    return Case(f"{kind}.json {what}", ["python", "read", kind], names=(f"{kind}.json", kind), call=call)


def checkpoints(draw: random.Random, folder: Path) -> Case:
    """Folders and weights of strangers, through `load_model`."""
    from tests.models import hostile

    import foretoll

    hostile.write_module(folder)
    if draw.random() < 0.6:
        name = draw.choice(list(hostile.CHECKPOINTS))
        hostile.CHECKPOINTS[name](folder / "m", folder / "bad")
        return Case(
            f"load_model({name})",
            ["python", "load_model"],
            names=(
                "bad",
                "foretoll:",
                *(word for word in name.split() if len(word) > 3),
            ),  # the folder, its architecture, or the field that lies
            call=lambda: repr(foretoll.load_model("bad")),
        )
    from safetensors.torch import load_file

    name = draw.choice(list(hostile.WEIGHTS))
    with contextlib.suppress(pickle.PicklingError):
        hostile.WEIGHTS[name](dict(load_file(folder / "m" / "model.safetensors")), folder / "bad.pt")
    return Case(
        f"load_model(weights: {name})",
        ["python", "load_model"],
        names=("bad.pt", "memory"),
        call=lambda: repr(
            foretoll.load_model(
                "foretoll:mlp?width=4", data=foretoll.open_data("npz:old.npz"), weights="bad.pt"
            )
        ),
    )


KINDS = (
    frames,
    frames,
    arrays,
    arrays,
    datasets,
    datasets,
    networks,
    networks,
    networks,
    arguments,
    arguments,
    records_again,
    checkpoints,
    checkpoints,
)
HEAVY: tuple[Any, ...] = ()
