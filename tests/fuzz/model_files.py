"""Hostile models: checkpoint folders, safetensors, pickles, Hugging Face folders, specs."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from .case import CANARY, TEXTS, Case, as_json, either, estimate, junk, mutated, retrain, spoiled

COMMAND = f"touch {CANARY}"
FACTORY = f"from pathlib import Path\nPath({CANARY!r}).touch()\nmake = print\n"
CODE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("os:system", {"command": COMMAND}),
    ("subprocess:getoutput", {"cmd": COMMAND}),
    ("subprocess:call", {"args": COMMAND, "shell": True}),
    ("builtins:exec", {"source": f"open({CANARY!r}, 'w')"}),
    ("builtins:open", {"file": CANARY, "mode": "w"}),
    ("pathlib:Path.touch", {"self": CANARY}),
    ("runpy:run_path", {"path_name": "evil.py"}),
    ("runpy:run_module", {"mod_name": "evil"}),
    ("importlib:import_module", {"name": "evil"}),
    ("torch.hub:load", {"repo_or_dir": ".", "model": "make", "source": "local"}),
    ("evil:make", {}),
    ("timeit:timeit", {"stmt": f"open({CANARY!r}, 'w')", "number": 1}),
    ("shutil:copy", {"src": "old.npz", "dst": CANARY}),
    ("numpy:load", {"file": "evil.npy", "allow_pickle": True}),
    ("torch:load", {"f": "evil.pt", "weights_only": False}),
    ("pickle:loads", {}),
    ("os:abort", {}),
    ("os:_exit", {"status": 0}),
    ("sys:exit", {}),
    ("time:sleep", {"secs": 1000}),
    ("code:interact", {}),
    ("pydoc:locate", {"path": "evil"}),
    ("webbrowser:open", {"url": "http://x"}),
)


class Touches:
    """Unpickled, it leaves the canary."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (COMMAND,)


def _evil(folder: Path) -> None:
    """What the names in `CODE` would run."""
    for name in ("evil.py", "hubconf.py"):
        (folder / name).write_text(FACTORY)
    for name in ("evil.npy", "evil.pt"):
        (folder / name).write_bytes(pickle.dumps(Touches()))


def _card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((folder / "m" / "model.json").read_text())
    return card


