"""Files of `torch.save` before torch reads them: what an archive claims, and what its tensors are."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from foretoll.errors import ModelError, one_line, shown

_LONGEST_LIST = 8 * 2**20  # bytes of an archive's list of contents: 80,000 tensors and more
_LONGEST_PICKLE = 32 * 2**20  # bytes of what describes the tensors, read by an interpreter in Python
_END = b"PK\x05\x06"


def check_archive(file: Path) -> None:
    """Raise ModelError where an archive is compressed, which torch never does, or claims more than the file holds."""
    name = one_line(str(file), 80)
    size = file.stat().st_size
    if _list_bytes(file, size) > _LONGEST_LIST:
        raise ModelError(f"{name} is an archive of more parts than a state dict has; save the weights again")
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise ModelError(f"{name} is truncated or no torch file: copy or save it again") from error
    if any(part.compress_type != zipfile.ZIP_STORED or part.flag_bits & 1 for part in parts):
        raise ModelError(
            f"{name} is a compressed or encrypted archive, which torch.save never writes; save the weights again"
        )
    if sum(part.file_size for part in parts) > size:
        raise ModelError(f"{name} claims to hold more than there is in it; copy or save it again")
    if any(part.filename.endswith(".pkl") and part.file_size > _LONGEST_PICKLE for part in parts):
        raise ModelError(
            f"{name} holds far more than tensors; save the weights alone with torch.save(model.state_dict(), "
            "'weights.pt')"
        )


def _list_bytes(file: Path, size: int) -> int:
    """Bytes of the list of contents, as the end of an archive claims; all there are where it cannot be found."""
    with file.open("rb") as stream:
        stream.seek(max(0, size - 66_000))
        tail = stream.read()
    place = tail.rfind(_END)
    if place < 0 or len(tail) < place + 20:
        return size
    (claimed,) = struct.unpack_from("<I", tail, place + 12)
    if claimed != 0xFFFFFFFF:
        return int(claimed)
    longer = tail.rfind(b"PK\x06\x06", 0, place)
    return int(struct.unpack_from("<Q", tail, longer + 40)[0]) if longer >= 0 else size


def check_plain(state: Mapping[str, Tensor], file: Path) -> None:
    """Raise ModelError for tensors that are not numbers in memory: sparse, quantised, or without any (meta)."""
    for name, value in state.items():
        plain = value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or value.is_nested:
            kind = "quantised" if value.is_quantized else str(value.layout).removeprefix("torch.")
            kind = "meta" if value.device.type == "meta" else kind
            raise ModelError(
                f"{one_line(str(file), 80)} holds {shown(name, 60)} as a {kind} tensor; save dense tensors, with their "
                "values"
            )
