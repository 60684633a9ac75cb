"""The features of many runs as one matrix: a model of a thousand runs needs no thousand dictionaries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import FeatureValues
from foretoll.forecast.survival import Array


class Rows(Sequence[FeatureValues]):
    """Feature values of n runs: names (p,), values (n, p), NaN where one is not known."""

    def __init__(self, names: Sequence[str], values: Array) -> None:
        self.names, self.values = list(names), values

    @classmethod
    def of(cls, rows: Sequence[FeatureValues]) -> Rows:
        """The rows as a matrix; itself where they are one."""
        if isinstance(rows, Rows):
            return rows
        names = sorted({name for row in rows for name in row})
        values = [[math.nan if (v := row.get(name)) is None else v for name in names] for row in rows]
        return cls(names, np.array(values, dtype=np.float64).reshape(len(rows), len(names)))

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> FeatureValues: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> FeatureValues | Rows:
        if isinstance(index, slice):
            return Rows(self.names, self.values[index])
        row = self.values[index].tolist()
        return {name: value for name, value in zip(self.names, row, strict=True) if not math.isnan(value)}

    def take(self, keep: NDArray[np.intp]) -> Rows:
        """The rows at the given positions."""
        return Rows(self.names, self.values[keep])

    @property
    def known(self) -> list[str]:
        """Names of what is known of one row or more."""
        at = np.flatnonzero((~np.isnan(self.values)).any(axis=0))
        return [self.names[i] for i in at.tolist()]

    def columns(self, names: Sequence[str]) -> Array:
        """Values (n, len(names)) of the named features, NaN where one is not known."""
        at = {name: i for i, name in enumerate(self.names)}
        found = np.full((len(self), len(names)), math.nan)
        for column, name in enumerate(names):
            if name in at:
                found[:, column] = self.values[:, at[name]]
        return found
