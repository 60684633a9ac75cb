"""The schemes of data URIs by name: which keys of its own each has, and what opens it. Nothing is opened here.

A scheme of another package comes by the entry points `foretoll.data`, as a class or an object of `DataScheme`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from foretoll.registry import Registry, instance_of

if TYPE_CHECKING:
    from foretoll.data.address import DataUri
    from foretoll.records import TableLayout


class DataScheme(ABC):
    """What stands before the colon of a data URI.

    name: as it is written; letters, digits and dashes. keys: those of its own after the question mark; they are
    texts, in `DataUri.own`. follows: what stands after the colon ("a path", "a name"), "" where nothing does.
    """

    name: str
    keys: tuple[str, ...] = ()
    follows: str = "a path"

    @abstractmethod
    def open(self, uri: DataUri, layout: TableLayout | None = None) -> Any:
        """The data of a URI, as anything that `foretoll.data.open_data` takes from Python but a URI.

        Splits, limits, shifts and the other common keys are foretoll's own work. `layout`: the columns of the table
        that a model was trained on, for schemes of tables. Raises DataError where they cannot be opened.
        """


class OwnScheme(DataScheme):
    """One that foretoll brings: a module `open_NAME` with a function of that name, imported when it is used."""

    def __init__(self, name: str, *keys: str, follows: str = "a path", table: bool = False) -> None:
        self.name, self.keys, self.follows, self.table = name, keys, follows, table

    def open(self, uri: DataUri, layout: TableLayout | None = None) -> Any:
        """The rows of the source."""
        opener = getattr(import_module(f"foretoll.data.open_{self.name}"), f"open_{self.name}")
        return opener(uri, layout) if self.table else opener(uri)


_OWN = (
    OwnScheme("digits", follows=""),
    OwnScheme("npz", "inputs"),
    OwnScheme("parquet", "columns", "drop", "inputs", "size", "skip_unreadable", table=True),
    OwnScheme("csv", "columns", "drop", "encoding", "sep", table=True),
    OwnScheme("folder", "size", "skip_unreadable"),
    OwnScheme("masks", "size"),
    OwnScheme("tar", "size", "skip_unreadable"),
    OwnScheme("torchvision", "root", "download", "config", "size", follows="a name"),
    OwnScheme("text", "block", "column", "tokenizer"),
    OwnScheme("hf", "columns", "config", "drop", "size", "skip_unreadable", follows="a name", table=True),
)
SCHEMES: Registry[DataScheme] = Registry(
    "scheme",
    "foretoll.data",
    {scheme.name: scheme for scheme in _OWN},
    made=instance_of(DataScheme),  # type: ignore[type-abstract]  # it is only asked whether an object is one
)
OWN_KEYS = tuple(sorted({key for scheme in _OWN for key in scheme.keys}))
