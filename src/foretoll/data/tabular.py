"""Tables (Parquet and CSV files, Hugging Face data sets, data frames) as sources of images, texts or values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from foretoll.data.address import DataUri
from foretoll.data.cells import (
    MISSING,
    MOST_CHARACTERS,
    cell_texts,
    check_lengths_of_texts,
    coded,
    is_binary,
    is_missing,
    is_text,
    kind_of,
    numpy_of,
    plain_column,
)
from foretoll.data.columns import MAX_LEVELS, Inputs, read_columns
from foretoll.data.fitting import several
from foretoll.data.grouped import GroupedTable, whole_of
from foretoll.data.images import DecodedImages, EncodedImages, look_at
from foretoll.data.oddities import FREE_TEXT, why_left_out
from foretoll.data.raw import Fault, RawData, role_of, splits_said, targets_said
from foretoll.data.splits import INPUT_KEYS, ArraySplit, DatasetSplit
from foretoll.data.table_rows import TableRows
from foretoll.data.tokens import token_ids
from foretoll.data.unreadable import readable
from foretoll.data.uri import uri_value
from foretoll.errors import DataError, UsageError, shown, unknown_name
from foretoll.records import TableColumn, TableLayout
from foretoll.tasks import read_targets
from foretoll.tasks.classification import MAX_CLASSES

TEXT_COLUMNS = ("text", "sentence", "review", "content", "question")


def source_of_table(
    table: Any,
    uri: DataUri,
    *,
    name: str,
    where: str,
    class_names: Sequence[str] | None = None,
    layout: TableLayout | None = None,
) -> RawData:
    """A source from a pyarrow Table, or from a `GroupedTable` whose rows are read when a batch asks for them.

    The label column is `label=`, else that of `layout`, else `label`; `<label>_name` names the classes; `split` holds
    the rows' own split. Of the other columns (those of `columns=`, without those of `drop=`), one with encoded images
    makes an image source, one called `text` (or `kind=text` and any column of texts) a text source, else all of them
    are features: numbers as they are, texts one-hot with every level of the whole file, missing values as a level of
    their own; ids, free text and dates are left out, and noted. With the columns of a `layout` these are read, by name.
    """
    if table.num_rows == 0:
        raise DataError(f"{where} has no rows: it needs samples")
    _check_sound(table, where)
    names = list(table.column_names)
    check_names(names, where)
    label = _label_column(names, uri, where, layout)
    of_label = _columns_of(label, names)
    task = uri.task or (layout.task if layout is not None and layout.label == label else None)
    features = _features(names, of_label or (label,), uri, where)
    image = next((c for c in (*INPUT_KEYS, *features) if c in features and _is_binary(table, c)), None)
    skipped: tuple[str, ...] = ()
    table = table if image is None else whole_of(table)
    if image is not None and uri.skip_unreadable:
        kept, skipped = readable(EncodedImages(_content(table.column(image)), table.num_rows, where))
        table = table.filter(kept)
    labels = _labels(table, of_label, where, class_names, task) if of_label else _Labels()
    given = None
    if "split" in names:
        given = np.array([role_of(text) for text in cell_texts(table, "split").tolist()])
    rows = _rows(table, features, image, uri, where, labels.numbers, layout)

    def column(name: str) -> npt.NDArray[Any]:
        if name == label and labels.numbers is not None and labels.task == "classification":
            texts = np.asarray(labels.classes, dtype=object)[labels.numbers]
            texts[labels.missing] = MISSING
            return np.asarray(texts.astype(str))
        return cell_texts(table, name)

    source = RawData(
        name=name,
        kind=rows.kind,
        rows=rows.split,
        classes=labels.classes,
        task=labels.task,
        shape=rows.shape,
        given=given,
        columns=tuple(c for c in names if not _is_binary(table, c)),
        column=column,
        eager=rows.kind == "image" and not several(rows.split),  # of those a model decides
        notes=(*skipped, *rows.notes),
        faults=(*rows.faults, *labels.faults),
        layout=TableLayout(
            columns=rows.columns,
            label=label if labels.classes else None,
            task=labels.task if labels.task != "classification" else None,
        ),
    )
    said = (
        f"label column {shown(label, 40)}{labels.said}"
        if labels.classes
        else f"no label column {shown(label, 40)}"
    )
    counted = f", {targets_said(labels.classes, labels.task)}" if labels.classes else ""
    reading = f"{table.num_rows:,} {rows.said}, {said}{counted}, {splits_said(source, uri)}"
    return replace(source, reading=reading)


def _check_sound(table: Any, where: str) -> None:
    """Refuse a damaged table: texts that are no UTF-8, lists and levels that lie outside of their values."""
    import pyarrow as pa

    if isinstance(table, GroupedTable):  # of which pyarrow checks each group as it reads it
        return
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise DataError(
            f"{where} holds texts that are no UTF-8, or it is damaged: make or copy it again"
        ) from error


def check_names(names: Sequence[str], where: str) -> None:
    """Refuse two columns of one name."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{where} has two columns named {shown(twice)}: give each a name of its own")


