"""Tables (Parquet files, Hugging Face data sets) as sources: encoded images, texts, or columns of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from foretoll.data.checks import check_finite, read_labels
from foretoll.data.images import DecodedImages, EncodedImages, look_at
from foretoll.data.source import Source, role_of
from foretoll.data.splits import INPUT_KEYS, ArraySplit, DatasetSplit
from foretoll.data.uri import DataUri
from foretoll.errors import DataError, UsageError, unknown_name

MISSING = "(missing)"
MISSING_MARKS = ("", "?")  # besides null; each column's missing values are one level of their own
TEXT_COLUMNS = ("text", "sentence", "review", "content", "question")
MAX_LEVELS = 1000


def source_of_table(
    table: Any, uri: DataUri, *, name: str, where: str, class_names: Sequence[str] | None = None
) -> Source:
    """A source from a pyarrow Table.

    The label column is `label=`, default `label`; `<label>_name` names the classes; `split` holds the rows'
    own split. Of the other columns, one with encoded images makes an image source, one called `text` (or
    `kind=text` and any column of texts) a text source, else all of them are features: numbers as they are,
    texts one-hot with every level of the whole file, missing values as a level of their own.
    """
    if table.num_rows == 0:
        raise DataError(f"{where} has no rows: it needs samples")
    label = uri.label or "label"
    if uri.label is not None and label not in table.column_names:
        raise UsageError(unknown_name(f"column of {where}", label, table.column_names))
    labels, classes = _labels(table, label, where, class_names)
    given = None
    if "split" in table.column_names:
        given = np.array([role_of(str(value)) for value in table.column("split").to_pylist()])
    features = [c for c in table.column_names if c not in {label, f"{label}_name", "split"}]
    if not features:
        raise DataError(f"{where} has no column besides {', '.join(table.column_names)}: it needs samples")
    rows, kind, shape, eager = _rows(table, features, uri, where, labels)

    def column(name: str) -> npt.NDArray[Any]:
        if name == label and labels is not None:
            return np.asarray(classes)[labels]
        return _values(table, name)

    return Source(
        name=name,
        kind=kind,
        rows=rows,
        classes=classes,
        shape=shape,
        given=given,
        columns=tuple(c for c in table.column_names if not _is_binary(table, c)),
        column=column,
        eager=eager,
    )


def _rows(
    table: Any, features: list[str], uri: DataUri, where: str, labels: npt.NDArray[Any] | None
) -> tuple[ArraySplit | DatasetSplit, str, tuple[int, ...], bool]:
    ids = np.arange(table.num_rows)
    image = next((c for c in (*INPUT_KEYS, *features) if c in features and _is_binary(table, c)), None)
    if image is not None:
        if uri.kind not in {None, "image"}:
            raise UsageError(
                f"{where} holds images in {image}, and kind={uri.kind} was asked for: leave kind out"
            )
        column = table.column(image)

        def content(row: int) -> bytes | None:
            value = column[row].as_py()
            found: bytes | None = value["bytes"] if isinstance(value, dict) else value
            return found

        encoded = EncodedImages(content, table.num_rows, where)
        look = look_at(encoded)
        form = look.form(uri.size)
        dataset = DecodedImages(encoded, form)
        return (
            DatasetSplit(dataset, labels=labels, ids=ids, threads=look.threads),
            "image",
            form.shape,
            True,
        )
    texts = [c for c in features if _is_text(table, c)]
    text = next((c for c in TEXT_COLUMNS if c in texts), texts[0] if texts else None)
    if uri.kind == "text" and text is None:
        raise DataError(f"{where} has no column of texts: leave kind=text out")
    if text is not None and (uri.kind == "text" or (uri.kind is None and text in TEXT_COLUMNS)):
        values = table.column(text).to_pylist()
        for row, value in enumerate(values):
            if value is None:
                raise DataError(f"{where} has no text in row {row} of column {text}: remove or fill it")
        return ArraySplit(values, labels, ids=ids), "text", (), False
    if uri.kind == "image":
        raise DataError(f"{where} has no column of encoded images: leave kind=image out")
    matrix = features_of(table, features, where)
    if uri.kind == "series":
        matrix = matrix[:, None, :]
    return (
        ArraySplit(torch.from_numpy(matrix), labels, ids=ids),
        uri.kind or "vector",
        matrix.shape[1:],
        False,
    )


def features_of(table: Any, columns: Sequence[str], where: str) -> npt.NDArray[np.float32]:
    """The columns as one float32 matrix (n, d); the vocabulary of each column of texts is the whole file's."""
    import pyarrow as pa

    parts: list[npt.NDArray[np.float32]] = []
    for name in columns:
        column = table.column(name)
        kind = column.type
        if pa.types.is_dictionary(kind) or _is_text(table, name):
            parts.append(_one_hot(_values(table, name), name, where))
        elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
            if column.null_count:
                raise DataError(
                    f"{where} has {column.null_count} missing numbers in column {name}: fill them before"
                )
            values = column.to_numpy().astype(np.float64)
            check_finite(values, f"{where}: column {name}")
            with np.errstate(over="ignore"):  # refused in the next line
                parts.append(values.astype(np.float32)[:, None])
            check_finite(parts[-1], f"{where}: column {name}, as float32,")
        elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            parts.append(_lists(column, name, where))
        else:
            raise DataError(
                f"{where} has column {name} of type {kind}: columns are numbers, truth values or texts"
            )
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _one_hot(values: npt.NDArray[Any], name: str, where: str) -> npt.NDArray[np.float32]:
    levels, numbers = np.unique(values, return_inverse=True)
    if len(levels) > MAX_LEVELS:
        raise DataError(
            f"{where} has {len(levels)} different texts in column {name}, too many to be categories: "
            "use kind=text, or remove the column"
        )
    out = np.zeros((len(values), len(levels)), dtype=np.float32)
    out[np.arange(len(values)), numbers] = 1.0
    return out


