"""Tables that are read by groups of rows: a Parquet file by its own, an Arrow table that is mapped from disk by slices.

They have what `foretoll.data.tabular` asks of a pyarrow Table, and give one column, or one group of rows, at a time.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from foretoll.data.limits import check_unpacked
from foretoll.errors import DataError, check_refused, is_out_of_memory

LAZY_BYTES = 32_000_000  # of a table as it declares itself: a smaller one is read at once
_SLICE = 65_536  # rows


class GroupedTable(ABC):
    """A table on disk. sizes: rows of each group. rows_read: how many rows were decoded so far, by column."""

    where: str
    schema: Any
    sizes: tuple[int, ...]

    def __init__(self) -> None:
        self.rows_read: dict[str, int] = {}

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return sum(self.sizes)

    @property
    def column_names(self) -> list[str]:
        """The columns in the order of the file."""
        return list(self.schema.names)

    @property
    def starts(self) -> list[int]:
        """The first row of each group, and the number of all rows."""
        return [0, *np.cumsum(self.sizes).tolist()]

    def part(self, group: int, name: str) -> Any:
        """A column of one group of rows (pyarrow ChunkedArray); DataError where it is damaged."""
        import pyarrow as pa

        self.rows_read[name] = self.rows_read.get(name, 0) + self.sizes[group]
        part = self._part(group, name)
        try:
            part.validate(full=True)
        except pa.ArrowException as error:
            raise DataError(
                f"{self.where} holds texts that are no UTF-8, or it is damaged: make or copy it again"
            ) from error
        return part

    def column(self, name: str) -> Any:
        """A whole column."""
        import pyarrow as pa

        parts = [self.part(group, name) for group in range(len(self.sizes))]
        kind = parts[0].type if parts else self.schema.field(name).type
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], kind)

    @abstractmethod
    def _part(self, group: int, name: str) -> Any:
        """A column of one group."""

    @abstractmethod
    def nulls(self, name: str) -> int:
        """How many values of a column are missing."""

    @abstractmethod
    def whole(self) -> Any:
        """The whole table in memory; DataError where it does not fit."""


class ParquetTable(GroupedTable):
    """A Parquet file at `path`. `whole`: reads all of it, with the checks that this needs."""

    def __init__(self, path: Path, where: str, whole: Callable[[], Any]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__()
        self.path, self.where, self._whole, self._lock = path, where, whole, threading.Lock()
        with readable_parquet(where):
            with pq.ParquetFile(path) as file:
                self.schema = file.schema_arrow
            texts = [field.name for field in self.schema if field.type in (pa.string(), pa.large_string())]
            # a few long texts that stand for many rows take no more room than in the file
            self._file = pq.ParquetFile(path, read_dictionary=texts)
            of = self._file.metadata
            self.sizes = tuple(of.row_group(i).num_rows for i in range(of.num_row_groups))
            self._packed = path.stat().st_size

    @property
    def declared_bytes(self) -> int:
        """What all of it takes unpacked, as the file declares it; DataError where no data do."""
        of = self._file.metadata
        size = sum(of.row_group(i).total_byte_size for i in range(of.num_row_groups))
        check_unpacked(self._packed, max(size, of.num_rows), self.where)
        return int(size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _part(self, group: int, name: str) -> Any:
        with self._lock, readable_parquet(self.where):
            return self._file.read_row_group(group, columns=[name], use_threads=False).column(name)

    def nulls(self, name: str) -> int:
        """By the file's statistics where it has them."""
        of = self._file.metadata
        place = {of.schema.column(j).path: j for j in range(of.num_columns)}.get(name)
        known = 0
        for i in range(of.num_row_groups if place is not None else 0):
            statistics = of.row_group(i).column(place).statistics
            if statistics is None or not statistics.has_null_count:
                return int(self.column(name).null_count)
            known += statistics.null_count
        return known if place is not None else int(self.column(name).null_count)

    def whole(self) -> Any:
        """All of it, in memory."""
        return self._whole()


class MappedTable(GroupedTable):
    """An Arrow table whose values lie in a file that is mapped into memory."""

    def __init__(self, table: Any, where: str) -> None:
        super().__init__()
        self.where, self._table, self.schema = where, table, table.schema
        rows = table.num_rows
        self.sizes = tuple(min(_SLICE, rows - start) for start in range(0, rows, _SLICE))

    def _part(self, group: int, name: str) -> Any:
        return self._table.column(name).slice(group * _SLICE, self.sizes[group])

    def nulls(self, name: str) -> int:
        """As they are counted."""
        return int(self._table.column(name).null_count)

    def whole(self) -> Any:
        """The table itself."""
        return self._table


def whole_of(table: Any) -> Any:
    """A pyarrow Table of all rows."""
    return table.whole() if isinstance(table, GroupedTable) else table


def parts_of(table: Any, name: str) -> Iterator[Any]:
    """A column in parts, one after the other; of a table in memory all of it."""
    if not isinstance(table, GroupedTable):
        yield table.column(name)
        return
    for group in range(len(table.sizes)):
        yield table.part(group, name)


@contextmanager
def readable_parquet(where: str) -> Iterator[None]:
    """What pyarrow raises on a damaged file, as one sentence."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError) as error:
        check_refused(error, where, DataError)
        if is_out_of_memory(error):
            raise DataError(f"{where} takes more memory than there is: give a part of it") from error
        raise DataError(
            f"{where} cannot be read as Parquet: it is truncated or of another format; make or copy it again"
        ) from error
