"""What stands in the columns of a pyarrow Table: their types in our words, and their values as texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.data.grouped import parts_of
from foretoll.data.limits import check_unpacked
from foretoll.errors import DataError, shown

IntArray = npt.NDArray[np.int64]
MISSING = "(missing)"
MISSING_MARKS = ("", "?")  # besides null; each column's missing values are one level of their own

MOST_CHARACTERS = 50_000_000  # rows times the longest text, four bytes each


def is_text(kind: Any) -> bool:
    """Whether a type is that of texts."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_category(kind: Any) -> bool:
    """Whether a column of this type holds categories: texts, or whatever was stored as a dictionary."""
    import pyarrow as pa

    return is_text(kind) or bool(pa.types.is_dictionary(kind))


def is_number(kind: Any) -> bool:
    """Whether a column of this type holds numbers; truth values are not among them."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_temporal(kind: Any) -> bool:
    """Whether a type is that of dates, times or durations."""
    import pyarrow as pa

    return bool(pa.types.is_temporal(kind))


def is_binary(kind: Any) -> bool:
    """Whether a column of this type holds bytes, bare or with a path beside them: encoded images."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def kind_of(table: Any, name: str) -> Any:
    """The type of a column, which is not read."""
    return table.schema.field(name).type


def plain(column: Any) -> Any:
    """A column without its dictionary, where it is stored with one.

    Raises DataError where a few long texts would take far more room than the file.
    """
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return column
    for chunk in column.chunks if is_text(column.type.value_type) else ():
        values, codes = coded(chunk)
        lengths = np.array([len(value or "") for value in values] or [0], dtype=np.int64)
        often = np.bincount(codes, minlength=len(lengths))
        check_unpacked(int(lengths.sum()) + len(codes), int((often * lengths).sum()), "a column of texts")
    return column.cast(column.type.value_type)


def numpy_of(column: Any, kind: Any = np.float64) -> npt.NDArray[Any]:
    """A column (ChunkedArray) of numbers or truth values as an array; what is missing is NaN, in float64.

    Without pyarrow's own way, which imports pandas.
    """
    import pyarrow as pa

    out, at = np.empty(len(column), dtype=kind), 0
    for chunk in column.chunks:
        values = chunk.cast(pa.int8()) if pa.types.is_boolean(chunk.type) else chunk
        values = (
            values.cast(pa.float64()) if pa.types.is_decimal(values.type) or values.null_count else values
        )
        values = values.fill_null(math.nan) if values.null_count else values
        out[at : at + len(values)] = np.from_dlpack(values)
        at += len(values)
    return out


def coded(chunk: Any) -> tuple[list[Any], IntArray]:
    """The different values of a pyarrow Array, and of which of them each row is; the missing one is None."""
    import pyarrow as pa

    if not pa.types.is_dictionary(chunk.type):
        chunk = chunk.dictionary_encode()
    values = [*chunk.dictionary.to_pylist(), None]
    codes = chunk.indices.cast(pa.int64()).fill_null(len(values) - 1)
    return values, np.from_dlpack(codes).astype(np.int64, copy=False)


def plain_column(table: Any, name: str) -> Any:
    """A column of a table without its dictionary."""
    return plain(table.column(name))


def text_counts(table: Any, name: str) -> dict[str, int]:
    """How often each text of `cell_texts` stands in a column, which is read part by part."""
    found: dict[str, int] = {}
    for part in parts_of(table, name):
        marks = marks_of(part.type)
        for chunk in part.chunks:
            values, codes = coded(chunk)
            counts = np.bincount(codes, minlength=len(values)).tolist()
            for value, count in zip(values, counts, strict=True):
                if count:
                    text = text_of(value, marks)
                    found[text] = found.get(text, 0) + count
    return found


def marks_of(kind: Any) -> tuple[str, ...]:
    """What means that a value is missing in a column of this type, besides null."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return MISSING_MARKS if is_text(kind) else ()


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def cell_texts(table: Any, name: str) -> npt.NDArray[np.str_]:
    """The values of a column as texts; every missing mark reads the same. 2.0 reads 2, as where= and levels say it."""
    return texts_of(table.column(name), name)


def texts_of(values: Any, name: str) -> npt.NDArray[np.str_]:
    """The same of the values of a column (a pyarrow ChunkedArray)."""
    column = plain(values)
    marks = marks_of(column.type)
    texts = [text_of(value, marks) for value in column.to_pylist()]
    check_lengths_of_texts(texts, f"the column {shown(name)}")
    return np.array(texts, dtype=np.str_)


def check_lengths_of_texts(texts: Sequence[Any], where: str) -> None:
    """Refuse texts that would take too much room: numpy gives every one of them the room of the longest."""
    longest = max((len(text) for text in texts if isinstance(text, str)), default=0)
    if longest * len(texts) > MOST_CHARACTERS:
        raise DataError(
            f"{where} has a text of {longest:,} characters, which is no category: leave the column out (drop=), or "
            "cut its texts before"
        )


def text_of(value: Any, marks: tuple[str, ...]) -> str:
    """The value of one cell as a text; `marks` mean that it is missing."""
    if is_missing(value):
        return MISSING
    if isinstance(value, float):
        return str(int(value)) if abs(value) < 1e15 and value.is_integer() else f"{value:g}"
    text = str(value)
    return MISSING if marks and text.strip() in marks else text
