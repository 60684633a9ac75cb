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
from foretoll.workflows.scoring import Scoring, Targets

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
    """What the served model makes of a batch of n samples: representations (n, d) and outputs (n, k).

    Outputs are probabilities where the task has them of classes, else as the model gives them.
    """

    representations: Floats
    outputs: Floats

    def __post_init__(self) -> None:
        x, p = self.representations, self.outputs
        if x.ndim != 2 or p.ndim != 2 or len(x) != len(p) or not len(x):
            raise DataError(
                f"the representations have the shape {x.shape} and the outputs {p.shape}: give (samples, channels) and "
                "(samples, outputs) of the same samples"
            )
        if not (np.isfinite(x).all() and np.isfinite(p).all()):
            raise DataError(
                "the model's outputs or representations on this batch are NaN or infinite: check its input"
            )

    @classmethod
    def of_outputs(
        cls, representations: npt.ArrayLike, outputs: npt.ArrayLike, *, probabilities: bool = True
    ) -> Look:
        """From what a serving process kept: representations (n, d), and outputs (n, k) as the model gives them.

        `probabilities`: outputs are logits or probabilities of classes, and are made probabilities.
        """
        values = np.asarray(outputs, dtype=np.float64)
        if probabilities:
            proper = values.ndim == 2 and (values >= 0).all() and np.allclose(values.sum(1), 1, atol=1e-3)
            values = values if proper else softmax(values)
        elif values.ndim == 1:
            values = values[:, None]
        return cls(np.asarray(representations, dtype=np.float32), values.astype(np.float32))

    def __len__(self) -> int:
        return len(self.outputs)


def look_at(model: Model, split: Split, *, device: torch.device | str = "cpu", batch_size: int = 256) -> Look:
    """Run the served model once over a batch."""
    seen: list[tuple[Any, Any]] = []
    normed = model.task.has_probabilities

    def keep(features: Features) -> None:
        outputs = features.logits.softmax(1) if normed else features.logits
        seen.append((features.representations.cpu().numpy(), outputs.cpu().numpy()))

    sweep(model, split, [keep], batch_size=batch_size, device=device)
    representations, outputs = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    return Look(representations, outputs)


def served_batch(
    name: str,
    number: int,
    look: Look,
    scoring: Scoring,
    *,
    reference: Look | None = None,
    labels: Targets | None = None,
    shadow: Shadow | None = None,
) -> ServedBatch:
    """What is known of a batch: drift against the reference's outputs, and with labels quality and lead.

    `labels` (n, …): targets in the model's numbers, unknown ones among them (`Task.known`); samples without one count
    for drift alone. The shadow must not have been given this batch yet.
    """
    of_classes = scoring.task.has_probabilities
    record = ServedBatch(
        name=name,
        number=number,
        samples=len(look),
        confidence=min(float(look.outputs.max(1).mean()), 1.0) if of_classes else None,
        ks=None if reference is None else largest_ks(reference.outputs, look.outputs),
        psi=None if reference is None else stability(reference.outputs, look.outputs, classes=of_classes),
    )
    if labels is None:
        return record
    return with_labels(record, look, scoring, labels, shadow, scoring.last_label(labels))


def with_labels(
    record: ServedBatch,
    look: Look,
    scoring: Scoring,
    labels: Targets,
    shadow: Shadow | None,
    last_label: float | None,
) -> ServedBatch:
    """What is known of a batch with its labels: quality and lead, where there are any.

    `last_label`: the quality of naming the last one, over all of the batch, of which a part may have been looked at.
    """
    known = scoring.known(labels)
    if not known.any():
        return record.model_copy(update={"last_label": last_label})
    served = scoring.scores(look.outputs[known], labels[known])
    found = (
        None if shadow is None else scoring.lead(shadow, look.representations[known], labels[known], served)
    )
    return record.model_copy(
        update={
            "labelled": int(known.sum()),
            "quality": scoring.value(served),
            "lead": None if found is None else found.value,
            "lead_error": None if found is None else found.standard_error,
            "last_label": last_label,
        }
    )


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities (n, C) of logits (n, C)."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = shifted / shifted.sum(1, keepdims=True)
    return probabilities


def largest_ks(reference: Floats, batch: Floats) -> float:
    """The largest two-sample Kolmogorov-Smirnov statistic over the outputs; in [0, 1].

    0 for the same samples in any order. Equivalent: `scipy.stats.ks_2samp(a, b).statistic`, output by output.
    """
    largest = 0.0
    for ours, theirs in zip(_thinned(reference).T, _thinned(batch).T, strict=True):
        a, b = np.sort(ours), np.sort(theirs)
        both = np.concatenate([a, b])
        shares = [np.searchsorted(each, both, side="right") / len(each) for each in (a, b)]
        largest = max(largest, float(np.abs(shares[0] - shares[1]).max()))
    return largest


def stability(reference: Floats, batch: Floats, *, classes: bool = True) -> float:
    """The population stability index of the confidence, in ten bins of equal share of the reference, and of classes.

    Σ (q − p)·ln(q/p) over the shares p of the reference and q of the batch; the larger of both. 0 for the same samples.
    Without `classes` that of each output, the largest.
    """
    if not classes:
        return max(_in_bins(ours, theirs) for ours, theirs in zip(reference.T, batch.T, strict=True))
    kinds = _index(reference.argmax(1), batch.argmax(1), reference.shape[1])
    return max(_in_bins(reference.max(1), batch.max(1)), kinds)


def _in_bins(a: Floats, b: Floats) -> float:
    edges = np.unique(np.quantile(a, np.linspace(0, 1, BINS + 1)[1:-1]))
    return _index(
        np.searchsorted(edges, a, side="right"), np.searchsorted(edges, b, side="right"), len(edges) + 1
    )


def _index(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], bins: int) -> float:
    p, q = (np.bincount(each, minlength=bins) / len(each) for each in (a, b))
    p, q = p.clip(min=_LITTLE), q.clip(min=_LITTLE)
    return float(((q - p) * np.log(q / p)).sum())


def _thinned(values: Floats) -> Floats:
    """At most KEPT rows, evenly spaced."""
    if len(values) <= KEPT:
        return values
    return values[np.linspace(0, len(values) - 1, KEPT).astype(np.int64)]
