"""Weights in several files with an index beside them, as transformers saves large models."""

from __future__ import annotations

import json
from pathlib import Path

from foretoll.errors import ModelError, shown

INDEX_SUFFIX = ".index.json"
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_LONGEST_INDEX = 64 * 2**20  # bytes: half a million tensors


def index_in(folder: Path) -> Path | None:
    """The index file of a folder with weights in several files."""
    return next((folder / name for name in INDEXES if (folder / name).is_file()), None)


def shard_files(index: Path) -> dict[Path, list[str]]:
    """The files that an index names, each with the tensors that are taken from it.

    Only files beside the index are taken, of the kind that its name says. Raises ModelError for an index that names
    others, files that are not there, or that is no index.
    """
    if index.stat().st_size > _LONGEST_INDEX:
        raise ModelError(f"{shown(index)} is too long to be an index of weights; save the model again")
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        listed = content["weight_map"] if isinstance(content, dict) else None
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise ModelError(f"{shown(index)} is no index of weights; save the model again") from error
    if not isinstance(listed, dict) or not listed:
        raise ModelError(f"{shown(index)} is no index of weights: it lists no tensors; save the model again")
    suffix = Path(index.name.removesuffix(INDEX_SUFFIX)).suffix
    files: dict[Path, list[str]] = {}
    for tensor, name in listed.items():
        if (
            not isinstance(name, str)
            or Path(name).name != name
            or "\\" in name
            or Path(name).suffix != suffix
        ):
            raise ModelError(
                f"{shown(index, 120)} names {shown(name)}, which is no {suffix} file beside it: only those are read"
            )
        files.setdefault(index.parent / name, []).append(tensor)
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise ModelError(
            f"{len(absent)} of the {len(files)} files that {shown(index, 120)} names are not there "
            f"({shown(absent[0])}, …): copy them beside it"
        )
    return files
