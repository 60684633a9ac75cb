"""`csv:PATH`: a table of text, plain or gzipped; see `foretoll.data.tabular` for what becomes of its columns."""

from __future__ import annotations

import codecs
import gzip
import io
import shutil
import tempfile
import weakref
import zlib
from pathlib import Path
from typing import IO, Any

from foretoll.data.address import DataUri
from foretoll.data.grouped import LAZY_BYTES, ParquetTable
from foretoll.data.limits import check_memory, check_unpacked
from foretoll.data.presence import check_there
from foretoll.data.raw import RawData
from foretoll.data.tabular import source_of_table
from foretoll.errors import DataError, shown
from foretoll.records import TableLayout

GZIP = b"\x1f\x8b"
BLOCK = 8_000_000  # bytes of text that are parsed at once; no row may be longer
_GROUP = 65_536  # rows of a group in the Parquet file that a large one becomes
_USUAL = {"\t": "tab", ";": "%3B", "|": "|", ",": ","}


def open_csv(uri: DataUri, layout: TableLayout | None = None) -> RawData:
    """Read a table of text whose first line names the columns; `sep=` is a comma, of .tsv files a tab.

    It is in UTF-8, or in UTF-16 where its first bytes say so, or as `encoding=` says.
    """
    path = uri.file
    try:
        check_there(uri)
        with path.open("rb") as file:
            start = file.read(2)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{shown(path)} cannot be read: give the path of a .csv file that you may read"
        ) from error
    packed, wide = start == GZIP, start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    name = path.name.removesuffix(".gz")
    sep = uri.sep or ("\t" if Path(name).suffix == ".tsv" else ",")
    encoding = uri.encoding or ("utf-16" if wide else "utf8")
    table = None if packed else _left_on_disk(path, sep, encoding, shown(path))
    table = _table(path, packed, sep, encoding) if table is None else table
    names = table.column_names
    other = next((s for s in _USUAL if len(names) == 1 and s in names[0] and s != sep), None)
    if other is not None and uri.sep is None:
        raise DataError(
            f"{shown(path)} has the single column {shown(table.column_names[0], 40)}: its values seem to be separated "
            f"by {other!r}; say sep={_USUAL[other]}"
        )
    return source_of_table(table, uri, name=Path(name).stem, where=uri.shown_path, layout=layout)


def _left_on_disk(path: Path, sep: str, encoding: str, where: str) -> ParquetTable | None:
    """A large table as a Parquet file in a folder of its own, which goes with the process; it is parsed once.

    None where the file is small, where there is no room for the folder, or where a column's type shows late.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    size = path.stat().st_size
    if size <= LAZY_BYTES or shutil.disk_usage(tempfile.gettempdir()).free < 2 * size:
        return None
    parse = csv.ParseOptions(delimiter=sep, newlines_in_values=True)
    read = csv.ReadOptions(block_size=BLOCK, encoding=encoding)
    folder = Path(tempfile.mkdtemp(prefix="foretoll-csv-"))
    made = folder / "table.parquet"
    try:
        with (
            path.open("rb") as file,
            csv.open_csv(file, read_options=read, parse_options=parse) as batches,
            pq.ParquetWriter(made, batches.schema) as writer,
        ):
            if any(pa.types.is_binary(field.type) for field in batches.schema):
                raise ValueError("no text in UTF-8")
            waiting: list[Any] = []
            for batch in batches:
                waiting.append(batch)
                if sum(one.num_rows for one in waiting) >= _GROUP:
                    writer.write_table(pa.Table.from_batches(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pa.Table.from_batches(waiting))
    except (pa.ArrowException, OSError, ValueError):  # told where it is read whole
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def whole() -> Any:
        return _table(path, False, sep, encoding)

    table = ParquetTable(made, where, whole)
    weakref.finalize(table, shutil.rmtree, folder, ignore_errors=True)
    return table


def _table(path: Path, packed: bool, sep: str, encoding: str) -> Any:
    """The whole table; columns whose values fit no type together are texts."""
    import pyarrow as pa
    from pyarrow import csv

    size = path.stat().st_size
    if not packed:
        check_memory(2 * size, shown(path), "give a part of the file")
    parse = csv.ParseOptions(delimiter=sep, newlines_in_values=True)
    read = csv.ReadOptions(block_size=BLOCK, encoding=encoding)
    try:
        try:
            with _opened(path, packed) as file:
                return _checked(csv.read_csv(file, read_options=read, parse_options=parse), path)
        except pa.ArrowInvalid as error:
            if "conversion error" not in str(error).lower():
                raise
            # a later block holds what the first did not: numbers, then texts
            with _opened(path, packed) as file:
                names = csv.open_csv(file, read_options=read, parse_options=parse).schema.names
            with _opened(path, packed) as file:
                texts = csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
                )
                table = csv.read_csv(file, read_options=read, parse_options=parse, convert_options=texts)
            return _typed(table)
    except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError) as error:
        if isinstance(error.__cause__ or error.__context__, DataError):
            raise (error.__cause__ or error.__context__) from None  # type: ignore[misc]
        if isinstance(error, UnicodeError) or "invalid UTF8" in str(error):
            raise _no_text(path, "", encoding) from error
        if "straddl" in str(error):  # a row that ends in neither of two blocks
            raise DataError(
                f"{shown(path)} has a row of more than {BLOCK:,} bytes, which no table has: close its quotes, or check "
                "that it is CSV"
            ) from error
        raise DataError(
            f"{shown(path)} cannot be read as CSV ({shown(_first_line(error), 100)}): save it with as many values in "
            "each row as the first line has names"
        ) from error


def _checked(table: Any, path: Path) -> Any:
    """The table; DataError where a column has bytes that are no text."""
    import pyarrow as pa

    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise _no_text(path, f" in column {shown(field.name, 40)}", "utf8")
    return table


def _no_text(path: Path, place: str, encoding: str) -> DataError:
    if encoding != "utf8":
        return DataError(f"{shown(path)} is no text in {encoding}{place}: give another encoding=")
    return DataError(
        f"{shown(path)} is no text in UTF-8{place}: say how it is encoded, such as encoding=cp1252, or save it in UTF-8"
    )


def _typed(table: Any) -> Any:
    """Columns of texts as numbers where all of their values are."""
    import pyarrow as pa

    for i, name in enumerate(table.column_names):
        for kind in (pa.int64(), pa.float64()):
            try:
                table = table.set_column(i, name, table.column(i).cast(kind))
                break
            except pa.ArrowInvalid:
                continue
    return table


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].removeprefix("CSV parse error: ")


def _opened(path: Path, packed: bool) -> IO[bytes]:
    if not packed:
        return path.open("rb")
    return io.BufferedReader(_BoundedStream(path), buffer_size=1 << 20)


class _BoundedStream(io.RawIOBase):
    """What a gzip file unpacks to, refused as soon as it is more than data are or than memory may hold."""

    def __init__(self, path: Path) -> None:
        self._name, self._packed = shown(path), path.stat().st_size
        self._file = gzip.open(path, "rb")  # noqa: SIM115  # closed with this object
        self._unpacked = 0
        self._checked = 0

    def readable(self) -> bool:
        """It is read only."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; DataError for a bomb."""
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self._unpacked += len(content)
        check_unpacked(self._packed, self._unpacked, self._name)
        if self._unpacked - self._checked > 64_000_000:
            self._checked = self._unpacked
            check_memory(2 * self._unpacked, self._name, "give a part of the file")
        return len(content)

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()
