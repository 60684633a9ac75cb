"""NCE: negative conditional entropy of the target labels given the source classes that the model predicts.

Source: Tran et al., "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019.

Deviations: none. Natural logarithm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices._accumulator import Accumulator
from foretoll.indices._arrays import batch_matrix, class_labels, sums_by_class
from foretoll.indices._validate import Array, as_tensor, check_known_labels, check_labels


def nce(source_labels: Array, labels: Array) -> float:
    """−H(Y | Z) = Σ_{y,z} P(y, z) log P(y | z) in nats, at most 0; higher promises easier transfer.

    Args:
        source_labels: predicted source class z of each target sample (the argmax), shape (n,).
        labels: its target class y, shape (n,).

    Raises:
        DataError: empty, or fractional class numbers, or lengths that differ.
    """
    z = check_labels(as_tensor(source_labels).cpu(), len(source_labels), "source_labels")
    y = check_labels(as_tensor(labels).cpu(), len(z))
    if bool((z < 0).any()):
        raise DataError(
            "source_labels holds unknown classes (-1): pass the source class that the model predicts"
        )
    z, y = check_known_labels(z, y, classes=1)
    pairs, counts = torch.unique(torch.stack((y, z)), dim=1, return_counts=True)
    return _negative_entropy(counts.double(), pairs[1])


class NegativeConditionalEntropy(Accumulator[Tensor]):
    """NCE accumulated batch by batch as joint counts, exact; `compute()` is float64.

    `update(logits, labels)`, logits (B, source classes), labels (B,), −1 for samples to leave out.
    """

    joint: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        self._add_zeros("joint", (self.num_classes, key[0]), device, torch.int64)

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        """Add a batch."""
        z = batch_matrix(outputs, "logits").argmax(1)
        y = class_labels(labels, len(z), classes=self.num_classes).to(z.device)
        self._size((outputs.shape[1],), outputs.device)
        z, y = z[y >= 0], y[y >= 0]
        flat = self._at_home(y * outputs.shape[1] + z)
        self.joint.view(-1).index_add_(0, flat, torch.ones_like(flat))

    def _value(self) -> Tensor:
        """The NCE score."""
        self._require_data()
        y, z = self.joint.cpu().nonzero(as_tuple=True)
        if not len(y):
            raise DataError("NCE has seen no samples of known class: pass labelled samples")
        return torch.tensor(_negative_entropy(self.joint.cpu()[y, z].double(), z), dtype=torch.float64)

    def _settings(self) -> tuple[Any, ...]:
        return (self.num_classes,)


def _negative_entropy(counts: Tensor, sources: Tensor) -> float:
    """From the count of each (y, z) that occurs, and its z."""
    _, position = torch.unique(sources, return_inverse=True)
    totals = sums_by_class(counts, position, int(position.max()) + 1)
    return float((counts * (counts / totals[position]).log()).sum() / counts.sum())
