"""Checkpoints and weights from a stranger: generators of files that lie, swell, hang, or name code to run.

`CHECKPOINTS` make a checkpoint folder out of a good one, `WEIGHTS` a weights file out of a good state dict. What names
code would make the file CANARY in the current folder.
"""

from __future__ import annotations

import functools
import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
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


def _changed(**changes: Any) -> MakeCheckpoint:
    """The good card with other values, in both of its places."""

    def make(good: Path, folder: Path) -> None:
        write_checkpoint(good, folder, {**card_of(good), **changes})

    return make


def _plan(**changes: Any) -> MakeCheckpoint:
    """The good card with another preprocessing."""

    def make(good: Path, folder: Path) -> None:
        card = card_of(good)
        write_checkpoint(good, folder, {**card, "preprocessing": {**card["preprocessing"], **changes}})

    return make


def _text(change: Callable[[str], str]) -> MakeCheckpoint:
    """The good card as other text, in both of its places."""

    def make(good: Path, folder: Path) -> None:
        write_checkpoint(good, folder, change((good / "model.json").read_text(encoding="utf-8")))

    return make


def _program(depth: int, **changes: Any) -> MakeCheckpoint:
    def make(good: Path, folder: Path) -> None:
        card = text = card_of(good)
        for _ in range(depth):
            text = nested(card, text, **changes)
        write_checkpoint(good, folder, text)

    return make


def _header(content: bytes, *, claimed: int | None = None, body: bytes = b"") -> MakeCheckpoint:
    """Weights with a header of this content, which may claim another length."""

    def make(good: Path, folder: Path) -> None:
        shutil.copytree(good, folder)
        length = struct.pack("<Q", len(content) if claimed is None else claimed)
        (folder / "model.safetensors").write_bytes(length + content + body)

    return make


def _tensors(entry: Json, body: bytes = b"") -> MakeCheckpoint:
    return _header(json.dumps({"w": entry}).encode(), body=body)


def _sparse_file(good: Path, folder: Path) -> None:
    """20 GB of zeros that take no room on the disk, in a valid file."""
    shutil.copytree(good, folder)
    size = 20 * 2**30
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)


def _devices(name: str) -> MakeCheckpoint:
    def make(good: Path, folder: Path) -> None:
        shutil.copytree(good, folder)
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")

    return make


LONG = "x" * 100_000
ESCAPES = "\x1b[31m\x07\n\u202e\x1b]0;title\x07"
_F32 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}

