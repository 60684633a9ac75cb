"""The rows of a table that lies on disk as inputs of a model: read, and encoded, by groups of rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from foretoll.data.columns import Inputs, Matrix, numbers_of, put_levels
from foretoll.data.grouped import GroupedTable
from foretoll.data.reader import IntArray, Pieces, RowReader
from foretoll.data.uri import uri_value
from foretoll.errors import DataError, shown


class TableRows(RowReader):
    """Samples (d,), or (1, d) of a series, float32. `found`: what `read_columns` says of the table's columns."""

    in_groups = True

    def __init__(self, table: GroupedTable, found: Inputs, *, series: bool = False) -> None:
        self.table, self.found, self.series = table, found, series
        self.width = sum(column.width for column in found.columns)
        self._pieces = Pieces(table.starts, 4 * self.width, self._group)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        return (1, self.width) if self.series else (self.width,)

    def __len__(self) -> int:
        return self.table.num_rows

    def read(self, rows: IntArray) -> Tensor:
        """From groups of rows that stay in memory for a while."""
        return self._checked(self._pieces.read(rows))

    def gather(self, rows: IntArray, *, lenient: bool = False) -> Tensor:
        """One group of rows after the other, one column after the other."""
        groups = self._pieces.of(rows)
        matrix = np.zeros((len(rows), self.width), dtype=np.float32)
        for group in np.unique(groups).tolist():
            there = np.flatnonzero(groups == group)
            matrix[there] = self._encoded(group, rows[there] - self._pieces.starts[group])
        if lenient:
            for part in matrix.T:
                bad = ~np.isfinite(part)
                if bad.any():
                    part[bad] = part[~bad].mean(dtype=np.float64) if not bad.all() else 0.0
        return self._checked(torch.from_numpy(matrix))

    def order(self, rows: IntArray, seed: int) -> Tensor:
        """At random; window by window of the file's groups of rows where they may not all be held."""
        return self._pieces.order(rows, seed)

    def _group(self, group: int) -> Tensor:
        return torch.from_numpy(self._encoded(group))

    def _encoded(self, group: int, rows: IntArray | None = None) -> Matrix:
        """Inputs of a group of rows, or of some of them; where a number is missing they are not finite."""
        size = self.table.sizes[group] if rows is None else len(rows)
        matrix, at = np.zeros((size, self.width), dtype=np.float32), 0
        for column in self.found.columns:
            values = self.table.part(group, column.name)
            values = values if rows is None else values.take(pa.array(rows))
            part = matrix[:, at : at + column.width]
            at += column.width
            if column.name in self.found.places:
                put_levels(part, values, self.found.places[column.name])
                continue
            with np.errstate(over="ignore"):
                part[:, 0] = numbers_of(values, column, self.table.where)[0]
            if column.name in self.found.fills:  # rows that are not chosen, or the table says so at once
                part[~np.isfinite(part[:, 0])] = self.found.fills[column.name]
        return matrix

    def _checked(self, matrix: Tensor) -> Tensor:
        """The samples in their shape; DataError where a number is missing."""
        bad = (~torch.isfinite(matrix).all(dim=0)).nonzero()
        if len(bad):
            raise DataError(
                f"{self.table.where} has numbers in column {shown(self._column_at(int(bad[0])))} that are missing "
                f"(NaN) or beyond what float32 holds: fill them, or leave the column out with "
                f"drop={uri_value(self._column_at(int(bad[0])))}"
            )
        return matrix[:, None, :] if self.series else matrix

    def _column_at(self, place: int) -> str:
        ends = np.cumsum([column.width for column in self.found.columns])
        return self.found.columns[int(np.searchsorted(ends, place, side="right"))].name
