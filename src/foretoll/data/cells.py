"""What stands in the columns of a pyarrow Table: their types in our words, and their values as texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.errors import DataError, shown

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


def plain_column(table: Any, name: str) -> Any:
    """A column without its dictionary, where it is stored with one."""
    import pyarrow as pa

    column = table.column(name)
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def cell_texts(table: Any, name: str) -> npt.NDArray[np.str_]:
    """The values of a column as texts; every missing mark reads the same. 2.0 reads 2, as where= and levels say it."""
    column = plain_column(table, name)
    marks = MISSING_MARKS if is_text(column.type) else ()
    texts = [_text(value, marks) for value in column.to_pylist()]
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


def _text(value: Any, marks: tuple[str, ...]) -> str:
    if is_missing(value):
        return MISSING
    if isinstance(value, float):
        return str(int(value)) if abs(value) < 1e15 and value.is_integer() else f"{value:g}"
    text = str(value)
    return MISSING if marks and text.strip() in marks else text