def _header(folder: Path) -> tuple[dict[str, Any], bytes]:
    content = (folder / "m" / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _write(folder: Path, header: bytes, data: bytes, *, length: int | None = None) -> None:
    size = len(header) if length is None else length
    (folder / "m" / "model.safetensors").write_bytes(struct.pack("<Q", size) + header + data)


def card_fields(draw: random.Random, folder: Path) -> Case:
    """model.json with fields changed, in the file or only in the weights' header."""
    card, what = mutated(draw, _card(folder), changes=draw.choice((1, 1, 1, 3)))
    place = _store(draw.choice(("file", "header", "both", "both")), folder, card)
    what += f" ({place})"
    return Case(f"card {what}", either(draw, model="m"), names=("m",))


def _store(place: str, folder: Path, card: Any) -> str:
    """The card in model.json, only within the weights, or the same in both (only then is it believed whole)."""
    if place in ("header", "both"):
        _into_header(folder, card)
    if place in ("file", "both"):
        (folder / "m" / "model.json").write_bytes(as_json(card))
    return place


def _into_header(folder: Path, card: Any) -> None:
    """The card within the weights, and no model.json."""
    header, data = _header(folder)
    metadata = header.setdefault("__metadata__", {})
    for key, value in metadata.items():
        if value.startswith("{"):
            metadata[key] = json.dumps(card)
    _write(folder, json.dumps(header).encode(), data)
    (folder / "m" / "model.json").unlink()


def card_sizes(draw: random.Random, folder: Path) -> Case:
    """Sizes that nobody has the memory for."""
    card = _card(folder)
    size = draw.choice((10**5, 10**9, 10**12, -1, 0))
    key = draw.choice(("width", "depth", "num_classes", "size", "classes"))
    if key in ("width", "depth"):
        card["arch_options"][key] = size
    elif key == "size":
        card["preprocessing"]["size"] = [size]
    elif key == "classes":
        card["classes"] = draw.choice(([], ["a"], ["a"] * 3, ["\x1b[31ma\nb", "b" * 100_000, ""]))
    else:
        card["num_classes"] = size
    _store("both", folder, card)
    return Case(f"card {key} {size}", either(draw, model="m"), names=("m", "memory", str(size)))


def card_code(draw: random.Random, folder: Path) -> Case:
    """A card that names code to run: in model.json, only in the header, or in a nested program's source."""
    _evil(folder)
    arch, options = draw.choice(CODE)
    card = _card(folder)
    place = draw.choice(("file", "header", "both", "nested", "query"))
    if place == "nested":
        inner = {**card, "arch": arch, "arch_options": options}
        card["program"] = {"source": inner, "kind": "pad", "options": {}, "mapping": "head", "arch": arch}
    elif place == "query":
        card["arch"] = arch + "?" + "&".join(f"{k}={v}" for k, v in options.items())
    else:
        card.update(arch=arch, arch_options=options)
    _store(place if place in ("file", "header") else "both", folder, card)
    return Case(f"card with code {arch} ({place})", either(draw, model="m"), names=("m", arch))


def card_text(draw: random.Random, folder: Path) -> Case:
    """model.json that is hardly JSON."""
    path = folder / "m" / "model.json"
    kind = draw.choice(
        ("spoiled", "deep", "list", "bytes", "huge number", "twice", "null", "fifo", "zero", "large")
    )
    if kind == "spoiled":
        content, what = spoiled(draw, path.read_bytes())
        path.write_bytes(content)
        kind = f"spoiled {what}"
    elif kind in ("fifo", "zero"):
        path.unlink()
        os.mkfifo(path) if kind == "fifo" else path.symlink_to("/dev/zero")
    else:
        content = {
            "deep": b"[" * 100_000, "list": b"[]", "bytes": b"\xff\xfe{}", "huge number": b"1" * 10_000,
            "twice": path.read_bytes() * 2, "null": b"null", "large": b'"' + b"x" * 50_000_000 + b'"',
        }[kind]  # fmt: skip
        path.write_bytes(content)
    return Case(f"model.json {kind}", either(draw, model="m"), names=("m",))


def weights_header(draw: random.Random, folder: Path) -> Case:
    """Names, shapes, types, places and metadata in the header of safetensors."""
    header, data = _header(folder)
    length = None
    kind = draw.choice(("change", "change", "length", "name", "more", "shape", "deep", "overlap"))
    what = kind
    if kind == "change":
        header, what = mutated(draw, header)
    elif kind == "length":
        length = draw.choice((0, 1, 2**63, 2**64 - 1, 10**9, 7))
    elif kind == "name":
        name = next(key for key in header if key != "__metadata__")
        header[draw.choice([t for t in TEXTS if t])] = header.pop(name)
    elif kind == "more":
        for i in range(3000):
            header[f"k{i}\x1b[31m"] = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    elif kind == "shape":
        name = next(key for key in header if key != "__metadata__")
        header[name]["shape"] = draw.choice(([2**40, 2**40], [0], [], [-1], [10**9], [1.5], ["a"]))
    elif kind == "overlap":
        for entry in header.values():
            if "data_offsets" in entry:
                entry["data_offsets"] = [0, entry["data_offsets"][1] - entry["data_offsets"][0]]
    text = b"[" * 5000 if kind == "deep" else as_json(header)
    _write(folder, text, data, length=length)
    return Case(f"weights header {what}", either(draw, model="m"), names=("m",))


def weights_bytes(draw: random.Random, folder: Path) -> Case:
    """The weights of a folder spoiled, gone, or of another kind."""
    path = folder / "m" / "model.safetensors"
    content, what = spoiled(draw, path.read_bytes())
    path.write_bytes(content)
    if draw.random() < 0.2:
        (folder / "m" / "model.json").unlink()
        what += ", no card"
    return Case(f"weights {what}", either(draw, model="m"), names=("m",))


def _states(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "m" / "model.safetensors"))


def pickled_weights(draw: random.Random, folder: Path) -> Case:
    """A .pt file: with code, with itself in it, with tensors of other kinds, spoiled."""
    state: Any = _states(folder)
    name = next(iter(state))
    path = folder / draw.choice(("w.pt", "w.pth", "w.bin"))
    kind = draw.choice(
        ("code", "raw", "self", "sparse", "meta", "huge", "names", "list", "number", "nan", "int", "spoiled", "deep",
         "complex", "shape", "quantised")
    )  # fmt: skip
    if kind == "self":
        state["again"] = state
    elif kind == "deep":
        for _ in range(200):
            state = {"state_dict": state}
    elif kind in ("list", "number", "names"):
        text = draw.choice(TEXTS)
        state = {"list": [1, 2], "number": 3, "names": {f"{text}.{k}": v for k, v in state.items()}}[kind]
    elif kind not in ("code", "raw", "spoiled"):
        value = state[name]
        state[name] = {
            "sparse": lambda: value.to_sparse(), "meta": lambda: value.to("meta"), "nan": lambda: value * torch.nan,
            "huge": lambda: torch.zeros(1).expand(10**6, 10**6), "int": lambda: value.to(torch.int8),
            "complex": lambda: value.to(torch.complex64), "shape": lambda: value.flatten(),
            "quantised": lambda: value.to(torch.float8_e4m3fn),
        }[kind]()  # fmt: skip
    if kind == "code":
        torch.save({"state_dict": state, "args": Touches()}, path)
    elif kind == "raw":
        path.write_bytes(pickle.dumps(Touches(), protocol=draw.choice((0, 2, 4))))
    else:
        torch.save(state, path)
    if kind == "spoiled":
        content, kind = spoiled(draw, path.read_bytes())
        path.write_bytes(content)
    words = either(draw, model="foretoll:mlp?width=4") if draw.random() < 0.8 else retrain(model="m")
    return Case(f"pickle {kind}", [*words, "--weights", path.name], names=(path.name, "memory"))