def _label_column(names: list[str], uri: DataUri, where: str, layout: TableLayout | None) -> str:
    if uri.label is not None:
        if not _columns_of(uri.label, names):
            raise UsageError(unknown_name(f"column of {where}", uri.label, names))
        return uri.label
    if layout is not None and layout.label is not None and _columns_of(layout.label, names):
        return str(layout.label)
    return "label"


def _columns_of(label: str, names: list[str]) -> tuple[str, ...]:
    """The columns that hold the labels: one of that name, or several that stand in it with commas between them."""
    parts = (label,) if label in names else tuple(part.strip() for part in label.split(","))
    return parts if all(part in names for part in parts) else ()


def _features(names: list[str], labels: Sequence[str], uri: DataUri, where: str) -> list[str]:
    """The columns that may become inputs."""
    for name in (*uri.columns, *uri.drop):
        if name not in names:
            raise UsageError(unknown_name(f"column of {where}", name, names))
    beside = {*labels, *(f"{label}_name" for label in labels), "split", *uri.drop}
    features = [c for c in names if c not in beside]
    if uri.columns:
        features = [c for c in uri.columns if c in features]
    if not features:
        raise DataError(
            f"{where} has no column besides {', '.join(shown(n, 30) for n in names[:5])}: it needs samples"
        )
    return features


@dataclass(frozen=True)
class _Rows:
    """The samples of a table, how they are described, and what there is to tell of them."""

    split: ArraySplit | DatasetSplit
    kind: str
    shape: tuple[int, ...]
    said: str
    columns: tuple[TableColumn, ...] = ()
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


def _rows(
    table: Any,
    features: list[str],
    image: str | None,
    uri: DataUri,
    where: str,
    labels: npt.NDArray[Any] | None,
    layout: TableLayout | None,
) -> _Rows:
    if image is not None:
        return _images(table, image, features, uri, where, labels)
    if uri.kind == "image":
        raise DataError(f"{where} has no column of encoded images: leave kind=image out")
    text = _text_column(table, features, uri, where, layout)
    ids = np.arange(table.num_rows)
    lists = "input_ids" in features and uri.kind in {None, "text"}
    table = whole_of(table) if text is not None or lists else table
    if text is None and uri.kind in {None, "text"} and _is_list(table, features, "input_ids"):
        masks = table.column("attention_mask").to_pylist() if "attention_mask" in features else None
        tokens = token_ids(table.column("input_ids").to_pylist(), masks, where)
        said = f"tokenised texts of up to {tokens.shape[1]:,} ids"
        return _Rows(ArraySplit(tokens, labels, ids=ids), "text", (), said)
    if text is not None:
        values = plain_column(table, text).to_pylist()
        missing = np.array([value is None for value in values])
        fault = Fault(
            missing,
            f"{where} has no text in row {int(np.argmax(missing))} of column {shown(text)}: fill it, or leave such "
            f"rows out with where={uri_value(text)}!{MISSING}",
        )
        filled = ["" if value is None else value for value in values]
        return _Rows(
            ArraySplit(filled, labels, ids=ids),
            "text",
            (),
            f"texts of column {shown(text, 40)}",
            faults=(fault,) if missing.any() else (),
            notes=_beside(table, text, features, uri, where),
        )
    found = read_columns(table, features, where, chosen=bool(uri.columns), layout=layout)
    split = _of_numbers(table, found, labels, series=uri.kind == "series")
    categories = sum(column.kind == "category" for column in found.columns)
    width = sum(column.width for column in found.columns)
    of_them = f", {categories:,} of them categories ({width:,} inputs)" if categories else ""
    by_name = " matched by name" if layout is not None and layout.columns else ""
    return _Rows(
        split,
        uri.kind or "vector",
        (1, width) if uri.kind == "series" else (width,),
        f"rows of {len(found.columns):,} columns{by_name}{of_them}",
        found.columns,
        found.faults,
        found.notes,
    )


