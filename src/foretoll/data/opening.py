"""open_data: one door for URIs, torch Datasets and DataLoaders, arrays, and data that is already open."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from foretoll.data.arranged import arranged
from foretoll.data.raw import RawData, assemble
from foretoll.data.taskdata import TaskData
from foretoll.data.uri import SCHEMES, DataUri, parse_uri, with_scheme
from foretoll.errors import UsageError, shown
from foretoll.records import TableLayout

_TABLES = ("parquet", "csv", "hf")  # whose columns have names


def open_data(source: Any, *, seed: int = 0, layout: TableLayout | None = None) -> TaskData:
    """Open a data set as three disjoint splits.

    source: a data URI (see `foretoll.data.uri`), TaskData (returned as it is), a torch map-style Dataset or a
    DataLoader over one (its batches and collation are not used), a DataFrame, a pyarrow Table, a data set of the
    `datasets` library (also tokenised), a tuple of arrays or tensors (x, y) or (x_train, y_train, x_test, y_test), a
    dict of splits, or (train, validation, test) of any of these but arrays; see docs/data.md.
    `seed` draws the limit and the shifts; the splits and parts depend on
    the URI's own `seed=` (default 0) only, so that runs with other seeds never see each other's test data.
    `layout`: the columns of the table that a model was trained on; those of this one are matched to it by name.
    """
    if isinstance(source, TaskData):
        return arranged(source, layout)
    opened, uri = _opened(source, layout)
    if uri.every is not None:
        raise UsageError(
            f"data URI {shown(uri.text)} is a stream (every={uri.every}): foretoll life takes it; leave every= out here"
        )
    return arranged(assemble(opened, uri, seed=seed), layout)


def _opened(source: Any, layout: TableLayout | None) -> tuple[RawData, DataUri]:
    """The rows of anything that `open_data` takes, and what was said of them."""
    if isinstance(source, (str, Path)):
        uri = parse_uri(with_scheme(str(source)))
        opener = _opener(uri.scheme)
        return (opener(uri, layout) if uri.scheme in _TABLES else opener(uri)), uri
    from foretoll.data.open_python import open_python

    return open_python(source, layout)


def _opener(scheme: str) -> Callable[..., RawData]:
    # one module per scheme, imported when it is used: scikit-learn, pyarrow and datasets are heavy
    if scheme not in SCHEMES:
        raise UsageError(f"scheme {scheme!r} has no opener")
    opener: Callable[..., RawData] = getattr(import_module(f"foretoll.data.open_{scheme}"), f"open_{scheme}")
    return opener
