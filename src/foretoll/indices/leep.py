"""LEEP: the log likelihood of the target labels, predicted through the source classes.

Source: Nguyen et al., "LEEP: A New Measure to Evaluate Transferability of Learned Representations", ICML 2020.

Deviations: none. The mean is over the logs of the expected predictions, not the log of their mean.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foretoll.indices._accumulator import Accumulator
from foretoll.indices._arrays import as_probabilities, sums_by_class
from foretoll.indices._validate import Array, as_tensor, check_known_labels, check_labels


def leep(probabilities: Array, labels: Array) -> float:
    """(1/n) Σ_x log Σ_z P(y_x | z) θ(x)_z in nats, at most 0; higher promises easier transfer.

    P(y, z) = (1/n) Σ_{x: y_x = y} θ(x)_z, and P(y | z) = P(y, z)/P(z).

    Args:
        probabilities: source-class probabilities θ of the target samples, shape (n, source classes).
        labels: target class numbers, shape (n,).

    Raises:
        DataError: rows that are not probabilities, NaN, or lengths that differ.
    """
    theta = as_probabilities(probabilities, from_logits=False).cpu()
    theta, known = check_known_labels(theta, check_labels(as_tensor(labels).cpu(), len(theta)), classes=1)
    present, position = torch.unique(known, return_inverse=True)
    joint = sums_by_class(theta, position, len(present))
    # a source class that is never predicted has probability 0 everywhere and may be given any P(y | z)
    conditional = joint / joint.sum(0).clamp(min=torch.finfo(torch.float64).tiny)
    return float((conditional[position] * theta).sum(1).log().mean())


class Leep(Accumulator[Tensor]):
    """LEEP over batches; `compute()` is float64.

    `update(logits, labels)`, logits (B, source classes), labels (B,), −1 for samples to leave out. P(y | z) is only
    known at the end, so the source-class probabilities are kept: 4 bytes × samples × source classes.
    """

    probabilities: list[Tensor]
    labels: list[Tensor]

    def __init__(self, *, from_logits: bool = True) -> None:
        super().__init__()
        self.from_logits = from_logits

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        self._add_state("probabilities", None, "cat")
        self._add_state("labels", None, "cat")

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        theta = as_probabilities(outputs, from_logits=self.from_logits)
        known = check_labels(labels, len(theta))
        self._size((theta.shape[1],), outputs.device)
        self.probabilities.append(self._at_home(theta.float()))
        self.labels.append(self._at_home(known))

    def _value(self) -> Tensor:
        """The LEEP score."""
        self._require_data()
        score = leep(torch.cat(self.probabilities), torch.cat(self.labels))
        return torch.tensor(score, dtype=torch.float64)

    def _settings(self) -> tuple[Any, ...]:
        return (self.from_logits,)
