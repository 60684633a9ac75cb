"""What a data set is."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from foretoll.records.base import Names, Record
from foretoll.tasks import TargetScale


class Shift(Record):
    """A synthetic shift of a data set: its kind and level (the unit depends on the kind).

    part: the input that it shifts, where a sample has several
    """

    kind: str
    level: float
    part: str = ""

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `part` where there is none: the hashes of a study's cells stay what they were."""
        written: dict[str, Any] = write(self)
        return written if self.part else {name: v for name, v in written.items() if name != "part"}


class InputPart(Record):
    """One of several inputs of a sample: as it is stored in a row, and given to the network.

    codes: numbers of categories, one more than the largest that was seen
    """

    name: str = Field(min_length=1)
    kind: Literal["image", "vector", "series", "codes"]
    shape: tuple[int, ...] = ()
    codes: int = Field(0, ge=0)

    @property
    def width(self) -> int:
        """Numbers that it takes in a row."""
        return math.prod(self.shape)


class TableColumn(Record):
    """One column of a table as a model reads it: what its values are, and the inputs that it becomes."""

    name: str
    kind: Literal["number", "truth value", "category", "list"]
    levels: tuple[str, ...] = ()  # of a category: one input each, in this order
    width: int = Field(1, ge=1)  # inputs that it becomes


class TableLayout(Record):
    """The columns that become a model's inputs, in the order of the inputs, and the name of the label column."""

    columns: tuple[TableColumn, ...] = ()
    label: str | None = None
    task: str | None = None  # what the label is of, where it is no class


class DataCard(Record):
    """What a data set is, as far as a cost depends on it."""

    uri: str
    name: str
    kind: Literal["image", "vector", "series", "text"]
    shape: tuple[int, ...]
    classes: Names
    train: int = Field(ge=0)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)
    shift: tuple[Shift, ...] = ()
    labelled: bool = True
    reading: str = ""  # what was taken for granted when the data were read, in one line
    notes: tuple[str, ...] = ()  # what the reading has to warn of: left over, merged, left out
    task: str = "classification"  # see `foretoll.tasks`; `classes` are the names of its outputs
    targets: TargetScale | None = None  # how the numbers to be predicted lie; None for classes
    layout: TableLayout | None = None  # of a table, by which other tables are matched by name
    parts: tuple[InputPart, ...] = ()  # of samples with several inputs, which stand side by side in a vector
