"""The columns of a table as inputs of a model: what each holds, which are left out, and the same ones by name again.

A table is read in one of two ways. Without a layout its own columns decide: numbers, truth values, categories and
lists of numbers become inputs in the order of the file; what tells the rows apart (ids), free text, dates and other
types are left out, and the reading says so. With the layout of a model's table, that table's columns are looked for by
name and encoded as the model knows them, wherever they stand in the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.data.cells import (
    MISSING,
    coded,
    is_category,
    is_number,
    is_temporal,
    kind_of,
    marks_of,
    numpy_of,
    text_counts,
    text_of,
    texts_of,
)
from foretoll.data.checks import few
from foretoll.data.grouped import GroupedTable
from foretoll.data.limits import check_memory
from foretoll.data.oddities import why_left_out
from foretoll.data.raw import Fault
from foretoll.data.spelling import match_names
from foretoll.data.uri import uri_value
from foretoll.errors import DataError, shown
from foretoll.records import TableColumn, TableLayout

MAX_LEVELS = 1000
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Inputs:
    """A table's rows as inputs (n, d), the columns that they come from, and what there is to tell.

    matrix: None of a table that is read by groups of rows. places: the input of each text of a column of categories.
    fills: of such a table, what stands in for the missing numbers of a column.
    """

    matrix: Matrix | None
    columns: tuple[TableColumn, ...]
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    places: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    fills: Mapping[str, float] = field(default_factory=dict)


def read_columns(
    table: Any, names: Sequence[str], where: str, *, chosen: bool, layout: TableLayout | None
) -> Inputs:
    """The columns `names` of a pyarrow Table as inputs.

    `chosen`: the user named them, so none is left out. `layout`: of the model's table; its columns are read.

    Raises:
        DataError: a column that the model reads is missing or holds something else, none is left, or a column that
            was named cannot be read as numbers or categories.

    """
    if layout is not None and layout.columns:
        return _read_layout(table, names, where, layout.columns)
    left_out = {} if chosen else {n: why for n in names if (why := why_left_out(table, n, MAX_LEVELS))}
    kept = [name for name in names if name not in left_out]
    notes = (
        [f"{where}: columns left out: {few([f'{n} ({why})' for n, why in left_out.items()])}"]
        if left_out
        else []
    )
    if not kept:
        first = next(iter(left_out))
        raise DataError(
            f"{where} has no column to learn from ({shown(first)}: {left_out[first]}): "
            "give it a column of numbers or categories, or name those to read all the same with columns="
        )
    columns = tuple(_column(table, name, where) for name in kept)
    return _encoded(table, columns, where, notes)


def _read_layout(table: Any, names: Sequence[str], where: str, columns: tuple[TableColumn, ...]) -> Inputs:
    missing = [column.name for column in columns if column.name not in names]
    new = [name for name in names if name not in {column.name for column in columns}]
    if missing:
        near = difflib.get_close_matches(missing[0], new, n=1, cutoff=0.4) or [
            theirs for theirs, ours in match_names(new, missing).items() if ours == missing[0]
        ]
        hint = f"did you mean {shown(near[0], 40)}? rename it there" if near else "add it"
        raise DataError(
            f"{where} lacks {_counted(missing)} that the model reads: {hint}, or give a model that was trained "
            "without"
        )
    notes = []
    if new:
        notes.append(f"{where}: columns that the model does not read are left out: {few(new)}")
    return _encoded(table, columns, where, notes)


def _column(table: Any, name: str, where: str) -> TableColumn:
    """What a column holds; DataError where it is nothing that becomes an input."""
    import pyarrow as pa

    kind = kind_of(table, name)
    if pa.types.is_boolean(kind):
        return TableColumn(name=name, kind="truth value")
    if is_number(kind):
        return TableColumn(name=name, kind="number")
    if is_category(kind):
        levels = tuple(sorted(text_counts(table, name)))
        if len(levels) > MAX_LEVELS:
            raise DataError(
                f"{where} has {len(levels):,} different texts in column {shown(name)}, too many to be categories: "
                f"leave it out with drop={uri_value(name)}, or read it alone with kind=text"
            )
        return TableColumn(name=name, kind="category", levels=levels, width=len(levels))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return TableColumn(name=name, kind="list", width=_lists(table, name, where).shape[1])
    what = "dates or times" if is_temporal(kind) else f"values of type {shown(kind, 40)}"
    raise DataError(
        f"{where} has {what} in column {shown(name)}, which are no inputs: leave it out with "
        f"drop={uri_value(name)}"
    )


def _encoded(table: Any, columns: tuple[TableColumn, ...], where: str, notes: list[str]) -> Inputs:
    if isinstance(table, GroupedTable):
        if all(_by_groups(kind_of(table, column.name), column) for column in columns):
            return _indexed(table, columns, where, notes)
        table = table.whole()
    width = sum(column.width for column in columns)
    check_memory(
        4 * width * table.num_rows,
        f"{where}: {table.num_rows:,} rows of {width:,} inputs",
        "leave columns of many levels out with drop=",
    )
    matrix = np.zeros((table.num_rows, width), dtype=np.float32)
    faults: list[Fault] = []
    at = 0
    for column in columns:
        part = matrix[:, at : at + column.width]
        at += column.width
        if column.kind == "category":
            places, told = _places(table, column, where)
            notes += told
            put_levels(part, table.column(column.name), places)
        elif column.kind == "list":
            lists = _lists(table, column.name, where)
            if lists.shape[1] != column.width:
                raise DataError(
                    f"{where} has lists of {lists.shape[1]} numbers in column {shown(column.name)}, and the model "
                    f"reads {column.width}: bring them to one length"
                )
            part[:] = lists
        else:
            values, told = numbers_of(table.column(column.name), column, where)
            notes += told
            faults += _put(part[:, 0], values, column.name, where)
    return Inputs(matrix, columns, tuple(faults), tuple(notes))


def _by_groups(kind: Any, column: TableColumn) -> bool:
    """Whether each group of rows of a column can be read by itself."""
    import pyarrow as pa

    if column.kind == "category":
        return is_category(kind) or is_number(kind) or bool(pa.types.is_boolean(kind))
    return column.kind != "list" and (is_number(kind) or bool(pa.types.is_boolean(kind)))


def _indexed(table: GroupedTable, columns: tuple[TableColumn, ...], where: str, notes: list[str]) -> Inputs:
    """What has to be known of a table before its groups of rows are read: levels, and where numbers are missing."""
    faults: list[Fault] = []
    places: dict[str, Mapping[str, int]] = {}
    fills: dict[str, float] = {}
    for column in columns:
        if column.kind == "category":
            places[column.name], told = _places(table, column, where)
            notes += told
        elif table.nulls(column.name):
            values, _ = numbers_of(table.column(column.name), column, where)
            part = np.empty(table.num_rows, dtype=np.float32)
            found = _put(part, values, column.name, where)
            faults += found
            fills[column.name] = float(part[int(np.argmax(found[0].rows))])
    return Inputs(None, columns, tuple(faults), tuple(notes), places, fills)


def _places(table: Any, column: TableColumn, where: str) -> tuple[dict[str, int], list[str]]:
    """The input of each text of a column; −1 for a level that the model does not know, of which there is a note."""
    notes = []
    counts = text_counts(table, column.name)
    theirs = sorted(counts)
    known = match_names(theirs, column.levels)
    respelled = [f"{shown(a, 30)} = {shown(b, 30)}" for a, b in known.items() if a != b]
    if respelled:
        notes.append(f"{where}: levels of {shown(column.name)} read as the model's: {few(respelled)}")
    unseen = [text for text in theirs if text not in known]
    if unseen and not known:
        raise DataError(
            f"{where} has none of the model's levels in column {shown(column.name)} ({shown(unseen[0], 40)} against "
            f"{shown(column.levels[0], 40)}): give data with the same levels, or a model trained on these"
        )
    if unseen:
        rows = sum(counts[text] for text in unseen)
        notes.append(
            f"{where}: {few([shown(text, 30) for text in unseen])} in column {shown(column.name)} "
            f"({rows:,} of {table.num_rows:,} rows) is unknown to the model, which reads no level there"
        )
    position = {level: i for i, level in enumerate(column.levels)}
    return {text: position[known[text]] if text in known else -1 for text in theirs}, notes


def put_levels(part: Matrix, values: Any, places: Mapping[str, int]) -> None:
    """Fill the inputs of a column of categories, one a level, from its values (a pyarrow ChunkedArray)."""
    at, marks = 0, marks_of(values.type)
    for chunk in values.chunks:
        different, codes = coded(chunk)
        inputs = np.array([places.get(text_of(value, marks), -1) for value in different])[codes]
        rows_known = np.flatnonzero(inputs >= 0)
        part[at + rows_known, inputs[rows_known]] = 1.0
        at += len(chunk)


def numbers_of(values: Any, column: TableColumn, where: str) -> tuple[npt.NDArray[np.float64], list[str]]:
    """A column of numbers or truth values (ChunkedArray); numbers that stand as texts are read, with a note."""
    import pyarrow as pa

    kind = values.type
    if is_number(kind) or pa.types.is_boolean(kind):
        return numpy_of(values), []
    if not is_category(kind):
        raise DataError(
            f"{where} has values of type {shown(kind, 40)} in column {shown(column.name)}, where the model reads "
            "numbers: give the column as numbers"
        )
    texts = texts_of(values, column.name)
    out = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        if text == MISSING:
            continue
        try:
            out[row] = _TRUTH[text.strip().lower()] if column.kind == "truth value" else float(text)
        except (KeyError, ValueError):
            raise DataError(
                f"{where} has texts in column {shown(column.name)} ({shown(text, 40)} in row {row}), where the model "
                f"reads a {column.kind}: give it as such, or a model trained on these"
            ) from None
    return out, [
        f"{where}: column {shown(column.name)} holds texts, read as the {column.kind}s that the model knows"
    ]


_TRUTH = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


def _put(part: Matrix, values: npt.NDArray[np.float64], name: str, where: str) -> list[Fault]:
    """Fill one input; rows without a finite number get the mean, and are a fault where they are chosen."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is a fault, too
        narrow = values.astype(np.float32)
    bad = ~np.isfinite(narrow)
    faults = []
    if bad.any():
        good = narrow[~bad]
        narrow[bad] = good.mean(dtype=np.float64) if len(good) else 0.0
        faults = [
            Fault(rows, f"{where} has {int(rows.sum()):,} {what} in column {shown(name)}, the first in row "
                  f"{int(np.argmax(rows))}: leave the column out with drop={uri_value(name)}{way}")
            for rows, what, way in (
                (np.isnan(values), "missing numbers",
                 f", the rows with where={uri_value(name)}!{MISSING}, or fill them"),
                (bad & ~np.isnan(values), "numbers beyond what float32 holds", ", or correct them"),
            )
            if rows.any()
        ]  # fmt: skip
    part[:] = narrow
    return faults


def _lists(table: Any, name: str, where: str) -> Matrix:
    rows = table.column(name).to_pylist()
    lengths = {None if row is None else len(row) for row in rows}
    way = f"leave the column out with drop={uri_value(name)}"
    if len(lengths) != 1 or None in lengths or 0 in lengths:
        raise DataError(
            f"{where} has lists of different lengths in column {shown(name)}: all samples need one shape; {way}"
        )
    try:
        values = np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where} has lists in column {shown(name)} that are not all numbers: {way}"
        ) from error
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    bad = ~np.isfinite(narrow).all(axis=1)
    if bad.any():
        raise DataError(
            f"{where} has {int(bad.sum()):,} lists with missing or infinite numbers in column {shown(name)}, the first "
            f"in row {int(np.argmax(bad))}: fill them, or {way}"
        )
    return narrow


def _counted(names: Sequence[str]) -> str:
    return f"the column {shown(names[0])}" if len(names) == 1 else f"{len(names)} columns ({few(names)})"
