"""A program and its mapping in a folder: safetensors and JSON, nothing pickled; of the source only a new head."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError, one_line, shown
from foretoll.reprogram.augment import Augment
from foretoll.reprogram.base import check_state
from foretoll.reprogram.registry import make_mapping, make_program
from foretoll.reprogram.wrapper import ReprogrammedNetwork, SourceNetwork

WEIGHTS, DESCRIPTION = "program.safetensors", "program.json"
_SCHEMA = "foretoll.program/1"
_LONGEST = 2**20  # bytes of a description
_LARGEST, _MOST_ELEMENTS = 1e6, 2**25  # of one number of it, and of the sides of a tensor
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError, UsageError)


def save_reprogrammed(model: ReprogrammedNetwork, folder: str | Path) -> Path:
    """Write program, mapping and (where it is trained) the new head; the source stays where it is.

    The description keeps a SHA-256 of the source's frozen weights, so that a program is not put before another source.
    Raises ModelError where the folder cannot be written.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    description = {
        "schema": _SCHEMA,
        "program": {"name": model.program.name, "options": model.program.options},
        "mapping": {
            "name": model.mapping.name,
            "source_classes": model.mapping.source_classes,
            "options": model.mapping.options,
        },
        "num_classes": model.num_classes,
        "mean": model.mean,
        "std": model.std,
        "head": model.head_name,
        "augment": {"crop": model.augment.crop, "flip": model.augment.flip},
        "source_sha256": _fingerprint(model),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: value.detach().cpu().contiguous().clone() for name, value in _own_state(model).items()}
        save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(
            f"the program cannot be saved in {folder} ({error.strerror or error}); name a folder that can be written"
        ) from error
    return folder


def load_reprogrammed(folder: str | Path, source: SourceNetwork) -> ReprogrammedNetwork:
    """The saved program and mapping around their source, frozen and in evaluation mode.

    Raises ModelError for a folder that is no saved program, a damaged file, or a source with other weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        content = json.loads(_description(folder / DESCRIPTION))
        state = load_file(folder / WEIGHTS)
        if content["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {content['schema']!r}")
        _check_sizes(content)
        model = _rebuilt(content, source)
        wanted = content["source_sha256"]
    except (*_DAMAGE, SafetensorError) as error:
        raise ModelError(
            f"{shown(folder)} holds no saved program ({one_line(str(error), 100)}); name a folder that "
            "save_reprogrammed wrote"
        ) from error
    if wanted != _fingerprint(model):
        raise ModelError(
            f"the program in {shown(folder)} was made for a source with other weights; give the one that it was "
            "trained with"
        )
    own = _own_state(model)
    check_state(state, own, f"the program in {shown(folder)}")
    model.load_state_dict(state, strict=False)
    return model.eval()


def _description(file: Path) -> bytes:
    with file.open("rb") as stream:
        content = stream.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise ValueError(f"{file.name} is longer than {_LONGEST:,} bytes")
    return content


def _check_sizes(content: Any) -> None:
    """Raise ValueError for numbers that no program has: they would be made into tensors."""
    mapping, options = content["mapping"], content["program"]["options"]
    sides = [1]
    for value in (
        [content["num_classes"], mapping["source_classes"]],
        *mapping["options"].values(),
        *options.values(),
    ):
        numbers = value if isinstance(value, list) else [value]
        whole = [n for n in numbers if isinstance(n, int | float) and not isinstance(n, bool)]
        if any(not abs(n) <= _LARGEST for n in whole):
            raise ValueError("it has a size that is that of no program")
        sides.append(math.prod(int(abs(n)) or 1 for n in whole))
    if max(sides) > _MOST_ELEMENTS:
        raise ValueError("it has a size that is that of no program")


def _rebuilt(content: dict[str, Any], source: SourceNetwork) -> ReprogrammedNetwork:
    program = make_program(content["program"]["name"], **_plain(content["program"]["options"]))
    mapping, head, classes = content["mapping"], content["head"], int(content["num_classes"])
    return ReprogrammedNetwork(
        source,
        program,
        None
        if head
        else make_mapping(
            mapping["name"], int(mapping["source_classes"]), classes, **_plain(mapping["options"])
        ),
        mean=content["mean"],
        std=content["std"],
        num_classes=classes,
        train_head=head is not None,
        head=head,
        augment=Augment(**content["augment"]),
    )


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
        if value is not None
    }


def _own_state(model: ReprogrammedNetwork) -> dict[str, Tensor]:
    """The state of everything but the frozen source."""
    head = None if model.head_name is None else f"source.{model.head_name}."
    return {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("source.") or (head is not None and name.startswith(head))
    }


def _fingerprint(model: ReprogrammedNetwork) -> str | None:
    """SHA-256 over the source's state without a head that is trained; None for a plain callable."""
    if not isinstance(model.source, nn.Module):
        return None
    digest = hashlib.sha256()
    for name, value in sorted(model.source.state_dict().items()):
        if model.head_name is not None and name.startswith(f"{model.head_name}."):
            continue
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
