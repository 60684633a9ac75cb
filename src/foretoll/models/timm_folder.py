"""Folders that timm saves (config.json with its architecture, and model.safetensors), under timm:PATH or hf:PATH."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretoll.errors import ModelError, shown
from foretoll.models.hf_texts import small_json
from foretoll.models.libraries import timm_convention
from foretoll.models.spec import Convention, Spec

_NAME = re.compile(r"\w+(\.\w+)?")
_BY_DATA = ("num_classes",)  # decided by the classes, not by the folder's arguments


@dataclass(frozen=True)
class TimmFolder:
    """What a folder says: the architecture with its options, where its weights are, its inputs and its classes."""

    spec: Spec
    weights: Path
    usual: Convention
    outputs: tuple[str, ...]


def timm_folder(spec: Spec) -> TimmFolder | None:
    """Read a folder of timm; None where the spec names none. Raises ModelError where its config.json is damaged."""
    folder = Path(spec.name).expanduser()
    if spec.scheme not in ("timm", "hf") or not (folder / "config.json").is_file():
        return None
    try:
        content = small_json(folder / "config.json", most=16 * 2**20)
    except ModelError:
        if spec.scheme == "hf":  # what is wrong with a folder of transformers is said where that is read
            return None
        raise
    architecture, settings = content.get("architecture"), content.get("pretrained_cfg") or {}
    if architecture is None:
        if spec.scheme == "hf":
            return None
        raise ModelError(f"{shown(folder)} is no folder of timm: its config.json names no architecture")
    if (
        not isinstance(architecture, str)
        or not _NAME.fullmatch(architecture)
        or not isinstance(settings, dict)
    ):
        raise ModelError(
            f"config.json in {shown(folder)} names the architecture {shown(architecture)}: no model of timm"
        )
    arguments = content.get("model_args") or {}
    if not isinstance(arguments, Mapping) or not all(
        isinstance(v, str | int | float) for v in arguments.values()
    ):
        raise ModelError(
            f"model_args in {shown(folder)} are no plain numbers and words; save the model again"
        )
    options: dict[str, Any] = {k: v for k, v in arguments.items() if k not in _BY_DATA}
    labels = content.get("label_names") or settings.get("label_names") or ()
    return TimmFolder(
        Spec("timm", architecture, {**options, **spec.options}),
        folder,
        timm_convention(architecture, settings),
        tuple(map(str, labels)) if isinstance(labels, list) else (),
    )