def _of_numbers(
    table: Any, found: Inputs, labels: npt.NDArray[Any] | None, *, series: bool
) -> ArraySplit | DatasetSplit:
    """Rows of inputs: in memory, or read by groups of rows when they are asked for."""
    ids = np.arange(table.num_rows)
    if found.matrix is None:
        rows = torch.from_numpy(ids)
        return DatasetSplit(TableRows(table, found, series=series), rows=rows, labels=labels, ids=rows)
    matrix = found.matrix[:, None, :] if series else found.matrix
    return ArraySplit(torch.from_numpy(matrix), labels, ids=ids)


def _content(column: Any) -> Callable[[int], bytes | None]:
    """The bytes of one row of a column of encoded images."""

    def content(row: int) -> bytes | None:
        value = column[row].as_py()
        found: bytes | None = value["bytes"] if isinstance(value, dict) else value
        return found

    return content


def _images(
    table: Any,
    image: str,
    features: list[str],
    uri: DataUri,
    where: str,
    labels: npt.NDArray[Any] | None,
) -> _Rows:
    if uri.kind not in {None, "image"}:
        raise UsageError(
            f"{where} holds images in {shown(image, 40)}, and kind={uri.kind} was asked for: leave kind out"
        )
    encoded = EncodedImages(_content(table.column(image)), table.num_rows, where)
    look = look_at(encoded)
    form = look.form(uri.size)
    told = f", as {' × '.join(map(str, form.shape))}"
    split = DatasetSplit(
        DecodedImages(encoded, form, several=look.several(uri.size), told=told, eager=True),
        labels=labels,
        ids=np.arange(table.num_rows),
        threads=look.threads,
    )
    return _Rows(
        split,
        "image",
        form.shape,
        f"images of column {shown(image, 40)}{told}",
        notes=_beside(table, image, features, uri, where),
    )


def _text_column(
    table: Any, features: list[str], uri: DataUri, where: str, layout: TableLayout | None
) -> str | None:
    """The column whose texts are the samples; None where columns of values are."""
    texts = [c for c in features if is_text(kind_of(table, c))]
    if uri.kind == "text":
        if not texts and "input_ids" in features:
            return None
        if not texts:
            raise DataError(f"{where} has no column of texts: leave kind=text out")
        return next((c for c in TEXT_COLUMNS if c in texts), texts[0])
    if uri.kind is not None or (layout is not None and layout.columns):
        return None
    usual = next((c for c in TEXT_COLUMNS if c in texts), None)
    if usual is not None or uri.columns:
        return usual
    odd = {c: why_left_out(table, c, MAX_LEVELS) for c in features}
    free = [c for c, why in odd.items() if why == FREE_TEXT]
    return free[0] if len(free) == 1 and all(odd.values()) else None


def _beside(table: Any, read: str, features: list[str], uri: DataUri, where: str) -> tuple[str, ...]:
    """That columns of values stand beside the images or texts that alone are read."""
    if uri.columns:
        return ()
    others = [c for c in features if c != read and not _is_binary(table, c)]
    others = [c for c in others if not why_left_out(table, c, MAX_LEVELS)]
    if not others:
        return ()
    some = ", ".join(shown(c, 30) for c in others[:5]) + (" …" if len(others) > 5 else "")
    return (
        f"{where}: {shown(read, 30)} alone is read, and the columns beside it are left out: {some}; read them with "
        "columns= instead",
    )


@dataclass(frozen=True)
class _Labels:
    numbers: npt.NDArray[Any] | None = None
    task: str = "classification"
    classes: tuple[str, ...] = ()
    missing: npt.NDArray[np.bool_] | None = None
    faults: tuple[Fault, ...] = ()
    said: str = ""


