"""What a data URI says, once it is parsed (`foretoll.data.uri`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foretoll.errors import shown
from foretoll.records import Shift

TIME = "time"  # split=time: validation and test are the last rows


@dataclass(frozen=True)
class Where:
    """A condition on a column: its value is one of `values`, or, negated, none of them."""

    column: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True)
class DataUri:
    """A parsed data URI. Everything that was not said is None or empty.

    task: what the labels are of (`foretoll.tasks`), where their form does not tell.
    split: use only this split of the file, and split it anew. limit: total of train and validation samples;
    the test split then has at most max(limit // 4, 1). classes: names or numbers, relabelled 0, 1, … in this
    order. shifts: applied one after the other. part: (i, k), the i-th of k disjoint stratified parts.
    where: conditions, all of which hold. rows: (start, stop) of the file's rows, order kept. kind: override.
    label: the label column. columns, drop: the columns of a table to read, or to leave out. sep: what stands between
    the values of a text table; encoding: of its characters. seed: of splits, parts, limits and shifts. size: (height,
    width) of images. skip_unreadable: whether to leave out images that cannot be read. time: the column by whose
    values the rows are put in order; without it `split=time` takes the file's order. every: rows of a
    batch, where the data are a stream (`foretoll.data.stream`). inputs: arrays or columns that are a sample's several
    inputs.
    """

    text: str
    scheme: str
    path: str = ""
    split: str | None = None
    limit: int | None = None
    classes: tuple[str, ...] = ()
    shifts: tuple[Shift, ...] = ()
    part: tuple[int, int] | None = None
    where: tuple[Where, ...] = ()
    rows: tuple[int, int | None] | None = None
    kind: str | None = None
    label: str | None = None
    task: str | None = None
    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    sep: str | None = None
    encoding: str | None = None
    seed: int | None = None
    root: str | None = None
    download: bool = False
    config: str | None = None
    size: tuple[int, int] | None = None
    skip_unreadable: bool = False
    time: str | None = None
    every: int | None = None
    inputs: tuple[str, ...] = ()
    own: Mapping[str, str] = field(default_factory=dict)  # keys of a scheme that plugs in

    @property
    def in_time_order(self) -> bool:
        """Whether train, validation and test rows follow each other in time: `split=time`, or a time column."""
        return self.split == TIME or self.time is not None

    @property
    def file(self) -> Path:
        """The path, with ~ as the home of a user that there is."""
        return Path(expanded(self.path))

    @property
    def shown_path(self) -> str:
        """The path as a message may repeat it."""
        return self.path if self.path.isprintable() and len(self.path) <= 120 else shown(self.path, 120)


def expanded(path: str) -> str:
    """The path with ~ as the home of a user that there is."""
    return os.path.expanduser(path)  # noqa: PTH111  (pathlib raises on users that are not there)
