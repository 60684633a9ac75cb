"""TaskData: a data set ready for use, as three disjoint splits and a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from foretoll.data.parts import shifted_part
from foretoll.data.reader import RowReader
from foretoll.data.shifts import Reference, check_kind, shift_split
from foretoll.data.shifts.tree import shift_tree
from foretoll.data.splits import DatasetSplit, Split
from foretoll.errors import DataError, UsageError
from foretoll.records import DataCard, InputPart, Shift
from foretoll.tasks import get_task

_REFERENCE_ROWS = 4096
MOVING = ("rotation", "translation")


def reference_of(split: Split, kind: str) -> Reference | None:
    """Statistics per feature from at most 4,096 evenly spaced samples; None where levels need none."""
    n = len(split)
    if kind not in {"vector", "series"} or n == 0:
        return None
    rows = torch.arange(n) if n <= _REFERENCE_ROWS else torch.linspace(0, n - 1, _REFERENCE_ROWS).long()
    some = split.take(rows)
    if isinstance(some, DatasetSplit) and isinstance(some.dataset, RowReader) and some.transform is None:
        return Reference.of(some.dataset.gather(some.rows.numpy(), lenient=True).numpy())
    return Reference.of(some.all().inputs.numpy())


def check_shift(shift: Shift, kind: str, parts: Sequence[InputPart] = ()) -> None:
    """Refuse a shift that makes no sense for data of this kind, or of these several inputs (UsageError)."""
    if parts:
        shifted_part(shift, parts)
    elif shift.part:
        raise UsageError(
            f"these data have one input: write shift={shift.kind}:{shift.level:g}, without {shift.part}."
        )
    else:
        check_kind(shift.kind, kind)


def _twice(ids: Sequence[Tensor]) -> bool:
    """Whether a number stands twice."""
    count, low = sum(map(len, ids)), min((int(part.min()) for part in ids if len(part)), default=0)
    high = max((int(part.max()) for part in ids if len(part)), default=0)
    if low < 0 or high > 8 * count:  # numbers of another kind than rows
        return len(torch.unique(torch.cat(list(ids)))) != count
    seen = torch.zeros(high + 1, dtype=torch.bool)
    for part in ids:
        seen[part] = True
    return int(seen.sum()) != count


@dataclass(frozen=True)
class TaskData:
    """Train, validation and test splits of one task; no sample is in two of them (checked by its id).

    `reference` holds the statistics per feature in whose units vectors and series are shifted.
    """

    card: DataCard
    train: Split
    validation: Split
    test: Split
    reference: Reference | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = (self.train, self.validation, self.test)
        if all(part.explicit_ids for part in parts) and _twice([part.ids for part in parts]):
            raise DataError(
                f"{self.card.name}: a sample stands in two splits, or twice in one: splits are disjoint"
            )

    @property
    def name(self) -> str:
        """Short name of the data set."""
        return self.card.name

    @property
    def kind(self) -> str:
        """image, vector, series or text."""
        return self.card.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one stored sample: (C, H, W), (d,), (C, L); () for text."""
        return self.card.shape

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in label order; empty when unlabelled."""
        return self.card.classes

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 when unlabelled."""
        return len(self.card.classes)

    def shifted(self, shifts: Shift | Sequence[Shift], *, seed: int = 0) -> TaskData:
        """The same samples with these shifts applied, one after the other, to all three splits.

        What a sample becomes depends on (seed, shift, its id) only.
        """
        chain = (shifts,) if isinstance(shifts, Shift) else tuple(shifts)
        if not chain:
            return self
        moving = [shift.kind for shift in chain if shift.kind in MOVING]
        if moving and get_task(self.card.task).places:
            raise UsageError(
                f"the shift {moving[0]} moves pixels, and their classes would stay: take one that moves none, such as "
                "gaussian_noise or contrast"
            )
        before = self.card.shift
        reference = self.reference or reference_of(self.train, self.card.kind)
        for shift in chain:
            check_shift(shift, self.card.kind, self.card.parts)
        inputs = self.card.parts
        parts = {
            name: shift_tree(part, chain, inputs, seed=seed, reference=reference, before=before)
            if inputs
            else shift_split(part, chain, kind=self.card.kind, seed=seed, reference=reference, before=before)
            for name, part in (("train", self.train), ("validation", self.validation), ("test", self.test))
        }
        card = self.card.model_copy(update={"shift": before + chain})
        return replace(
            self, card=card, train=parts["train"], validation=parts["validation"], test=parts["test"]
        )