def _lists(column: Any, name: str, where: str) -> npt.NDArray[np.float32]:
    rows = column.to_pylist()
    lengths = {None if row is None else len(row) for row in rows}
    if len(lengths) != 1 or None in lengths:
        raise DataError(
            f"{where} has lists of different lengths in column {name}: all samples need one shape"
        )
    try:
        values = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where} has lists in column {name} that are not all numbers: remove the column"
        ) from error
    flat = values.reshape(len(rows), -1)
    check_finite(flat, f"{where}: column {name}")
    return flat.astype(np.float32)


def _labels(
    table: Any, label: str, where: str, class_names: Sequence[str] | None
) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    if label not in table.column_names:
        return None, ()
    place = f"{where}: column {label}"
    column = table.column(label)
    if column.null_count:
        raise DataError(f"{place} has {column.null_count} missing labels: remove those rows or the column")
    values = np.asarray(column.to_pylist())
    names = class_names
    if names is None and f"{label}_name" in table.column_names and values.dtype.kind in "iu":
        texts = table.column(f"{label}_name").to_pylist()
        by_number = {int(n): str(t) for n, t in zip(values.tolist(), texts, strict=True)}
        if min(by_number) >= 0 and max(by_number) < len(set(by_number.values())):
            names = [by_number.get(i, str(i)) for i in range(max(by_number) + 1)]
    return read_labels(values, place, names=names)


def _values(table: Any, name: str) -> npt.NDArray[Any]:
    """A column for conditions and categories; every missing mark of a column of texts reads the same."""
    import pyarrow as pa

    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values = column.to_pylist()
    if _is_text(table, name) or pa.types.is_dictionary(table.column(name).type):
        return np.array([MISSING if v is None or str(v).strip() in MISSING_MARKS else str(v) for v in values])
    return np.array([MISSING if v is None else v for v in values])


def _is_text(table: Any, name: str) -> bool:
    import pyarrow as pa

    kind = table.column(name).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_binary(table: Any, name: str) -> bool:
    import pyarrow as pa

    kind = table.column(name).type
    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
