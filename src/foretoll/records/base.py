"""Base of all records: frozen, validated, JSON in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

MANY_NAMES = 1_000


def _named(value: Any) -> Any:
    return [str(i) for i in range(value)] if isinstance(value, int) and 0 <= value <= 10_000_000 else value


def _stored(names: tuple[str, ...]) -> Any:
    many = len(names) > MANY_NAMES
    return len(names) if many and all(name == str(i) for i, name in enumerate(names)) else names


# more than a thousand names that are numbers from 0 on (a vocabulary) are stored as their count
Names = Annotated[tuple[str, ...], BeforeValidator(_named), PlainSerializer(_stored)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    """Base of all records: immutable, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class QualityScale(Record):
    """What a metric's values are worth on one target: progress 0 for a trivial predictor, 1 for the best possible."""

    trivial: float = 0.0
    best: float = 1.0

    @model_validator(mode="after")
    def _ends_differ(self) -> Self:
        if self.trivial == self.best:
            raise ValueError(f"a trivial predictor is already as good as can be ({self.best:g})")
        return self

    @property
    def higher_is_better(self) -> bool:
        """Whether higher values are better."""
        return self.best > self.trivial

    def progress(self, value: float) -> float:
        """The value on the scale from 0 to 1; one that is worse than trivial is 0."""
        return min(max((value - self.trivial) / (self.best - self.trivial), 0.0), 1.0)

    def value(self, progress: float) -> float:
        """The value that is this progress."""
        return self.trivial + progress * (self.best - self.trivial)

    def meets(self, value: float, until: float) -> bool:
        """Whether a value is at least as good as `until`."""
        return value >= until if self.higher_is_better else value <= until


SHARES = QualityScale()
FALLING = QualityScale(trivial=1.0, best=0.0)
"""The direction of a metric whose lower values are better, where its scale on the data is not known."""


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
