"""Weights that lie in a file of their own and are mapped: memory that the system takes back when others need it.

What is only kept to begin from again, or to compare with at the end, need not take memory from a training. The file is
in the folder for temporary files, has no name, and is gone with the last tensor in it, also when the process is killed.
Where that folder is memory itself, or has no room, tensors stay in memory.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

LARGE = 2**27  # bytes: what is smaller stays in memory
PIECE = 2**24  # bytes that are on their way to the file at one time
SPARE = 2  # times the bytes of the tensors that must be free on the disk
_ALIGNED = 64
_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs", "rootfs")
_OF_MODULES = set(vars(nn.Module()))
_mapped: weakref.WeakValueDictionary[int, mmap.mmap] = (
    weakref.WeakValueDictionary()
)  # by where a tensor begins


def on_disk(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies of the tensors on the CPU: dense, in a mapped file where they are large together, else in memory."""
    sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
    folder = _folder(sum(sizes)) if sum(sizes) >= LARGE else None
    if folder is None or any(tensor.layout is not torch.strided for tensor in tensors):
        return [tensor.detach().to("cpu", copy=True) for tensor in tensors]
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            places = [_write(file, tensor.detach()) for tensor in tensors]
            file.flush()
            content = mmap.mmap(file.fileno(), file.tell())  # shared: what is written lies in the file
    except OSError:  # full after all
        return [tensor.detach().to("cpu", copy=True) for tensor in tensors]
    return [
        _at(content, place, tensor) if size else tensor.detach().to("cpu", copy=True)
        for place, size, tensor in zip(places, sizes, tensors, strict=True)
    ]


def move_to_disk(network: nn.Module) -> bool:
    """Put a network's weights on disk where they are large; its parameters and buffers stay the same objects.

    False where they stay in memory: on an accelerator, small, or where something else of the network holds the memory
    of a weight, and would be another one afterwards.
    """
    held = [*network.parameters(), *network.buffers()]
    if any(tensor.device.type != "cpu" or type(tensor.data) is not Tensor for tensor in held):
        return False
    if any(tensor.layout is not torch.strided for tensor in held):
        return False
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in held}
    storages.pop(0, None)  # of what is empty
    if any(tensor.untyped_storage().data_ptr() in storages for tensor in _others(network)):
        return False
    whole = [torch.empty(0, dtype=torch.uint8).set_(storage) for storage in storages.values()]
    copies = dict(zip(storages, on_disk(whole), strict=True))
    if not copies or not all(_is_mapped(copy) for copy in copies.values()):
        return False
    for tensor in held:
        found = copies.get(tensor.untyped_storage().data_ptr())
        if found is not None:
            place = (tensor.storage_offset(), tensor.size(), tensor.stride())
            tensor.data = torch.empty(0, dtype=tensor.dtype).set_(found.untyped_storage(), *place)
    return True


def rest(tensors: Iterable[Tensor]) -> None:
    """Give back the memory that mapped tensors were read into; they are read again when they are looked at."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    found = {id(m): m for t in tensors if (m := _mapped.get(_begins(t))) is not None}
    for content in found.values():
        content.madvise(mmap.MADV_DONTNEED)


def in_memory(tensor: Tensor) -> Tensor:
    """The tensor, or a copy in memory of one that is mapped."""
    return tensor.clone() if _is_mapped(tensor) else tensor


def _is_mapped(tensor: Tensor) -> bool:
    return _begins(tensor) in _mapped


def _begins(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


def _write(file: IO[bytes], tensor: Tensor) -> int:
    """Append the values in their logical order; where they begin."""
    place = -(-file.tell() // _ALIGNED) * _ALIGNED
    file.seek(place)
    flat = tensor.reshape(-1)
    step = max(PIECE // max(tensor.element_size(), 1), 1)
    for start in range(0, len(flat), step):
        piece = flat[start : start + step].cpu().contiguous()
        file.write(piece.view(torch.uint8).numpy().data)
    return place


def _at(content: mmap.mmap, place: int, like: Tensor) -> Tensor:
    made = torch.frombuffer(content, dtype=like.dtype, count=like.numel(), offset=place)
    _mapped[made.untyped_storage().data_ptr()] = content
    return made.view(like.shape)


def _folder(size: int) -> Path | None:
    """A folder for temporary files that is no memory and has room; None where there is none."""
    if os.name != "posix":
        return None
    for name in dict.fromkeys((tempfile.gettempdir(), "/var/tmp")):  # noqa: S108  (files without a name)
        folder = Path(name)
        try:
            if _filesystem(folder) not in _IN_MEMORY and shutil.disk_usage(folder).free >= SPARE * size:
                return folder
        except OSError:
            continue
    return None


def _filesystem(folder: Path) -> str:
    """The kind of file system that a folder lies on, as Linux names it; empty elsewhere."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    real, found, longest = folder.resolve(), "", -1
    for line in lines:
        words = line.split()
        place = Path(words[1].replace("\\040", " ")) if len(words) > 2 else None
        if place is not None and (place == real or place in real.parents) and len(place.parts) >= longest:
            found, longest = words[2], len(place.parts)
    return found


def _others(network: nn.Module) -> Iterator[Tensor]:
    """Tensors that modules hold beside their parameters and buffers."""
    for module in network.modules():
        for key, value in vars(module).items():
            if key not in _OF_MODULES:
                yield from _tensors_in(value)


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        if value.layout is torch.strided:
            yield value
    elif isinstance(value, dict | list | tuple | set):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors_in(item)