LYING: dict[str, MakeCheckpoint] = {
    "width of 1e9": _changed(arch_options={"width": 10**9}),
    "width of 1e5": _changed(arch_options={"width": 10**5}),
    "width of 1e400": _text(lambda text: text.replace('"width": 8', '"width": 1e400')),
    "depth of 100000": _changed(arch_options={"depth": 100_000}),
    "depth of 900": _changed(arch_options={"width": 20_000, "depth": 900}),
    "negative width": _changed(arch_options={"width": -1}),
    "another architecture": _changed(arch="foretoll:resnet", arch_options={"width": 4_000}),
    "a vit of many tokens": _changed(arch="foretoll:vit", arch_options={"patch": 1, "dim": 100_000}),
    "a huge torchvision": _changed(arch="torchvision:regnet_y_128gf", arch_options={}),
    "an unknown option": _changed(arch_options={LONG: 1}),
    "an unknown architecture": _changed(arch="foretoll:" + ESCAPES),
    "no architecture": _changed(arch=""),
    "a long architecture": _changed(arch=LONG),
    "1e9 classes": _changed(num_classes=10**9),
    "no classes": _changed(classes=[]),
    "one class": _changed(classes=["a"]),
    "zero classes": _changed(num_classes=0, classes=[]),
    "more classes than the head has": _changed(num_classes=11, classes=[str(i) for i in range(11)]),
    "a head of a long name": _changed(head=LONG),
    "a head with escapes": _changed(head=ESCAPES),
    "size of 1e9": _plan(size=[10**9, 10**9]),
    "size of 1e5": _plan(size=[10**5, 10**5]),
    "resized to 1e9": _plan(fit="cover", resize=[10**9, 10**9]),
    "size of -6": _plan(size=[-6, 8]),
    "size of 0": _plan(size=[0, 8]),
    "a vector of 1e9": _plan(kind="vector", size=[10**9], channels=None, mean=[], std=[]),
    "1e9 channels": _plan(channels=10**9),
    "mismatched mean": _plan(mean=[0.0, 0.0, 0.0], std=[1.0]),
    "mean of 1e308": _plan(mean=[1e308]),
    "mean of NaN": _text(lambda text: text.replace('"mean": [', '"mean": [NaN, ')),
    "std of infinity": _text(lambda text: text.replace('"std": [', '"std": [Infinity, ')),
    "an extra name with escapes": _changed(**{ESCAPES: 1}),
    "an extra name of 100 kB": _changed(**{LONG: 1}),
    "a name twice": _text(lambda text: text.replace('"arch":', '"arch": "foretoll:mlp", "arch":', 1)),
    "deep lists": _text(lambda text: '{"arch": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "deep objects": _text(lambda text: '{"program": {"source": ' * 10_000),
    "no JSON": _text(lambda text: text[:100]),
    "not UTF-8": _text(lambda text: '{"arch": "\\ud800"}'),
    "a list": _text(lambda text: "[1, 2]"),
    "six programs": _program(6, program_options={"channels": 1, "size": [8, 8], "inner": [6, 6]}),
    "ninety programs": _program(90),
    "a huge program": _program(1, program="full", program_options={"channels": 1, "size": [60_000, 60_000]}),
    "a huge frame": _program(1, program_options={"channels": 1, "size": [90_000, 90_000], "inner": [8, 8]}),
    "an unknown program": _program(1, program=ESCAPES),
    "an unknown mapping": _program(1, mapping=LONG),
    "a header of 2^63 bytes": _header(b"{}", claimed=2**63),
    "a header of 1 GB": _header(b"{}", claimed=2**30),
    "a header of no JSON": _header(b"((((((((" * 8),
    "a header of 10 MB of brackets": _header(b"[" * 10_000_000),
    "no header": _header(b"", claimed=0),
    "an empty file": _header(b"", claimed=0, body=b""),
    "offsets beyond the end": _tensors({**_F32, "data_offsets": [0, 2**40]}, bytes(16)),
    "offsets backwards": _tensors({**_F32, "data_offsets": [16, 0]}, bytes(16)),
    "a shape that overflows": _tensors({**_F32, "shape": [2**62, 4]}, bytes(16)),
    "an unknown dtype": _tensors({**_F32, "dtype": ESCAPES}, bytes(16)),
    "8-bit floats": _tensors({**_F32, "dtype": "F8_E4M3", "shape": [16]}, bytes(16)),
    "another tensor": _tensors(_F32, bytes(16)),
    "a tensor of 20 GB": _sparse_file,
    "endless weights": _devices("model.safetensors"),
    "an endless card": _devices("model.json"),
}  # fmt: skip
"""Checkpoints whose card or header lies about sizes, names or counts."""

CHECKPOINTS: dict[str, MakeCheckpoint] = {**CODE, **LYING}

State = dict[str, torch.Tensor]
MakeWeights = Callable[[State, Path], None]  # a good state dict, and the file to write


def _saved(change: Callable[[State], object]) -> MakeWeights:
    def make(state: State, file: Path) -> None:
        torch.save(change(dict(state)), file)

    return make


def _itself(state: State, file: Path) -> None:
    content: dict[str, object] = {"epoch": 1}
    content["state_dict"] = content
    torch.save(content, file)


def _bomb(state: State, file: Path) -> None:
    """A file of `torch.save` whose tensor is 64 MB of zeros, compressed a thousandfold."""
    torch.save({"w": torch.zeros(4)}, file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            with archive.open(name, "w", force_zip64=True) as stream:
                if name.endswith("data/0"):
                    for _ in range(64):
                        stream.write(bytes(2**20))
                else:
                    stream.write(content)


def _overlapping(state: State, file: Path) -> None:
    """An archive whose parts are all the same bytes."""
    torch.save(state, file)
    with zipfile.ZipFile(file) as archive:
        first = max(archive.infolist(), key=lambda part: part.file_size)
    with zipfile.ZipFile(file, "a") as archive:
        for i in range(5_000):
            twin = zipfile.ZipInfo(f"archive/data/{100 + i}")
            twin.file_size = twin.compress_size = first.file_size
            twin.header_offset, twin.CRC = first.header_offset, first.CRC
            archive.filelist.append(twin)
        archive._didModify = True  # type: ignore[attr-defined]  # the list alone is written anew


def _huge_file(state: State, file: Path) -> None:
    """20 GB of zeros that take no room on the disk, in a valid archive."""
    torch.save({"w": torch.zeros(4)}, file)
    with file.open("r+b") as stream:
        stream.truncate(20 * 2**30)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(CANARY),)


def _pickled(state: State, file: Path) -> None:
    file.write_bytes(pickle.dumps({"state_dict": state, "extra": _Evil()}))


WEIGHTS: dict[str, MakeWeights] = {
    "a dict that holds itself": _itself,
    "a bomb": _bomb,
    "an archive that claims more than there is": _overlapping,
    "20 GB": _huge_file,
    "code": _saved(lambda state: {**state, "extra": _Evil()}),
    "an old pickle with code": _pickled,
    "a sparse tensor": _saved(lambda state: {n: v.to_sparse() for n, v in state.items()}),
    "a sparse tensor of 1e18": _saved(
        lambda state: {
            **state,
            "head.weight": torch.sparse_coo_tensor([[0], [0]], [1.0], (10**9, 10**9), check_invariants=True),
        }
    ),
    "a meta tensor": _saved(lambda state: {n: v.to("meta") for n, v in state.items()}),
    "an expanded tensor of 1e15": _saved(
        lambda state: {**state, "head.weight": torch.zeros(1, 1).expand(10**9, 10**6)}
    ),
    "a complex tensor": _saved(lambda state: {n: v.to(torch.complex64) for n, v in state.items()}),
    "3000 wrong keys": _saved(
        lambda state: {f"wrong.{i}.{LONG[:200]}": torch.zeros(1) for i in range(3_000)}
    ),
    "keys with escapes": _saved(lambda state: {ESCAPES + n: v for n, v in state.items()}),
    "keys that are no names": _saved(lambda state: {10**i: v for i, v in enumerate(state.values())}),
    "a number": _saved(lambda state: 5),
    "a list": _saved(lambda state: list(state.values())),
    "wrapped thirty times": _saved(
        lambda state: functools.reduce(lambda inner, _: {"state_dict": inner}, range(30), state)  # type: ignore[return-value,arg-type]
    ),
    "NaN": _saved(lambda state: {n: v * torch.nan for n, v in state.items()}),
    "nothing": lambda state, file: file.write_bytes(b"") and None,
    "zeros": lambda state, file: file.write_bytes(bytes(100_000)) and None,
    "the start of an archive": lambda state, file: file.write_bytes(b"PK\x03\x04" + bytes(1_000)) and None,
    "the end of an archive": lambda state, file: (
        file.write_bytes(bytes(100) + b"PK\x05\x06" + b"\xff" * 18) and None
    ),
}
"""Files of torch.save that lie, swell, hang or name code to run."""
