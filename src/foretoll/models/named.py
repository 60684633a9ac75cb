"""What a model's name says, checked without loading torch: a path, or a spec such as `foretoll:cnn?width=32`."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from foretoll.errors import ModelError, UsageError, listed, one_line, shown
from foretoll.models.architectures import ARCHITECTURES, Scalar, check_architecture

SCHEMES = ("foretoll", "torchvision", "timm", "hf")
# options of loading, not of an architecture
LOADING_OPTIONS = ("input_size", "crop", "normalise", "mean", "std", "max_length", "new_head", "tokenizer")
SAFE_SUFFIXES = (".safetensors",)
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar")


@dataclass(frozen=True)
class Spec:
    """A parsed model spec.

    `scheme` is one of SCHEMES, or "factory" (`name` is then "package.module:function"), or "module" (a module in
    memory; `name` is then its class).
    """

    scheme: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def arch(self) -> str:
        """The spec without its options, as it stands on a card."""
        return self.name if self.scheme == "factory" else f"{self.scheme}:{self.name}"

    @property
    def build_options(self) -> dict[str, Scalar]:
        """The options that the builder gets."""
        return {k: v for k, v in self.options.items() if k not in LOADING_OPTIONS}


def parse_spec(text: str, options: Mapping[str, Any] | None = None) -> Spec:
    """Read a spec; `options` win over those in the text. Raises UsageError with the nearest valid names."""
    body, _, query = text.partition("?")
    found = {key: _value(value) for key, value in parse_qsl(query, keep_blank_values=True)}
    merged = {**found, **(options or {})}
    scheme, colon, name = body.partition(":")
    if colon and scheme in SCHEMES:
        if not name:
            raise UsageError(f"the model {shown(text)} names no architecture after {scheme!r}:")
        return Spec(scheme, name, merged)
    if colon and all(part.isidentifier() for part in (*scheme.split("."), *name.split("."))):
        return Spec("factory", f"{scheme}:{name}", merged)
    hint = f"did you mean foretoll:{body}? " if body in ARCHITECTURES else ""
    raise UsageError(
        f"the model {shown(text)} is neither a checkpoint folder nor an architecture: {hint}give a folder, "
        "foretoll:NAME, torchvision:NAME, timm:NAME, hf:PATH or package.module:function"
    )


def _value(text: str) -> Scalar:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text


def check_named(text: str, weights: str | Path | None = None) -> None:
    """Refuse a model, or a file of weights, that is not there; nothing is read.

    Raises ModelError for a path, UsageError for a name, as `foretoll.models.load_model` does.
    """
    if weights is not None and Path(weights).suffix in SAFE_SUFFIXES + TORCH_SUFFIXES:
        file = local_path(weights)
        if not file.exists():
            raise ModelError(missing_path("weights file", file))
    path = local_path(text)
    if path.is_dir():
        return
    check_no_file(text, path)
    spec = parse_spec(text)
    if spec.scheme == "foretoll":
        check_architecture(spec.name, spec.build_options)


def check_no_file(text: str, path: Path, *, is_path: bool = False) -> None:
    """Refuse what is a file of weights, or can only be a folder that is not there."""
    if path.is_file() and path.suffix in SAFE_SUFFIXES + TORCH_SUFFIXES:
        raise UsageError(
            f"{text} is a weights file: name its architecture as the model (--arch) and give the file as --weights"
        )
    if is_path or (":" not in text and ("/" in text or text.startswith("."))):
        raise ModelError(missing_path("checkpoint folder", path))


def local_path(text: str | Path) -> Path:
    """A path with `~` as the home folder. Raises ModelError for a user that is not there, or what can be no path."""
    if not isinstance(text, (str, Path)):
        raise UsageError(
            f"a {type(text).__name__} is no model and no file of weights: give a name, a path, or an nn.Module (of a "
            "class or a factory what it makes, of a state dict the file that it came from)"
        )
    if not str(text).strip():
        raise UsageError(
            f"{shown(text)} is empty, and names no model and no file of weights: give a name or a path"
        )
    try:
        path = Path(text).expanduser()
        path.is_dir()
    except RuntimeError as error:
        raise ModelError(
            f"{shown(text)} is in no home folder that is known; give the path in full"
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
            raise
        raise ModelError(f"{shown(text)} is no name of a model and no path; check what was given") from error
    return path


def missing_path(what: str, path: Path) -> str:
    """Say that a path does not exist, with the nearest names beside it."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    wanted = path.relative_to(folder).parts[0] if path != folder else path.name
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4)
    hint = f"nearest in {one_line(str(folder), 60)}: {listed(near, 80)}" if near else "check the path"
    return f"there is no {what} at {one_line(str(path), 80)}; {hint}"
