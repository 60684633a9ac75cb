"""Many lessons as plain columns, which a file keeps; one is made into an object when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import Case
from foretoll.forecast.lessons import COSTS, Lesson
from foretoll.forecast.rows import Rows
from foretoll.forecast.survival import Array
from foretoll.records import Outcome

Columns = Mapping[str, NDArray[Any]]
TEXTS = ("run_id", "option", "family", "source_name", "target_name", "shift", "outcome", "model_id",
         "weights_digest", "task")  # fmt: skip
NUMBERS = ("epochs", "limit", "lower", *(f"response {cost}" for cost in COSTS))


class Lessons(Sequence[Lesson]):
    """Lessons by column: texts and numbers (n,), NaN for None; `decided` (n,); `features` (p, n) of `names` (p,)."""

    def __init__(self, columns: Columns) -> None:
        """Raises KeyError or ValueError where these are no lessons."""
        self.columns = {name: columns[name] for name in (*TEXTS, *NUMBERS, "decided", "names", "features")}
        self._count = len(columns["run_id"])
        lengths = {len(self.columns[name]) for name in (*TEXTS, *NUMBERS, "decided")}
        if lengths != {self._count} or columns["features"].shape != (len(columns["names"]), self._count):
            raise ValueError("no lessons")

    @classmethod
    def of(cls, lessons: Iterable[Lesson]) -> Lessons:
        """The lessons by column; itself where they are already."""
        if isinstance(lessons, Lessons):
            return lessons
        every = list(lessons)
        rows = Rows.of([lesson.features for lesson in every])
        found: dict[str, NDArray[Any]] = {
            name: np.array([str(getattr(lesson, name)) for lesson in every], dtype=np.str_) for name in TEXTS
        }
        for name in ("epochs", "limit", "lower"):
            found[name] = _numbers(getattr(lesson, name) for lesson in every)
        for cost in COSTS:
            found[f"response {cost}"] = _numbers(lesson.responses[cost] for lesson in every)
        found["decided"] = np.array([lesson.decided for lesson in every], dtype=np.bool_)
        return cls(
            found
            | {
                "names": np.array(rows.names, dtype=np.str_),
                "features": np.ascontiguousarray(rows.values.T),  # a feature in a row is stored in less
            }
        )

    def __add__(self, other: Lessons) -> Lessons:
        names = sorted({*self.names, *other.names})
        joined = {
            name: np.concatenate([self.columns[name], other.columns[name]])
            for name in (*TEXTS, *NUMBERS, "decided")
        }
        features = [Rows(one.names, one.columns["features"].T).columns(names) for one in (self, other)]
        return Lessons(
            joined | {"names": np.array(names, dtype=np.str_), "features": np.concatenate(features).T}
        )

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Lesson: ...
    @overload
    def __getitem__(self, index: slice) -> list[Lesson]: ...
    def __getitem__(self, index: int | slice) -> Lesson | list[Lesson]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        texts: dict[str, Any] = {name: str(self.columns[name][index]) for name in TEXTS}
        number = {name: _optional(self.columns[name][index]) for name in NUMBERS}
        return Lesson(
            **texts | {"outcome": Outcome(texts["outcome"])},
            epochs=number["epochs"],
            decided=bool(self.columns["decided"][index]),
            limit=float(self.columns["limit"][index]),
            lower=float(self.columns["lower"][index]),
            responses={cost: number[f"response {cost}"] for cost in COSTS},
            features=Rows(self.names, self.columns["features"][:, [index]].T)[0],
        )

    @property
    def names(self) -> list[str]:
        """Of the features."""
        found: list[str] = self.columns["names"].tolist()
        return found

    @property
    def groups(self) -> NDArray[np.str_]:
        """`Lesson.group` (n,)."""
        source, target = self.columns["source_name"], self.columns["target_name"]
        return np.where(source != "", source, np.char.add("no source: ", target))

    @property
    def owners(self) -> NDArray[np.str_]:
        """`Lesson.owner` (n,)."""
        digests = self.columns["weights_digest"]
        return np.where(digests != "", digests, self.columns["model_id"])

    def same_model(self, case: Case) -> NDArray[np.bool_]:
        """`Lesson.same_model` (n,)."""
        digests, models = self.columns["weights_digest"], self.columns["model_id"]
        by_model = (models != "") & (models == case.model_id)
        told = (digests != "") & bool(case.weights_digest)
        return np.asarray(np.where(told, digests == case.weights_digest, by_model))

    def rows(self, keep: NDArray[np.intp], known: Iterable[str]) -> Rows:
        """The `known` features of the lessons at the given positions."""
        wanted = set(known)
        at = [i for i, name in enumerate(self.names) if name in wanted]
        values = self.columns["features"][at][:, keep].T
        return Rows([self.names[i] for i in at], np.ascontiguousarray(values))

    def with_digests(self) -> Lessons:
        """Runs from before weights had digests get that of a later run from the same model."""
        pairs = list(
            zip(self.columns["model_id"].tolist(), self.columns["weights_digest"].tolist(), strict=True)
        )
        known = {model: digest for model, digest in pairs if model and digest}
        digests = np.array([digest or known.get(model, "") for model, digest in pairs], dtype=np.str_)
        return Lessons(self.columns | {"weights_digest": digests})


def _numbers(values: Iterable[float | None]) -> Array:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _optional(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
