"""A look at a batch that was served: one forward pass, or none where outputs and representations are handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foretoll.errors import DataError
from foretoll.indices.shadow import Shadow
from foretoll.records import ServedBatch
from foretoll.representation import sweep

if TYPE_CHECKING:
    import torch

    from foretoll.data import Split
    from foretoll.models import Model
    from foretoll.representation import Features

Floats = npt.NDArray[np.float32]
BINS = 10  # of the population stability index
KEPT = 2000  # samples of the reference's outputs that drift is measured against
_LITTLE = 1e-4  # a share that an empty bin counts with: the index has no value for 0


@dataclass(frozen=True)
class Look:
    """What the served model makes of a batch of n samples: representations (n, d) and probabilities (n, C)."""

    representations: Floats
    probabilities: Floats

    def __post_init__(self) -> None:
        x, p = self.representations, self.probabilities
        if x.ndim != 2 or p.ndim != 2 or len(x) != len(p) or not len(x):
            raise DataError(
                f"the representations have the shape {x.shape} and the outputs {p.shape}: give (samples, channels) and "
                "(samples, classes) of the same samples"
            )
        if not (np.isfinite(x).all() and np.isfinite(p).all()):
            raise DataError(
                "the model's outputs or representations on this batch are NaN or infinite: check its input"
            )

    @classmethod
    def of_outputs(cls, representations: npt.ArrayLike, outputs: npt.ArrayLike) -> Look:
        """From what a serving process kept: representations (n, d), logits or probabilities (n, C)."""
        values = np.asarray(outputs, dtype=np.float64)
        proper = values.ndim == 2 and (values >= 0).all() and np.allclose(values.sum(1), 1, atol=1e-3)
        return cls(
            np.asarray(representations, dtype=np.float32),
            (values if proper else softmax(values)).astype(np.float32),
        )

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """Class numbers (n,)."""
        chosen: npt.NDArray[np.int64] = self.probabilities.argmax(1)
        return chosen

    @property
    def confidence(self) -> float:
        """Mean probability of the class that was named."""
        return float(self.probabilities.max(1).mean())


def look_at(model: Model, split: Split, *, device: torch.device | str = "cpu", batch_size: int = 256) -> Look:
    """Run the served model once over a batch."""
    seen: list[tuple[Any, Any]] = []

    def keep(features: Features) -> None:
        probabilities = features.logits.softmax(1)
        seen.append((features.representations.cpu().numpy(), probabilities.cpu().numpy()))

    sweep(model, split, [keep], batch_size=batch_size, device=device)
    representations, probabilities = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    return Look(representations, probabilities)


def served_batch(
    name: str,
    number: int,
    look: Look,
    *,
    reference: Look | None = None,
    labels: npt.NDArray[np.int64] | None = None,
    shadow: Shadow | None = None,
) -> ServedBatch:
    """What is known of a batch: drift against the reference's outputs, and with labels quality and lead.

    `labels` (n,): class numbers, −1 where there is none; samples without one count for drift alone. The shadow must
    not have been given this batch yet.
    """
    record = ServedBatch(
        name=name,
        number=number,
        samples=len(look.predicted),
        confidence=min(look.confidence, 1.0),
        ks=None if reference is None else largest_ks(reference.probabilities, look.probabilities),
        psi=None if reference is None else stability(reference.probabilities, look.probabilities),
    )
    if labels is None or not (labels >= 0).any():
        return record
    known = labels >= 0
    found = None if shadow is None else shadow.lead(look.representations, labels, look.predicted)
    return record.model_copy(
        update={
            "labelled": int(known.sum()),
            "quality": float((look.predicted[known] == labels[known]).mean()),
            "lead": None if found is None else found.value,
            "lead_error": None if found is None else found.standard_error,
            "last_label": last_label_quality(labels),
        }
    )


def last_label_quality(labels: npt.NDArray[np.int64]) -> float | None:
    """Quality on a batch of the dummy that names for each sample the last label seen before it in the batch.

    `labels` (n,): class numbers in the order in which the samples were served, −1 where there is none. The first one
    has none before it and does not count. None of fewer than two labels, and where the batch is sorted by class, as
    folders are: such an order is not that of time.
    """
    known = labels[labels >= 0]
    if len(known) < 2:
        return None
    same = known[1:] == known[:-1]
    classes = len(np.unique(known))
    if classes > 1 and int((~same).sum()) == classes - 1:
        return None
    return float(same.mean())


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities (n, C) of logits (n, C)."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = shifted / shifted.sum(1, keepdims=True)
    return probabilities


def largest_ks(reference: Floats, batch: Floats) -> float:
    """The largest two-sample Kolmogorov-Smirnov statistic over the classes' probabilities; in [0, 1].

    0 for the same samples in any order. Equivalent: `scipy.stats.ks_2samp(a, b).statistic`, class by class.
    """
    largest = 0.0
    for ours, theirs in zip(_thinned(reference).T, _thinned(batch).T, strict=True):
        a, b = np.sort(ours), np.sort(theirs)
        both = np.concatenate([a, b])
        shares = [np.searchsorted(each, both, side="right") / len(each) for each in (a, b)]
        largest = max(largest, float(np.abs(shares[0] - shares[1]).max()))
    return largest


def stability(reference: Floats, batch: Floats) -> float:
    """The population stability index of the confidence, in ten bins of equal share of the reference, and of classes.

    Σ (q − p)·ln(q/p) over the shares p of the reference and q of the batch; the larger of both. 0 for the same samples.
    """
    a, b = reference.max(1), batch.max(1)
    edges = np.unique(np.quantile(a, np.linspace(0, 1, BINS + 1)[1:-1]))
    confidence = _index(
        np.searchsorted(edges, a, side="right"), np.searchsorted(edges, b, side="right"), len(edges) + 1
    )
    classes = _index(reference.argmax(1), batch.argmax(1), reference.shape[1])
    return max(confidence, classes)


def _index(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], bins: int) -> float:
    p, q = (np.bincount(each, minlength=bins) / len(each) for each in (a, b))
    p, q = p.clip(min=_LITTLE), q.clip(min=_LITTLE)
    return float(((q - p) * np.log(q / p)).sum())


def _thinned(values: Floats) -> Floats:
    """At most KEPT rows, evenly spaced."""
    if len(values) <= KEPT:
        return values
    return values[np.linspace(0, len(values) - 1, KEPT).astype(np.int64)]
