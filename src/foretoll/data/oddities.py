"""Which columns of a table are no inputs: what only tells the rows apart, free text, dates, and other types."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.data.cells import MISSING, is_category, is_number, is_temporal, kind_of, numpy_of, text_counts
from foretoll.data.grouped import GroupedTable, parts_of

FEWEST_ROWS = 30  # of fewer rows it is no wonder that all are different
NEARLY_ALL = 0.95
MOST_DIFFERENT = 0.5  # texts of which more are different are no categories
FEW_LEVELS = 20
FREE_TEXT = "free text"
_ID_NAME = re.compile(
    r"(?:^|[^a-z])(?:id|ids|uid|uuid|guid|key|idx|index|nr|no|number|row|rownum|customer|user|account|session|"
    r"transaction|order|serial|code|name|email|phone|url|hash)(?:$|[^a-z])"
)
_PANDAS_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+|")


def why_left_out(table: Any, name: str, most_levels: int) -> str:
    """Why a column is no input, in a few words; empty where it is one."""
    import pyarrow as pa

    kind = kind_of(table, name)
    if is_temporal(kind):
        return "dates or times"
    if pa.types.is_null(kind) or nulls_of(table, name) == table.num_rows:
        return "no values"
    if is_category(kind):
        return _odd_texts(text_counts(table, name), most_levels)
    if pa.types.is_integer(kind):
        return _odd_integers(table, name, np.uint64 if pa.types.is_uint64(kind) else np.int64)
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if is_number(kind) or pa.types.is_boolean(kind) or lists:
        return ""
    return f"type {str(kind)[:40]}"


def nulls_of(table: Any, name: str) -> int:
    """How many values of a column are missing."""
    return table.nulls(name) if isinstance(table, GroupedTable) else int(table.column(name).null_count)


def _odd_texts(counts: dict[str, int], most_levels: int) -> str:
    different = sorted(counts.keys() - {MISSING})
    rows = sum(counts.values())
    present = rows - counts.get(MISSING, 0)
    share = len(different) / max(present, 1)
    many = present >= FEWEST_ROWS and len(different) > FEW_LEVELS and share > MOST_DIFFERENT
    if not many and len(different) <= most_levels:
        return ""
    if np.mean([text.count(" ") for text in different[:200]]) >= 2:
        return FREE_TEXT
    if share >= NEARLY_ALL:
        return "an id: nearly every row has its own"
    return f"{len(different):,} different texts in {rows:,} rows"


def _odd_integers(table: Any, name: str, kind: Any) -> str:
    """Numbers that number the rows: as their name says, a run without gaps, or of one length as account numbers are."""
    rows = table.num_rows - nulls_of(table, name)
    if rows < FEWEST_ROWS:
        return ""
    values: npt.NDArray[Any] = np.empty(0, dtype=kind)
    seen = 0
    for part in parts_of(table, name):  # no further than it takes to see that too many stand twice
        found = numpy_of(part.drop_null(), kind)
        seen += len(found)
        values = np.unique(found if not len(values) else np.concatenate([values, found]))
        if seen - len(values) > (1 - NEARLY_ALL) * rows:
            return ""
    different = len(values)
    if different < NEARLY_ALL * rows:
        return ""
    low, high = int(values[0]), int(values[-1])
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    named = bool(_PANDAS_INDEX.fullmatch(name) or _ID_NAME.search(words))
    all_different = different == rows
    numbered = all_different and high - low < 1.2 * rows
    one_length = all_different and low >= 100_000 and len(str(low)) == len(str(high))
    if named or numbered or one_length:
        return "an id: every row has its own" if all_different else "an id: nearly every row has its own"
    return ""
