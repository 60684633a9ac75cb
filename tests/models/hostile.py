"""Checkpoints and weights from a stranger: generators of files that lie, swell, hang, or name code to run.

`CHECKPOINTS` make a checkpoint folder out of a good one, `WEIGHTS` a weights file out of a good state dict. What names
code would make the file CANARY in the current folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file

CANARY = "CANARY"
MODULE = "a_module_that_lies_around"  # in the current folder, see `write_module`

Json = dict[str, Any]
MakeCheckpoint = Callable[[Path, Path], None]


def write_module(folder: Path) -> None:
    """A module that makes CANARY when it is imported."""
    text = f"from pathlib import Path\nPath({CANARY!r}).touch()\ndef build(num_classes=2, **rest):\n    return 1\n"
    (folder / f"{MODULE}.py").write_text(text, encoding="utf-8")


def card_of(folder: Path) -> Json:
    """The card of a checkpoint folder."""
    card: Json = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return card


def write_checkpoint(good: Path, folder: Path, inside: Json | str, beside: Json | str | None = None) -> None:
    """The good checkpoint with other cards: `inside` the weights, and `beside` them (None: the same)."""
    shutil.copytree(good, folder)
    inner = inside if isinstance(inside, str) else json.dumps(inside)
    outer = inner if beside is None else beside if isinstance(beside, str) else json.dumps(beside)
    (folder / "model.json").write_text(outer, encoding="utf-8")
    weights = load_file(good / "model.safetensors")
    save_file(weights, folder / "model.safetensors", metadata={"foretoll": inner, "format": "pt"})


def nested(card: Json, source: Json, **changes: Any) -> Json:
    """A card of a reprogrammed model around `source`."""
    program = {"program": "pad", "mapping": "identity", "source": source, **changes}
    return {**card, "program": program}


_CODE: dict[str, tuple[str, Json]] = {
    "a command of the shell": ("os:system", {"command": f"touch {CANARY}"}),
    "another name of it": ("posix:system", {"command": f"touch {CANARY}"}),
    "a command without a shell": ("subprocess:getoutput", {"cmd": f"touch {CANARY}"}),
    "a built-in": ("builtins:exec", {"source": f"open({CANARY!r}, 'w')"}),
    "a script": ("runpy:run_path", {"path_name": f"{MODULE}.py"}),
    "a module in the current folder": (f"{MODULE}:build", {}),
    "a module and no such function": (f"{MODULE}:nothing.at.all", {}),
    "torch.hub": ("torch.hub:load", {"repo_or_dir": ".", "model": "build", "source": "local"}),
    "a library's builder": (
        "timm.models:create_model",
        {"model_name": "resnet18", "checkpoint_path": "evil.pt"},
    ),
    "foretoll itself": ("foretoll.cli:main", {}),
    "a scheme for modules": ("module:" + MODULE, {}),
    "a scheme that sounds like one": ("module.sub:" + MODULE, {}),
}


def _code(name: str, door: str) -> MakeCheckpoint:
    arch, options = _CODE[name]

    def make(good: Path, folder: Path) -> None:
        card = card_of(good)
        evil = {**card, "arch": arch, "arch_options": options}
        if door == "card":
            write_checkpoint(good, folder, evil)
        elif door == "header":
            write_checkpoint(good, folder, evil, card)
        elif door == "card without a header":
            shutil.copytree(good, folder)
            save_file(load_file(good / "model.safetensors"), folder / "model.safetensors")
            (folder / "model.json").write_text(json.dumps(evil), encoding="utf-8")
        else:
            write_checkpoint(good, folder, nested(card, nested(card, evil) if door == "deep" else evil))

    return make


CODE: dict[str, MakeCheckpoint] = {
    **{f"{name} ({door})": _code(name, door) for name in _CODE for door in ("card", "header", "nested")},
    "a command of the shell (card without a header)": _code(
        "a command of the shell", "card without a header"
    ),
    "a command of the shell (deep)": _code("a command of the shell", "deep"),
}
"""Checkpoints that name code to run."""


def header_of(folder: Path) -> dict[str, str]:
    """The texts in the header of a checkpoint's weights."""
    with safe_open(folder / "model.safetensors", framework="pt") as content:
        return content.metadata() or {}
