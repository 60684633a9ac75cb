"""open_data: one door for URIs, torch Datasets and DataLoaders, arrays, and data that is already open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from foretoll.data.address import TIME, DataUri
from foretoll.data.arranged import arranged
from foretoll.data.choosing import CLASSES, ONE_LOGIT
from foretoll.data.raw import RawData, assemble
from foretoll.data.schemes import SCHEMES, DataScheme
from foretoll.data.taskdata import TaskData
from foretoll.data.uri import parse_uri, with_scheme
from foretoll.errors import DataError, ForetollError, UsageError, one_line, shown
from foretoll.records import TableLayout
from foretoll.tasks import get_task


def open_data(
    source: Any, *, seed: int = 0, layout: TableLayout | None = None, task: str | None = None
) -> TaskData:
    """Open a data set as three disjoint splits.

    source: a data URI (see `foretoll.data.uri`), TaskData (returned as it is), a torch Dataset (an IterableDataset is
    read once, to disk) or a DataLoader over one (its batches and collation are not used), a DataFrame, a pyarrow Table,
    a data set of the `datasets` library (also tokenised), a tuple of arrays or tensors (x, y) or (x_train, y_train,
    x_test, y_test), a dict of splits, or (train, validation, test) of any of these but arrays; see docs/data.md.
    `seed` draws the limit and the shifts; the splits and parts depend on
    the URI's own `seed=` (default 0) only, so that runs with other seeds never see each other's test data.
    `task`: what the labels are of ("classification", "regression", …, see `foretoll.tasks`), where their form does not
    tell; of a URI as its task=.
    `layout`: the columns of the table that a model was trained on; those of this one are matched to it by name.
    """
    if isinstance(source, TaskData):
        return arranged(source, layout)
    opened, uri = _opened(source, layout, task if task is None else get_task(task).name)
    if uri.every is not None:
        raise UsageError(
            f"data URI {shown(uri.text)} is a stream (every={uri.every}): foretoll life takes it; leave every= out here"
        )
    return arranged(assemble(opened, uri, seed=seed), layout)


def open_rows(source: Any, *, layout: TableLayout | None = None, task: str | None = None) -> TaskData:
    """The samples of a source in their own order: the parts follow each other, and may be empty or of one class."""
    if isinstance(source, TaskData):
        return arranged(source, layout)
    opened, uri = _opened(source, layout, task)
    if uri.every is None and uri.split is None:
        uri = replace(uri, split=TIME)
    return arranged(assemble(opened, uri, seed=0, whole=True), layout)


def open_in_order(
    source: Any,
    *,
    every: int | None = None,
    seed: int = 0,
    layout: TableLayout | None = None,
    task: str | None = None,
) -> tuple[TaskData, int | None]:
    """What `open_data` opens, its parts following each other in time where the source does not name a split of its own.

    Returned with the rows of a batch: `every`, else what its URI says. Data that are open already stay as they are.
    """
    if isinstance(source, TaskData):
        return arranged(source, layout), every
    opened, uri = _opened(source, layout, task)
    every = uri.every if every is None else every
    uri = replace(uri, every=None, split=TIME if uri.split is None else uri.split)
    return arranged(assemble(opened, uri, seed=seed), layout), every


def _opened(source: Any, layout: TableLayout | None, task: str | None = None) -> tuple[RawData, DataUri]:
    """The rows of anything that `open_data` takes, and what was said of them."""
    if isinstance(source, (str, Path)):
        uri = parse_uri(with_scheme(str(source)))
        uri = uri if task is None else replace(uri, task=task)
        narrowed = uri.classes or uri.where or uri.rows
        if narrowed and uri.task is None and layout is not None and uri.label in (None, layout.label):
            uri = replace(uri, task=layout.task)
        return _read(SCHEMES[uri.scheme], uri, layout), uri
    from foretoll.data.open_python import open_python

    return open_python(source, layout, task)


def _read(scheme: DataScheme, uri: DataUri, layout: TableLayout | None) -> RawData:
    """The rows; for one logit as classes where two of them are yet to be chosen (`assemble` makes one of both)."""
    if uri.task == ONE_LOGIT:
        if not uri.classes:
            try:
                return _of_scheme(scheme, uri, layout)
            except DataError:
                if not (uri.where or uri.rows):
                    raise
        uri = replace(uri, task=CLASSES)
    return _of_scheme(scheme, uri, layout)


def _of_scheme(scheme: DataScheme, uri: DataUri, layout: TableLayout | None) -> RawData:
    if SCHEMES.brings(scheme.name):
        rows: RawData = scheme.open(uri, layout)
        return rows
    from foretoll.data.open_python import open_python

    try:
        found = scheme.open(uri, layout)
    except ForetollError:
        raise
    except Exception as error:  # another's code
        raise DataError(
            f"{shown(uri.text)} cannot be opened by the scheme {scheme.name} ({type(error).__name__}: "
            f"{one_line(str(error), 100)}); check what it names, or ask who made the scheme"
        ) from error
    opened = found if isinstance(found, RawData) else open_python(found, layout, uri.task)[0]
    opened.name = opened.name if isinstance(found, RawData) else uri.text.partition("?")[0]
    return opened
