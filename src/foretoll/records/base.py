"""Base of all records: frozen, validated, JSON in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """Base of all records: immutable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PresentedRecord(Record):
    """A record that a terminal or a notebook shows as a table, once `foretoll.report` has said how."""

    _presenters: ClassVar[dict[type, Callable[[Any], Any]]] = {}

    @classmethod
    def present_with(cls, presenter: Callable[[Any], Any]) -> None:
        """Show records of this kind by what `presenter` makes of them (a Rich renderable)."""
        PresentedRecord._presenters[cls] = presenter

    def __rich__(self) -> Any:
        presenter = self._presenters.get(type(self))
        return presenter(self) if presenter else repr(self)

    def _repr_mimebundle_(self, include: Sequence[str], exclude: Sequence[str], **_: Any) -> dict[str, str]:
        shown = self.__rich__()
        bundle: dict[str, str] = (
            {"text/plain": shown}
            if isinstance(shown, str)
            else shown._repr_mimebundle_(include=include, exclude=exclude)
        )
        return bundle
