"""What a network's outputs are: logits, or probabilities that the loss would take for logits.

A network that ends in a softmax or in sigmoids trains badly under cross-entropy, and its loss, calibration and
confidence mean nothing, since the softmax is taken twice. Its outputs are recognised once and turned into logits at the
one place where all of foretoll reads them (`Model`): log p is a logit of p, since softmax(log p) = p. A plain softmax
at the end is refused before (`find_anatomy`): it is one layer to leave out. What comes here are softmaxes in half
precision, those that show on real samples only, and sigmoids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from foretoll.errors import ModelError

if TYPE_CHECKING:
    from foretoll.tasks import TargetScale

Outputs = Literal["logits", "probabilities", "sigmoids", "standardised"]

NOTES: dict[str, str] = {
    "probabilities": "the network gives probabilities (they sum to one), not logits: their logarithm is taken for "
    "logits, so that loss, confidence and training are right",
    "sigmoids": "the network gives a sigmoid for each class, not logits: the log-odds are taken for logits, so that "
    "loss, confidence and training are right",
}


def as_logits(outputs: Tensor, kind: Outputs, targets: TargetScale | None = None) -> Tensor:
    """Outputs (B, C) of this kind as logits (B, C); the order of the classes stays.

    Standardised values become values in the unit of `targets`.
    """
    if kind == "logits":
        return outputs
    values = outputs.float()
    if kind == "standardised":
        if targets is None:
            raise ModelError("the model's outputs are standardised, and its card does not say by which mean")
        return values * values.new_tensor(targets.std) + values.new_tensor(targets.mean)
    tiny = torch.finfo(values.dtype).tiny
    if kind == "probabilities":
        return values.clamp_min(tiny).log()
    return values.clamp_min(tiny).log() - (1 - values).clamp_min(torch.finfo(values.dtype).eps / 2).log()
