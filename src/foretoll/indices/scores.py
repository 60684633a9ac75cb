"""The peers' scores on bounded samples: one table from name to a function of what a sweep kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices._sample import Sample
from foretoll.indices.doc_atc import atc, doc, max_confidence, negative_entropy
from foretoll.indices.frechet import WIDE, frechet, sliced_wasserstein
from foretoll.indices.gbc import gbc
from foretoll.indices.h_score import h_score
from foretoll.indices.label_free import resque_predicted, resque_transport
from foretoll.indices.leep import leep
from foretoll.indices.logme import logme
from foretoll.indices.mmd import mmd
from foretoll.indices.nce import nce
from foretoll.indices.separability import effective_rank, expected_calibration_error, knn_accuracy
from foretoll.indices.table import INDICES

BOUND = 1000  # rows for scores whose cost grows with the square of the sample


@dataclass(frozen=True)
class SideSample:
    """A side's bounded sample: representations (n, d), logits (n, C), labels (n,) with −1 unknown, ids (n,)."""

    representations: Tensor
    logits: Tensor
    labels: Tensor
    ids: Tensor

    @classmethod
    def of(cls, sample: Sample) -> SideSample:
        """From a `BoundedSample` that was fed representations and logits."""
        tensors = {name: rows.double().cpu() for name, rows in sample.tensors.items()}
        return cls(tensors["representations"], tensors["logits"], sample.labels.cpu(), sample.ids.cpu())

    @property
    def correct(self) -> Tensor:
        """Whether the model's prediction is right, (n,) bool."""
        return self.logits.argmax(dim=1) == self.labels

    def few(self) -> Tensor:
        """At most `BOUND` representations, evenly spaced."""
        rows = torch.linspace(0, len(self.labels) - 1, min(BOUND, len(self.labels))).long()
        return self.representations[rows]

    def not_too_wide(self) -> Tensor:
        """The representations, no more than `few` where their width would make a matrix of it dear."""
        return self.few() if self.representations.shape[1] > WIDE else self.representations


# Of both sides, whatever the shift; no labels of the target.
BETWEEN: dict[str, Callable[[SideSample, SideSample], float]] = {
    "frechet": lambda s, t: frechet(s.not_too_wide(), t.not_too_wide()),
    "mmd": lambda s, t: mmd(s.few(), t.few()),
    "sliced_wasserstein": lambda s, t: sliced_wasserstein(s.representations, t.representations),
}

# Of both sides, for classes that stay the same; no labels of the target.
_SAME_CLASSES: dict[str, Callable[[SideSample, SideSample], float]] = {
    "doc": lambda s, t: doc(
        max_confidence(s.logits, from_logits=True),
        max_confidence(t.logits, from_logits=True),
        float(s.correct.double().mean()),
    ),
    "atc": lambda s, t: atc(
        negative_entropy(s.logits, from_logits=True), s.correct, negative_entropy(t.logits, from_logits=True)
    ),
    "resque_predicted": lambda s, t: resque_predicted(
        s.representations, s.labels, t.representations, t.logits
    ),
    "resque_transport": lambda s, t: resque_transport(s.representations, s.labels, t.representations),
}

# Of the target alone.
_UNLABELLED: dict[str, Callable[[SideSample], float]] = {
    "effective_rank": lambda t: effective_rank(t.representations, center=True),
}

# Of the target with its labels.
_LABELLED: dict[str, Callable[[SideSample], float]] = {
    "logme": lambda t: logme(t.representations, t.labels),
    "h_score": lambda t: h_score(t.representations, t.labels),
    "gbc": lambda t: gbc(t.representations, t.labels),
    "leep": lambda t: leep(t.logits.softmax(dim=1), t.labels),
    "nce": lambda t: nce(t.logits.argmax(dim=1), t.labels),
    "knn_accuracy": lambda t: knn_accuracy(t.representations, t.labels),
}


def scores(source: SideSample, target: SideSample, *, task_shift: bool) -> dict[str, float | None]:
    """All scores that these data allow; a score that its data do not allow (one class, say) is None."""
    found: dict[str, float | None] = {}

    def attempt(name: str, compute: Callable[[], float]) -> None:
        try:
            found[name] = compute()
        except DataError:
            found[name] = None

    labelled = bool((target.labels >= 0).all())
    for name, between in BETWEEN.items():
        attempt(name, lambda f=between: f(source, target))  # type: ignore[misc]  # bound at once
    for name, alone in _UNLABELLED.items():
        attempt(name, lambda f=alone: f(target))  # type: ignore[misc]
    if not task_shift:
        for name, between in _SAME_CLASSES.items():
            attempt(name, lambda f=between: f(source, target))  # type: ignore[misc]
    if labelled:
        for name, alone in _LABELLED.items():
            attempt(name, lambda f=alone: f(target))  # type: ignore[misc]
        if not task_shift:
            confidence = max_confidence(target.logits, from_logits=True)
            attempt("calibration_error", lambda: expected_calibration_error(confidence, target.correct))
    for name in INDICES.from_others():
        entry = INDICES[name]
        fits = entry.shift in ("both", "task" if task_shift else "distribution")
        if entry.compute is not None and fits and (labelled or not entry.labels):
            try:
                found[name] = float(entry.compute(source, target))
            except Exception:  # noqa: BLE001  # another's code: its number is missing, and nothing else is lost
                found[name] = None
    return found