def _labels(
    table: Any, columns: tuple[str, ...], where: str, class_names: Sequence[str] | None, task: str | None
) -> _Labels:
    """The targets of one column, or of several, side by side."""
    read = [_label_values(table, column, where) for column in columns]
    faults = tuple(fault for _, fault in read if fault is not None)
    missing = np.any([fault.rows for fault in faults], axis=0) if faults else np.zeros(table.num_rows, bool)
    if len(columns) > 1:
        place = f"{where}: columns {', '.join(shown(column, 30) for column in columns)}"
        kinds = {values.dtype.kind for values, _ in read}
        if not kinds <= set("iufb"):
            raise DataError(f"{place} are not all numbers: several targets are numbers, or 0 and 1")
        found = np.stack([values.astype(np.float64) for values, _ in read], axis=1)
        numbers, classes, task = read_targets(found, place, names=columns, task=task)
        return _Labels(numbers, task, classes, missing, faults)
    label, found = columns[0], read[0][0]
    place = f"{where}: column {shown(label, 40)}"
    said = ""
    odd = found.dtype.kind == "f" and found.ndim == 1 and bool((found != np.floor(found)).any())
    if task is None and odd:
        task, said = "regression", " (numbers with decimals)"
    if task not in {None, "classification"} or found.ndim > 1:
        numbers, classes, task = read_targets(found, place, names=[label], task=task)
        return _Labels(numbers, task, classes, missing, faults, said)
    if found.dtype.kind == "f":
        if odd or np.abs(found).max() >= 2**53:
            first = found[(found != np.floor(found)) | (np.abs(found) >= 2**53)][0]
            raise DataError(
                f"{place} has numbers that are no whole numbers ({first:g}): labels are classes; name the column that "
                "holds them with label=, or say task=regression"
            )
        found, said = found.astype(np.int64), " (whole numbers)"
    names = class_names
    if names is None and f"{label}_name" in table.column_names and found.dtype.kind in "iu":
        texts = cell_texts(table, f"{label}_name").tolist()
        by_number = {int(n): str(t) for n, t in zip(found.tolist(), texts, strict=True)}
        if min(by_number) >= 0 and max(by_number) < len(set(by_number.values())):
            names = [by_number.get(i, str(i)) for i in range(max(by_number) + 1)]
    numbers, classes, task = read_targets(found, place, names=names, task="classification")
    return _Labels(numbers, task, classes, missing, faults, said)


def _label_values(table: Any, label: str, where: str) -> tuple[npt.NDArray[Any], Fault | None]:
    """The values of a column of labels, and the fault of rows without one, which have another row's."""
    import pyarrow as pa

    place = f"{where}: column {shown(label, 40)}"
    column = plain_column(table, label)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_integer(column.type) and not pa.types.is_uint64(column.type) and not column.null_count:
        return numpy_of(column, np.int64), None
    if is_text(column.type) and len(column):
        texts = _texts(column)
        if texts is not None:
            return texts, None
    values = column.to_pylist()
    missing = np.array([is_missing(v) or (isinstance(v, str) and not v.strip()) for v in values])
    fault = None
    if missing.all():
        raise DataError(f"{place} has no labels: name another with label=, or leave the column out")
    if missing.any():
        fault = Fault(
            missing,
            f"{place} has {int(missing.sum()):,} missing labels, the first in row {int(np.argmax(missing))}: fill "
            f"them, or leave those rows out with where={uri_value(label)}!{MISSING}",
        )
        stand_in = values[int(np.argmin(missing))]
        values = [stand_in if gone else value for value, gone in zip(values, missing.tolist(), strict=True)]
    check_lengths_of_texts(values, place)
    try:
        return np.asarray(values), fault
    except ValueError:  # lists of several lengths
        raise DataError(f"{place} has lists of different lengths: give each sample as many targets") from None


def _texts(column: Any) -> npt.NDArray[np.str_] | None:
    """The texts of a column of which none is missing or blank; None where one is, or where one is very long."""
    different, codes = coded(column.combine_chunks())
    if len(different) > MAX_CLASSES or bool((codes == len(different) - 1).any()):
        return None
    texts = different[:-1]
    longest = max(len(text) for text in texts)
    if longest * len(codes) > MOST_CHARACTERS or not all(text.strip() for text in texts):
        return None
    return np.asarray(texts)[codes]


def _is_list(table: Any, features: list[str], name: str) -> bool:
    import pyarrow as pa

    if name not in features:
        return False
    kind = kind_of(table, name)
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_binary(table: Any, name: str) -> bool:
    return is_binary(kind_of(table, name))