def pickle_bomb(draw: random.Random, folder: Path) -> Case:
    """A .pt file of gigabytes of zeros."""
    torch.save(_states(folder), folder / "small.pt")
    with (
        zipfile.ZipFile(folder / "small.pt") as old,
        zipfile.ZipFile(folder / "w.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for member in old.namelist():
            with new.open(member, "w", force_zip64=True) as out:
                out.write(old.read(member))
                if member.endswith("data/0"):
                    for _ in range(128):
                        out.write(bytes(1 << 24))
    words = either(draw, model="foretoll:mlp?width=4")
    return Case("pickle bomb of 2 GiB", [*words, "--weights", "w.pt"], names=("w.pt",))


OPTIONS = ("mean", "std", "width", "depth", "the model", "argument")  # what a message may name of a spec


def specs(draw: random.Random, folder: Path) -> Case:
    """Names of models that are none, and of functions that are no factories."""
    _evil(folder)
    (folder / "own.py").write_text(
        "def make(num_classes):\n    return None\n"
    )  # what the user names is imported
    spec = draw.choice(
        (
            "torch:zeros", "time:sleep", "foretoll.cli:main", "os:abort", "os:getcwd", "builtins:print",
            "own:gone", "own:make",
            "foretoll:mlp?width=99999999999", "foretoll:mlp?width=-1", "foretoll:mlp?mean=nan", "foretoll:mlp?std=nan",
            "foretoll:mlp?depth=100000", "foretoll:cnn?width=1e9", "foretoll:mlp?" + "a=1&" * 9000, "foretoll:",
            "torchvision:resnet18?weights=\x1b[31m", "torchvision:../x", "timm:\x1b[31m", "hf:m", "hf:gone", "a:b:c",
            "torch.nn:Linear", "torch.nn:Module", "torch.nn:Identity", "json:loads", "sys:exit", ":", "a:", ":b",
            *TEXTS,
        )
    )  # fmt: skip
    return Case(
        f"-m {spec!r:.60}",
        either(draw, model=spec.replace("\0", "")),
        names=(spec.strip()[:4], *OPTIONS),
    )


def hf_folder(draw: random.Random, folder: Path) -> Case:
    """A folder as transformers writes it: with code of its own, with a pickle, of an unknown or an odd type."""
    _evil(folder)
    top = folder / "hub"
    top.mkdir()
    config: dict[str, Any] = {
        "model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 8, "vocab_size": 20,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "id2label": {"0": "a", "1": "b"},
    }  # fmt: skip
    kind = draw.choice(("auto_map", "pickle", "change", "type", "text"))
    what = kind
    if kind == "auto_map":
        config |= {
            "auto_map": {"AutoConfig": "evil.make", "AutoModelForSequenceClassification": "evil.make"},
            "model_type": "evil",
        }
        shutil.copy(folder / "evil.py", top / "evil.py")
    elif kind == "change":
        config, what = mutated(draw, config)
    elif kind == "type":
        config["model_type"] = junk(draw)
        what = f"type {config['model_type']!r:.30}"
    content = as_json(config) if kind != "text" else draw.choice((b"", b"[]", b"{", b"\xff", b"null"))
    (top / "config.json").write_bytes(content)
    (top / "pytorch_model.bin").write_bytes(pickle.dumps(Touches()))
    spec = draw.choice(("hub", "hf:hub"))
    return Case(f"hf folder {what}", estimate(model=spec), names=("hub",))


KINDS = (
    card_fields, card_fields, card_fields, card_sizes, card_code, card_code, card_text, weights_header, weights_bytes,
    pickled_weights, pickled_weights, specs, hf_folder,
)  # fmt: skip
HEAVY = (pickle_bomb,)
