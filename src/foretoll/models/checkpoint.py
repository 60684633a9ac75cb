"""Checkpoint folders: model.safetensors (the network's state dict) and model.json (its card, by alias).

The card also stands in the header of model.safetensors, which is replaced by one atomic rename. So weights and card
always belong together: after an interrupted save the folder holds the old model or the new one, whole, or nothing
that loads. A transformers model keeps its configuration and tokenizer beside them, so the folder is self-contained.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from torch import Tensor, nn

from foretoll.atomic import clear_leftovers, own_name
from foretoll.data.tokenizers import load_tokenizer
from foretoll.errors import ForetollWarning, ModelError, one_line, printable, shown
from foretoll.models.bounded import check_plan
from foretoll.models.named import local_path, missing_path
from foretoll.models.reprogrammed import innermost
from foretoll.models.weights import read_metadata, read_weights
from foretoll.records import ModelCard

if TYPE_CHECKING:
    from foretoll.models.model import Model

WEIGHTS = "model.safetensors"
CARD = "model.json"
CONFIG = "config.json"
TOKENIZER = "tokenizer"
_HEADER_KEY = "foretoll"
_LONGEST_CARD = 16 * 2**20  # bytes: the names of 200,000 classes and more
_MOST_PROGRAMS = 4  # around each other
_SAVING = ".saving-"
_LEFTOVER_AGE_S = 3600.0


def save_checkpoint(model: Model, directory: Path) -> Path:
    """Write a checkpoint folder atomically and return its path; other files in the folder are left alone.

    Raises ModelError with one sentence when the folder cannot be written (read-only, full disk, a file in the way).
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    directory = local_path(directory)
    created = [path for path in (directory, *directory.parents) if not path.exists()]
    temporary: Path | None = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(directory)
        temporary = directory / own_name(_SAVING)
        temporary.mkdir(mode=0o700)
        card = _write_extras(model, temporary)
        text = card.model_dump_json(by_alias=True, indent=2)
        save_file(
            _plain_state(model.network), temporary / WEIGHTS, metadata={_HEADER_KEY: text, "format": "pt"}
        )
        (temporary / WEIGHTS).chmod(0o666 & ~_umask())
        (temporary / CARD).write_text(text + "\n", encoding="utf-8")
        for name in (WEIGHTS, CARD):
            _flush(temporary / name)
        if (temporary / TOKENIZER).is_dir():
            shutil.rmtree(directory / TOKENIZER, ignore_errors=True)
        for name in (CONFIG, TOKENIZER, WEIGHTS, CARD):
            if (temporary / name).exists():
                (temporary / name).replace(directory / name)
        created = []
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(
            f"the model cannot be saved in {directory} ({reason}); name a folder that can be written and has room"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for path in created:  # folders that this call made and a failure left empty
            with contextlib.suppress(OSError):
                path.rmdir()
    return directory


def read_checkpoint(directory: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    """The card and state dict of a checkpoint folder, on the CPU.

    Raises ModelError for a folder that is missing, is no checkpoint, or holds a truncated or invalid file.
    """
    card = read_card(directory)
    return card, read_weights(local_path(directory) / WEIGHTS)


def read_card(directory: Path, *, quiet: bool = False) -> ModelCard:
    """The card of a checkpoint folder; not `quiet`, a warning where its two copies differ.

    Raises ModelError for a folder that is missing, is no checkpoint, or holds a truncated or invalid file.
    """
    directory = local_path(directory)
    if not directory.is_dir():
        raise ModelError(missing_path("checkpoint folder", directory))
    absent = [name for name in (CARD, WEIGHTS) if not (directory / name).is_file()]
    if absent:
        way = (
            f"load it as {one_line(f'hf:{directory}', 80)}"
            if (directory / CONFIG).is_file()
            else "name a folder that foretoll wrote"
        )
        missing = f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing"
        raise ModelError(f"{one_line(str(directory), 80)} is no foretoll checkpoint, {missing}; {way}")
    card = _parse(directory / CARD, _start_of(directory / CARD))
    header = read_metadata(directory / WEIGHTS).get(_HEADER_KEY)
    if header is not None:
        inside = _parse(directory / WEIGHTS, header.encode())
        if inside != card and not quiet:
            warnings.warn(
                f"{directory / CARD} is not the card of {directory / WEIGHTS} (an interrupted save, or edited by "
                "hand); the card inside the weights is used",
                ForetollWarning,
                stacklevel=3,
            )
        card = inside
    return _with_own_tokenizer(card, directory)


def _start_of(file: Path) -> bytes:
    """All of a card's file, or enough of it to say that it is too long."""
    with file.open("rb") as stream:
        return stream.read(_LONGEST_CARD + 1)


def _with_own_tokenizer(card: ModelCard, directory: Path, *, outermost: bool = True) -> ModelCard:
    """The card with the tokenizer in its own folder; a path elsewhere is not followed."""
    update: dict[str, Any] = {}
    plan = card.preprocessing
    if plan.tokenizer is not None:
        if outermost and plan.tokenizer != TOKENIZER:
            raise ModelError(
                f"the model card in {shown(directory)} names a tokenizer outside of its folder, "
                f"{shown(plan.tokenizer)}, which is not read: put it into the folder as {TOKENIZER}/"
            )
        own = str((directory / TOKENIZER).resolve())
        update["preprocessing"] = plan.model_copy(update={"tokenizer": own})
    if card.program is not None:  # a source within keeps the path that it was loaded from
        source = _with_own_tokenizer(card.program.source, directory, outermost=False)
        update["program"] = card.program.model_copy(update={"source": source})
    return card.model_copy(update=update) if update else card


def is_checkpoint(directory: Path) -> bool:
    """Whether a folder looks like a checkpoint of foretoll."""
    return (directory / CARD).is_file() and (directory / WEIGHTS).is_file()


def _write_extras(model: Model, folder: Path) -> ModelCard:
    card = model.card
    _, prefix = innermost(card)
    network = model.network.get_submodule(prefix.removesuffix(".")) if prefix else model.network
    config: Any = getattr(network, "config", None)
    if card.arch.startswith("hf:") and hasattr(config, "to_json_file"):
        config.to_json_file(folder / CONFIG, use_diff=False)
    if card.preprocessing.tokenizer is not None:
        load_tokenizer(card.preprocessing.tokenizer).save_pretrained(folder / TOKENIZER)
        plan = card.preprocessing.model_copy(update={"tokenizer": TOKENIZER})
        card = card.model_copy(update={"preprocessing": plan})
    return card


def _remove_leftovers(directory: Path) -> None:
    """What saves that were killed have left. An older foretoll did not write whose they are: age decides there."""
    clear_leftovers(directory, _SAVING)
    for path in directory.glob(f"{_SAVING}*"):
        if (
            "-" not in path.name.removeprefix(_SAVING)
            and time.time() - path.stat().st_mtime > _LEFTOVER_AGE_S
        ):
            shutil.rmtree(path, ignore_errors=True)


def _plain_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict on the CPU, each tensor with its own storage (safetensors refuses shared ones)."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise ModelError(
                f"the network keeps {name!r} in its state dict as {type(value).__name__}, not as a tensor"
            )
        tensor = value.detach().to("cpu").contiguous()
        pointer = tensor.untyped_storage().data_ptr()
        shared = (
            pointer in seen or tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size()
        )
        plain[name] = tensor.clone() if shared else tensor
        seen.add(pointer)
    return plain


def _parse(file: Path, content: bytes) -> ModelCard:
    """The card in a file, with what it says of itself agreeing; of two values for one name none is taken."""
    try:
        if len(content) > _LONGEST_CARD:
            raise ValueError(f"it is longer than {_LONGEST_CARD:,} bytes")
        json.loads(content, object_pairs_hook=_once)
        card = ModelCard.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _no_card(file, f"{printable(where[:60])}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise _no_card(file, str(error)) from error
    _check_card(card, file)
    return card


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a name stands twice in it")
    return read


def _check_card(card: ModelCard, file: Path, depth: int = 0) -> None:
    if depth > _MOST_PROGRAMS:
        raise _no_card(file, f"it nests more than {_MOST_PROGRAMS} programs")
    if len(card.classes) != card.num_classes:
        raise _no_card(file, f"it has {len(card.classes):,} names for {card.num_classes:,} classes")
    check_plan(card.preprocessing, f"the model card in {shown(file, 60)}")
    if card.program is not None:
        _check_card(card.program.source, file, depth + 1)


def _no_card(file: Path, reason: str) -> ModelError:
    return ModelError(
        f"{shown(file)} holds no valid model card ({shown(reason, 100)[1:-1]}); save the model again"
    )


def _flush(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
