"""What a shift may know besides the samples: the kind of data, reference statistics, randomness per sample."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """Statistics per feature: of vectors per column, shape (d,); of series per channel, shape (C, 1).

    Levels of vectors and series are in units of `std`; `low` and `high` are the extremes.
    """

    mean: FloatArray
    std: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, inputs: npt.NDArray[Any]) -> Reference:
        """From vectors (n, d) or series (n, C, L)."""
        axes = (0,) if inputs.ndim == 2 else (0, 2)
        wide = inputs.astype(np.float64)

        def shaped(values: npt.NDArray[np.float64]) -> FloatArray:
            column = values.astype(np.float32)
            return column if inputs.ndim == 2 else column[:, None]

        return cls(
            shaped(wide.mean(axes)), shaped(wide.std(axes)), shaped(wide.min(axes)), shaped(wide.max(axes))
        )


class SampleRandom:
    """Random numbers per sample: a Philox stream keyed by (seed, purpose), with the sample's id as counter.

    What a sample draws depends on nothing else: not on its batch, its neighbours or the order. The level is
    left out on purpose, so that the levels of one kind are nested (the same noise, scaled; the same pixels,
    and more of them) and differences between levels carry no sampling noise.
    """

    def __init__(self, seed: int, purpose: str, ids: npt.NDArray[np.int64]) -> None:
        digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=16).digest()
        self._key = int.from_bytes(digest, "little")
        self._ids = ids.tolist()

    def each(
        self, shape: tuple[int, ...], draw: Callable[[np.random.Generator, int], Any], dtype: Any = np.float32
    ) -> npt.NDArray[Any]:
        """Stack draw(generator of sample i, i) over the samples: (n, *shape)."""
        out = np.empty((len(self._ids), *shape), dtype=dtype)
        for position, sample in enumerate(self._ids):
            # the low 64 bits of the counter are the sample's own to run through
            out[position] = draw(
                np.random.Generator(np.random.Philox(key=self._key, counter=sample << 64)), position
            )
        return out

    def normal(self, shape: tuple[int, ...]) -> FloatArray:
        """Standard normal numbers (n, *shape)."""
        return self.each(shape, lambda g, _: g.standard_normal(shape, dtype=np.float32))

    def uniform(self, shape: tuple[int, ...]) -> FloatArray:
        """Uniform numbers in [0, 1), (n, *shape)."""
        return self.each(shape, lambda g, _: g.random(shape, dtype=np.float32))


@dataclass(frozen=True)
class Context:
    """Kind of data, randomness and reference statistics for one batch of samples."""

    kind: str
    random: SampleRandom
    reference: Reference | None = None

    @property
    def stats(self) -> Reference:
        """The reference statistics; only vectors and series have them."""
        if self.reference is None:
            raise RuntimeError("a shift of vectors or series was called without reference statistics")
        return self.reference
