"""What may be known of a life at a time: batches up to then, and labels only from when they arrived."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from foretoll.decide.policies.base import WINDOW, Spending, View
from foretoll.errors import UsageError
from foretoll.records import ANSWERS, Offer, ServedBatch, ServedMetric

OF_LABELS = {"labelled": 0, "quality": None, "lead": None, "lead_error": None, "last_label": None}


@dataclass(frozen=True)
class Timeline:
    """All batches of a life with what is known of them in the end, and when their labels arrived.

    arrived: for each batch the number of the batch after which its labels were there; None: never.
    Raises UsageError where numbers do not rise, or labels arrived before their batch.
    """

    batches: tuple[ServedBatch, ...]
    arrived: tuple[int | None, ...]

    def __post_init__(self) -> None:
        if len(self.batches) != len(self.arrived):
            raise UsageError(
                f"{len(self.batches)} batches have {len(self.arrived)} times of labels: give one each"
            )
        last = -1
        for batch, when in zip(self.batches, self.arrived, strict=True):
            if batch.number <= last:
                raise UsageError(f"batch {batch.number} follows batch {last}: give the batches in order")
            if when is not None and when < batch.number:
                raise UsageError(
                    f"the labels of batch {batch.number} arrived with batch {when}, before it was served"
                )
            last = batch.number

    @classmethod
    def delayed(cls, batches: Iterable[ServedBatch], delay: int) -> Timeline:
        """Labels arrive `delay` batches after theirs; a batch that is named twice counts once."""
        once = {batch.name: batch for batch in reversed(list(batches))}
        ordered = tuple(sorted(once.values(), key=lambda batch: batch.number))
        return cls(ordered, tuple(batch.number + delay for batch in ordered))

    def view(
        self,
        now: int,
        offers: Sequence[Offer],
        *,
        worth: float | None = None,
        floor: float | None = None,
        updated: Sequence[int] = (),
        tried: Sequence[int] = (),
        start: float | None = None,
        spending: Spending | None = None,
        window: int = WINDOW,
        served: ServedMetric = ANSWERS,
    ) -> View:
        """What may be known after batch `now`: nothing of later batches, labels or updates."""
        known = tuple(
            batch if when is not None and when <= now else without_labels(batch)
            for batch, when in zip(self.batches, self.arrived, strict=True)
            if batch.number <= now
        )
        return View(
            batches=known,
            offers=tuple(offers),
            worth=worth,
            floor=floor,
            updated=tuple(number for number in updated if number < now),
            tried=tuple(number for number in (*tried, *updated) if number < now),
            start=start,
            spending=spending,
            window=window,
            served=served,
        )


@lru_cache(maxsize=4096)  # replays ask for the same batches again and again
def without_labels(batch: ServedBatch) -> ServedBatch:
    """A batch as it is known before its labels arrive."""
    return batch.model_copy(update=OF_LABELS)
