"""What tells one set of weights from all others, whatever door they came through: a digest of their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

CHUNK_BYTES = 2**26  # on its way from an accelerator a tensor takes no more of the CPU's memory than this
_WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before every name
_SIZE = 16  # bytes: 2^64 sets of weights before two are likely to share a digest


def weights_digest(network: nn.Module) -> str:
    """Hexadecimal BLAKE2b digest of names, shapes, dtypes and bytes of all weights and buffers that are saved.

    Equal for equal weights on any device, in any order of the layers' registration and behind torch's wrappers; it
    changes with any bit.
    """
    # what is not a tensor (a module's extra state) is no weight
    found = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    while wrapper := next((w for w in _WRAPPERS if found and all(n.startswith(w) for n in found)), None):
        found = {name.removeprefix(wrapper): value for name, value in found.items()}
    names = sorted(found)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing lets other threads run
        parts = pool.map(lambda name: _tensor_digest(name, found[name]), names)
        whole = hashlib.blake2b(digest_size=_SIZE)
        for part in parts:
            whole.update(part)
    return whole.hexdigest()


def _tensor_digest(name: str, value: Tensor) -> bytes:
    digest = hashlib.blake2b(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode(), digest_size=_SIZE)
    for piece in _pieces(value.detach()):
        digest.update(piece)
    return digest.digest()


def _pieces(value: Tensor) -> Iterator[memoryview]:
    """The tensor's bytes in logical order, a bounded piece at a time."""
    dense = value.to_dense() if value.layout is not torch.strided else value
    flat = (dense.dequantize() if dense.is_quantized else dense).reshape(-1)
    step = max(CHUNK_BYTES // max(flat.element_size(), 1), 1)
    for start in range(0, len(flat), step):
        piece = flat[start : start + step].cpu().contiguous().view(torch.uint8)
        yield piece.numpy().data
