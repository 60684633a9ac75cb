"""A series of numbers that arise on a device and are read later: nothing waits for the device meanwhile."""

from __future__ import annotations

import torch
from torch import Tensor

PIECE = 256  # scalars that are put into one tensor: each alone takes half a kilobyte of an accelerator


class Scalars:
    """Scalar tensors in the order in which they came."""

    def __init__(self) -> None:
        self._recent: list[Tensor] = []
        self._pieces: list[Tensor] = []

    def __len__(self) -> int:
        return sum(map(len, self._pieces)) + len(self._recent)

    def append(self, value: Tensor) -> None:
        """One more, of one element, on any device."""
        self._recent.append(value)
        if len(self._recent) >= PIECE:
            self._pieces.append(self._together())

    def all(self) -> Tensor:
        """All of them as float32 (n,) on the CPU; reads the device."""
        if self._recent:
            self._pieces.append(self._together())
        whole = torch.cat([piece.cpu() for piece in self._pieces]) if self._pieces else torch.empty(0)
        self._pieces = [whole] if self._pieces else []
        return whole

    def _together(self) -> Tensor:
        first = self._recent[0].device
        joined = torch.stack([value.detach().reshape(()).to(first, torch.float32) for value in self._recent])
        self._recent = []
        return joined
