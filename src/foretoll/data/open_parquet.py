"""`parquet:PATH`: a table of encoded images, texts, or columns of values, in a Parquet or an Arrow file.

See `foretoll.data.tabular`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from foretoll.data.address import DataUri
from foretoll.data.grouped import LAZY_BYTES, MappedTable, ParquetTable, readable_parquet
from foretoll.data.limits import BOMB_BYTES, check_memory, check_unpacked
from foretoll.data.open_npz import source_of_trees
from foretoll.data.presence import check_there
from foretoll.data.raw import RawData
from foretoll.data.splits import LABEL_KEYS
from foretoll.data.tabular import check_names, source_of_table
from foretoll.errors import DataError, UsageError, check_refused, shown, unknown_name
from foretoll.records import TableLayout

_ARROW = b"ARROW1"
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}  # bytes of a value


def open_parquet(uri: DataUri, layout: TableLayout | None = None) -> RawData:
    """Read a Parquet file; of a large one of numbers and categories the index, and its rows when they are asked for.

    Images are decoded after rows are chosen, so a `limit` saves the work.
    """
    check_there(uri)
    path, where = uri.file, uri.shown_path
    if uri.inputs:
        return source_of_trees(_trees(read_table(path, where), uri), uri, name=path.stem, where=where)
    with readable_parquet(where), path.open("rb") as file:
        start = file.read(len(_ARROW))
    if start == _ARROW:
        return source_of_table(arrow_table(path, where), uri, name=path.stem, where=where, layout=layout)
    table: Any = ParquetTable(path, where, lambda: read_table(path, where))
    if table.declared_bytes <= LAZY_BYTES or not table.sizes:
        table.close()
        table = read_table(path, where)
    return source_of_table(table, uri, name=path.stem, where=where, layout=layout)


def arrow_table(path: Path, where: str) -> Any:
    """The table in an Arrow file (Feather), mapped; of a large one its groups of rows. DataError on a damaged one."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (pa.ArrowException, OSError, ValueError) as error:
        check_refused(error, where, DataError)
        raise DataError(
            f"{where} cannot be read as an Arrow file: it is truncated or damaged; make or copy it again"
        ) from error
    check_names(table.column_names, where)
    return MappedTable(table, where) if table.nbytes > LAZY_BYTES else table


def read_table(path: Path, shown_path: str) -> Any:
    """The pyarrow Table in a Parquet file; DataError where it cannot be read, or does not fit into memory."""
    import pyarrow.parquet as pq

    with readable_parquet(shown_path), pq.ParquetFile(path) as file:
        check_names(file.schema_arrow.names, shown_path)  # reading would fail without a word of why
        return _read(file, path, shown_path)


def _trees(table: Any, uri: DataUri) -> dict[str, Any]:
    """The columns that are named as inputs as one tree, the label, and the other columns for `where=`."""
    names = table.column_names
    label = uri.label or next((name for name in LABEL_KEYS if name in names), None)
    for name in (*uri.inputs, *([uri.label] if uri.label else [])):
        if name not in names:
            raise UsageError(unknown_name(f"column of {uri.shown_path}", name, names))
    found: dict[str, Any] = {"x": {name: _values(table.column(name), name, uri) for name in uri.inputs}}
    if label is not None:
        found["y"] = np.asarray(table.column(label).to_pylist())
    rest = [name for name in names if name not in (*uri.inputs, label, "x", "y")]
    flat = {name: np.asarray(table.column(name).to_pylist()) for name in rest}
    return found | {name: values for name, values in flat.items() if values.dtype.kind in "iufbU"}


def _values(column: Any, name: str, uri: DataUri) -> Any:
    """A column of numbers, or of lists of equally many, as an array."""
    try:
        values = np.asarray(column.to_pylist())
    except ValueError:  # ragged
        values = np.empty(0, dtype=object)
    if values.dtype.kind not in "iufb":
        raise DataError(
            f"{uri.shown_path}: the column {shown(name, 40)} holds no numbers or lists of equally many: name others "
            "with inputs="
        )
    return values


def _read(file: Any, path: Path, where: str) -> Any:
    """The whole table, where it fits: by what the file declares, and by what comes.

    A dictionary of a few long texts stands for as many rows as it likes and is declared by its own size alone: what
    its rows come to is counted first, without unpacking them.
    """
    declared, packed, repeated = 0, path.stat().st_size, set()
    for i in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(i)
        for j in range(group.num_columns):
            column = group.column(j)
            whole = column.total_uncompressed_size
            declared += max(whole, column.num_values * _WIDTHS.get(column.physical_type, 0))
            if column.physical_type == "BYTE_ARRAY" and column.num_values * whole > BOMB_BYTES:
                repeated.add(column.path_in_schema)
    _check(packed, declared, where)
    if repeated:
        _check(packed, _bytes_of_texts(path, sorted(repeated), where), where)
    return file.read()


def _bytes_of_texts(path: Path, names: list[str], where: str) -> int:
    """Bytes of all values of some columns of texts or bytes, read as what is different and how often it comes."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found = 0
    try:
        with pq.ParquetFile(path, read_dictionary=names) as file:
            for i in range(file.metadata.num_row_groups):
                for column in file.read_row_group(i, columns=names).columns:
                    for part in _dictionaries(column):
                        lengths = pc.binary_length(part.dictionary)
                        found += pc.sum(pc.take(lengths, part.indices)).as_py() or 0
    except pa.ArrowCapacityError as error:
        raise DataError(
            f"{where} has over 2 GB of different texts in a group of rows: write it again with smaller groups"
        ) from error
    return found


def _dictionaries(column: Any) -> Iterator[Any]:
    """The dictionaries with their indices in a column, in the fields of structs and the items of lists too."""
    import pyarrow as pa

    for part in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        if pa.types.is_dictionary(part.type):
            yield part
        elif pa.types.is_struct(part.type):
            for field in part.flatten():
                yield from _dictionaries(field)
        elif pa.types.is_nested(part.type):
            yield from _dictionaries(part.flatten())


def _check(packed: int, unpacked: int, where: str) -> None:
    check_unpacked(packed, unpacked, where)
    check_memory(unpacked, where, "give a part of it")
