"""Input programs for series and vectors: a trainable signal is added."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError
from foretoll.reprogram.base import InputProgram


class _AdditiveProgram(InputProgram):
    """Holds θ, and the unit of each channel or column in which it is added (1 where `scale` is empty)."""

    def _set(self, shape: tuple[int, ...], scale: tuple[float, ...]) -> None:
        if scale and len(scale) != shape[0]:
            raise UsageError(f"scale needs {shape[0]} numbers, got {len(scale)}")
        unit = torch.tensor(scale or (1.0,) * shape[0], dtype=torch.float32)
        self.register_buffer("unit", unit.view(-1, *[1] * (len(shape) - 1)), persistent=False)
        self.weight = nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    unit: Tensor

    def reset_parameters(self) -> None:
        """The input as it is: θ = 0."""
        nn.init.zeros_(self.weight)


class Series1D(_AdditiveProgram):
    """Tile a series until it is as long as the source's signal and add θ: (B, C, l) → (B, C, L).

    Yang et al., Voice2Series, arXiv 2106.09296; dropout on θ while training. `scale` (C) gives θ the unit of
    each channel, since it is added before normalisation. A series longer than L is averaged down to L.
    """

    name: ClassVar[str] = "series"

    def __init__(
        self, *, channels: int, length: int, dropout: float = 0.4, scale: tuple[float, ...] = ()
    ) -> None:
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout is a share in [0, 1), got {dropout}")
        super().__init__(channels=channels, length=length, dropout=dropout, scale=tuple(scale))
        self.channels, self.length, self.dropout = channels, length, dropout
        self._set((channels, length), tuple(scale))

    def forward(self, series: Tensor) -> Tensor:
        """Series (B, C, l), or (B, 1, l) that is repeated, to (B, C, L)."""
        if series.ndim != 3 or series.shape[1] not in (1, self.channels):
            raise ModelError(
                f"the program takes series (batch, {self.channels}, length), got {tuple(series.shape)}"
            )
        signal, length = series.float().expand(-1, self.channels, -1), series.shape[2]
        if length > self.length:
            signal = F.adaptive_avg_pool1d(signal, self.length)
        elif length < self.length:
            signal = signal.repeat(1, 1, -(-self.length // length))[..., : self.length]
        return signal + F.dropout(self.weight, self.dropout, self.training) * self.unit


class Additive(_AdditiveProgram):
    """Add a trainable vector: (B, d) → (B, D), x + θ; the columns after d, where d < D, are θ alone.

    `scale` (D) gives θ the unit of each column, since it is added before normalisation.
    """

    name: ClassVar[str] = "additive"

    def __init__(self, *, features: int, scale: tuple[float, ...] = ()) -> None:
        super().__init__(features=features, scale=tuple(scale))
        self.features = features
        self._set((features,), tuple(scale))

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (B, d), d ≤ D, to (B, D)."""
        if vectors.ndim != 2 or vectors.shape[1] > self.features:
            raise ModelError(
                f"the program takes vectors of at most {self.features} columns, got {tuple(vectors.shape)}"
            )
        padded = F.pad(vectors.float(), (0, self.features - vectors.shape[1]))
        return padded + self.weight * self.unit
