"""What tasks with a class at each place of a sample share: a token of a text, a pixel of an image.

Targets are int64 (n, *places), UNKNOWN where nothing counts: behind the end of a text, on pixels that were left out.
Outputs are logits (n, C, *places), as torch's cross-entropy takes them. A loss is the mean over the places that count,
whatever batches they come in. Where samples must be rows (indices, probes), one place of each stands for it, so that
rows are as independent as the samples are.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from foretoll.tasks.base import Metric, TargetScale, Task

if TYPE_CHECKING:
    from torch import Tensor

UNKNOWN = -1
IGNORED = (-100, 255)  # what torch and transformers, and pictures of masks, mark with to be left out


class Dense(Task):
    """A task with targets of a shape; its file says what they are called and how they are counted."""

    has_probabilities: ClassVar[bool] = False
    recognise_ends: ClassVar[bool] = False

    def arranged(self, outputs: Tensor, size: tuple[int, ...] | None = None) -> Tensor:
        """What a network gives as (n, C, *places); `size`: of the places, where they are known."""
        return outputs

    def rows(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (m, C) and targets (m,) of all places that count."""
        if targets.ndim == 1:
            known = targets != UNKNOWN
            return outputs[known], targets[known].long()
        flat = outputs.flatten(2).movedim(1, -1).reshape(-1, outputs.shape[1])
        known = targets.reshape(-1) != UNKNOWN
        return flat[known], targets.reshape(-1)[known].long()

    def everywhere(self, constant: Tensor, targets: Tensor) -> Tensor:
        """The same outputs at all places."""
        shape = (1, len(constant), *[1] * (targets.ndim - 1))
        return constant.view(shape).expand(len(targets), len(constant), *targets.shape[1:])

    def mass(self, targets: Tensor) -> Tensor:
        """Places of each sample that count."""
        return (targets.reshape(len(targets), -1) != UNKNOWN).sum(dim=1).double()

    def losses(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Cross-entropy in nats, the mean over the places of a sample that count; 0 where none does."""
        from torch.nn import functional as F

        each = F.cross_entropy(outputs, targets.long(), ignore_index=UNKNOWN, reduction="none")
        mass = self.mass(targets).clamp(min=1).to(each)
        return each.reshape(len(targets), -1).sum(dim=1) / mass

    def loss(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Cross-entropy in nats, the mean over all places that count."""
        from torch.nn import functional as F

        total = F.cross_entropy(outputs, targets.long(), ignore_index=UNKNOWN, reduction="sum")
        return total / (targets != UNKNOWN).sum().clamp(min=1)

    def shares(self, targets: Tensor, width: int) -> Tensor:
        """How often each class is among the places that count, float64 (width,)."""
        import torch

        known = targets[targets != UNKNOWN].long()
        return torch.bincount(known, minlength=width).double() / max(len(known), 1)

    def constant(self, targets: Tensor, width: int) -> Tensor:
        """The logarithms of the classes' shares."""
        return self.shares(targets, width).clamp_min(1e-9).log()

    def design(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """One-hot targets of rows (n,)."""
        import torch

        return torch.nn.functional.one_hot(targets.long()).double()

    def outputs(self, fitted: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Fitted one-hot targets are estimates of probabilities (least squares); their logarithms are logits.

        What lies below 0 is spread by the shares of the classes in all rows, so that a fit as good as its noise is no
        worse than these shares.
        """
        above = fitted.clamp_min(0.0)
        shares = above.mean(dim=0, keepdim=True)
        below = (above - fitted).sum(dim=1, keepdim=True)
        spread = above + below * shares / shares.sum()
        chances = spread / spread.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return chances.clamp_min(1e-5 / fitted.shape[1]).log()

    @abstractmethod
    def chance(self, targets: Tensor, metric: Metric, width: int | None = None) -> float:
        """What the best constant prediction reaches on these targets."""


def counted(values: Any, *ignored: int) -> Any:
    """Whole numbers (numpy) with UNKNOWN in place of what is to be left out."""
    import numpy as np

    found = values.astype(np.int64)
    found[np.isin(found, ignored)] = UNKNOWN
    return found
