"""Data handed over in Python: tables, data sets and arrays, as one, by split, or as (train, validation, test)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from foretoll.data.address import DataUri
from foretoll.data.items import Joined, array_of, class_name, item_of, reason, size_of
from foretoll.data.kept_items import map_style
from foretoll.data.open_dataset import class_names_of, labels_of, open_dataset
from foretoll.data.open_hf import source_of_parts
from foretoll.data.open_ids import source_of_ids
from foretoll.data.open_npz import arrays_of, named_arrays, source_of_arrays, source_of_trees
from foretoll.data.parts import is_tree
from foretoll.data.raw import ROLES, RawData, role_of
from foretoll.data.splits import item_label
from foretoll.data.tabular import source_of_table
from foretoll.data.tokens import source_of_tokens
from foretoll.errors import DataError, listed
from foretoll.records import TableLayout
from foretoll.tasks import get_task

_LETTERS = {"train": "train", "validation": "val", "test": "test"}  # as in an .npz file


def open_python(
    data: Any, layout: TableLayout | None = None, task: str | None = None
) -> tuple[RawData, DataUri]:
    """A source from anything but a URI.

    A pandas or polars DataFrame, a pyarrow Table or a dict of columns; a data set of the `datasets` library, also
    tokenised; a torch Dataset, map-style or iterable, or DataLoader; arrays (x, y) or (x_train, y_train, x_test,
    y_test), or (DataFrame, labels). Of all but arrays also a dict of splits, or (train, test) or (train, validation,
    test).

    `task`: what the labels are of, where their form does not tell.

    Raises:
        DataError: it is none of these, or its splits are of different kinds.

    """
    if task is not None and get_task(task).names_are_numbers:
        return source_of_ids(data, task), _uri("token ids", task)
    data = map_style(data)
    splits = _splits(data)
    if splits is not None:
        return _of_splits(splits, layout, task)
    name = class_name(data)
    if isinstance(data, (tuple, list)):
        values = tuple(data)
        if len(values) == 2 and is_table(values[0]):
            uri = _uri(type(values[0]).__name__, task)
            return source_of_table(
                _labelled(*values), uri, name=uri.text[7:], where=uri.text[7:], layout=layout
            ), uri
        uri = _uri("arrays", task)
        if values and is_tree(values[0]):
            if any(is_tree(labels) for labels in values[1::2]):
                raise DataError(
                    "the labels beside several inputs are several arrays themselves: give (inputs, labels) with one "
                    "array of labels, or splits by name, {'train': (x, y), 'test': (x, y)}"
                )
            return source_of_trees(named_arrays(values), uri, name="arrays", where="arrays"), uri
        return source_of_arrays(arrays_of(values), uri, name="arrays", where="arrays"), uri
    uri = _uri(name, task)
    if _is_hf(data):
        parts = dict(data) if isinstance(data, Mapping) else {"": data}
        return source_of_parts(parts, uri, name=name, where=name, layout=layout), uri
    if isinstance(data, Mapping) and is_tree(data.get("x", data.get("x_train"))):
        return source_of_trees(data, uri, name=name, where=name), uri
    if isinstance(data, Mapping) and ("x" in data or "x_train" in data):
        arrays = {str(key): array_of(value, str(key)) for key, value in data.items()}
        return source_of_arrays(arrays, uri, name=name, where=name), uri
    if isinstance(data, Mapping) and any(_is_dataset(value) for value in data.values()):
        raise DataError(
            f"the dict has data sets under {listed(map(str, data))}: name its splits train, validation and test"
        )
    if is_table(data) or isinstance(data, Mapping):
        return source_of_table(as_table(data), uri, name=name, where=name, layout=layout), uri
    if _has_tokens(data):
        return source_of_tokens(data, name=name), uri
    return open_dataset(data, uri), uri


def _uri(name: str, task: str | None) -> DataUri:
    return DataUri(text=f"python:{name}", scheme="python", task=task)


def is_table(value: Any) -> bool:
    """Whether this is a table in memory: of pandas, polars or pyarrow."""
    library = type(value).__module__.partition(".")[0]
    return (
        library in {"pandas", "polars", "pyarrow"} and hasattr(value, "columns") and hasattr(value, "shape")
    )


def _is_hf(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "datasets" and hasattr(value, "column_names")


def _is_dataset(value: Any) -> bool:
    return isinstance(value, DataLoader) or (
        hasattr(value, "__getitem__")
        and hasattr(value, "__len__")
        and not isinstance(value, (np.ndarray, Tensor, list, tuple, str, Mapping))
        and not is_table(value)
        and not hasattr(value, "__array__")  # a Series, a column
    )


def as_table(value: Any) -> Any:
    """A pyarrow Table of a DataFrame or a dict of columns; DataError where the columns hold no plain values."""
    import pyarrow as pa

    try:
        if isinstance(value, pa.Table):
            return value
        if isinstance(value, pa.RecordBatch):
            return pa.Table.from_batches([value])
        if isinstance(value, Mapping):
            return pa.table({str(name): column for name, column in value.items()})
        if hasattr(value, "to_arrow"):
            return value.to_arrow()
        named = value.set_axis([str(name) for name in value.columns], axis=1)
        return pa.Table.from_pandas(named, preserve_index=False)
    except Exception as error:  # of three libraries, and of whatever objects the columns hold
        raise DataError(
            f"the {type(value).__name__} cannot be read as a table ({reason(error)}): give "
            "columns of one type each and of one length"
        ) from error


def _labelled(table: Any, labels: Any) -> Any:
    """A table of inputs with its labels beside them."""

    whole, column = as_table(table), _column_of(labels)
    if len(column) != whole.num_rows:
        raise DataError(
            f"the table has {whole.num_rows} rows and {len(column)} labels: they must be equally many"
        )
    if "label" in whole.column_names:
        whole = whole.drop_columns(["label"])
    return whole.append_column("label", column)


def _column_of(labels: Any) -> Any:
    """Labels beside a table, one a row, as a pyarrow Array."""
    import pyarrow as pa

    try:
        plain = np.asarray(labels)
        rows = plain if plain.ndim == 2 and plain.shape[1] > 1 else plain.reshape(-1)
        return pa.array(rows.tolist() if plain.ndim else None)
    except Exception as error:  # of two libraries, and of whatever objects these are
        raise DataError(
            f"the labels of the table are a {type(labels).__name__} ({reason(error)}): give one label for each row"
        ) from error


def _splits(data: Any) -> dict[str, Any] | None:
    """Data by split; None where they are one whole."""
    if isinstance(data, Mapping) and not _is_hf(data):
        roles = {str(key): role_of(str(key)) for key in data}
        known = [key for key, role in roles.items() if role in ROLES]
        if not known or len(known) < len(roles) or any(not _is_part(data[key]) for key in data):
            return None
        return {roles[str(key)]: part for key, part in data.items()}
    if (
        isinstance(data, (tuple, list))
        and len(data) in {2, 3}
        and all(is_table(p) or _is_dataset(p) for p in data)
    ):
        return dict(zip(ROLES if len(data) == 3 else ("train", "test"), data, strict=True))
    return None


def _is_part(value: Any) -> bool:
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    arrays = pair and (hasattr(value[0], "shape") or is_tree(value[0]))
    return arrays or is_table(value) or _is_hf(value) or _is_dataset(value)


def _of_splits(
    parts: Mapping[str, Any], layout: TableLayout | None, task: str | None
) -> tuple[RawData, DataUri]:
    values = list(parts.values())
    kinds = " and ".join(sorted({class_name(value) for value in values}))
    uri = _uri(f"splits of {kinds}", task)
    if "train" not in parts:
        raise DataError(f"the splits are {', '.join(parts)}: one of them must be train")
    if all(_is_hf(value) for value in values):
        return source_of_parts(dict(parts), uri, name="splits", where=kinds, layout=layout), uri
    if all(isinstance(value, (tuple, list)) and not is_table(value[0]) for value in values):
        trees = any(is_tree(pair[0]) for pair in values)
        named = {
            f"{letter}_{_LETTERS[role]}": value if trees else array_of(value, f"{letter} of {role}")
            for role, pair in parts.items()
            for letter, value in zip("xy", pair, strict=True)
            if value is not None
        }
        if "x_test" not in named:
            named = {key.replace("_val", "_test"): value for key, value in named.items()}
        if trees:
            return source_of_trees(named, uri, name="splits", where="arrays"), uri
        return source_of_arrays(named, uri, name="splits", where="arrays"), uri
    tables = [
        _labelled(*v) if isinstance(v, (tuple, list)) else as_table(v) if is_table(v) else None
        for v in values
    ]
    if all(table is not None for table in tables):
        whole = _joined(tables, list(parts))
        return source_of_table(whole, uri, name="splits", where=kinds, layout=layout), uri
    if all(_is_dataset(value) for value in values):
        return _of_datasets(parts, uri), uri
    raise DataError(f"the splits are of different kinds ({kinds}): give all of them as one kind")


def _joined(tables: Sequence[Any], roles: Sequence[str]) -> Any:
    import pyarrow as pa

    marked = []
    for table, role in zip(tables, roles, strict=True):
        bare = table.drop_columns(["split"]) if "split" in table.column_names else table
        marked.append(bare.append_column("split", pa.array([role] * table.num_rows, pa.string())))
    try:
        return pa.concat_tables(marked, promote_options="permissive")
    except (pa.ArrowException, TypeError) as error:
        raise DataError("the splits have columns of different types: give them the same columns") from error


class _Together(Joined):
    """The data sets of all splits, one after the other, with the labels that they have."""

    def __init__(self, parts: Sequence[Any]) -> None:
        super().__init__(parts)
        labels = [labels_of(part) for part in parts]
        found = [value for value in labels if value is not None]
        if found and len(found) < len(labels):
            raise DataError("some splits have labels and others none: label all of them or none")
        if found:
            self.targets = np.concatenate(found)
        self.classes = next((names for part in parts if (names := class_names_of(part))), None)


def _of_datasets(parts: Mapping[str, Any], uri: DataUri) -> RawData:
    values: list[Any] = [
        value.dataset if isinstance(value, DataLoader) else value for value in parts.values()
    ]
    if any(size_of(value) == 0 for value in values):
        raise DataError("a split is empty: it needs samples")
    given = np.repeat(list(parts), [len(value) for value in values])
    joined = _Together(values)
    source = source_of_tokens(joined, name="splits") if _has_tokens(values[0]) else open_dataset(joined, uri)
    source.name, source.given = "splits", given
    source.reading += f", {' and '.join(parts)} given"
    return source


def _has_tokens(data: Any) -> bool:
    """Whether the items of a Dataset are tokenised texts."""
    dataset: Any = data.dataset if isinstance(data, DataLoader) else data
    try:
        first = item_of(dataset, 0) if size_of(dataset) else None
    except DataError:  # open_dataset says what is wrong
        return False
    return isinstance(first, Mapping) and "input_ids" in first and item_label(dict(first)) is not None
