"""Regression: numbers are predicted, one or several a sample. Squared error; metrics in the target's own unit.

The loss is that of standardised targets (by the training part's mean and deviation, kept on the model's card), so that
learning rates mean the same for prices and for fractions. What a model gives is in the target's unit again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from foretoll.errors import DataError
from foretoll.tasks.base import Metric, Tally, TargetScale, Task

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

BINS = 5  # quantile bins, where an index needs classes
FEW_LEVELS = 20  # whole numbers of which no more occur may be classes: then the user is asked


class Errors(Tally):
    """Sums over the samples, float64 (k,): of squared and absolute errors, and of the targets."""

    def __init__(self, width: int, device: Any) -> None:
        import torch

        self.samples = 0
        self._sums = torch.zeros(4, width, dtype=torch.float64, device=device)
        self._offset: Tensor | None = None

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch of predictions (B, k) and targets (B, k)."""
        import torch

        truth, errors = targets.double(), outputs.double() - targets.double()
        if (
            self._offset is None
        ):  # about a value of the targets' own size: squares of large numbers cancel badly
            self._offset = truth[:1].clone()
        away = truth - self._offset
        self.samples += len(targets)
        self._sums += torch.stack([errors.square(), errors.abs(), away, away.square()]).sum(dim=1)

    def merge(self, other: Errors) -> None:
        """Add another one's sums."""
        if other._offset is None:
            return
        theirs = other._sums.to(self._sums.device).clone()
        if self._offset is None:
            self._offset = other._offset.to(theirs.device)
        moved = (other._offset.to(theirs.device) - self._offset).squeeze(0)
        theirs[3] += 2 * moved * theirs[2] + other.samples * moved.square()
        theirs[2] += other.samples * moved
        self.samples += other.samples
        self._sums += theirs

    def squared(self) -> Tensor:
        """Mean squared error of each target."""
        return self._sums[0].cpu() / self.samples

    def absolute(self) -> Tensor:
        """Mean absolute error of each target."""
        return self._sums[1].cpu() / self.samples

    def variance(self) -> Tensor:
        """Variance of each target over the samples."""
        _, _, away, squares = self._sums.cpu() / self.samples
        variance: Tensor = (squares - away.square()).clamp_min(0.0)
        return variance


def rmse(tally: Errors) -> float:
    """Root of the mean squared error, over samples and targets."""
    return math.sqrt(float(tally.squared().mean()))


def mae(tally: Errors) -> float:
    """Mean absolute error, over samples and targets."""
    return float(tally.absolute().mean())


def r2(tally: Errors) -> float:
    """Share of the variance that is explained, the mean over targets that vary; as scikit-learn's r2_score."""
    variance, squared = tally.variance(), tally.squared()
    varies = variance > 0
    if not bool(varies.any()):
        return 1.0 if not bool(squared.any()) else 0.0
    return float((1 - squared[varies] / variance[varies]).mean())


class Regression(Task):
    """Targets: numbers float32 (n, k), in their own unit. Outputs: as many numbers, in the same unit."""

    name = "regression"
    title = "regression"
    to_check: ClassVar[str] = "the unit of the targets, the preprocessing"
    groups_are: ClassVar[str] = f"{BINS} quantile bins of the target"
    new_head_gives: ClassVar[Literal["logits", "standardised"]] = "standardised"
    has_probabilities: ClassVar[bool] = False
    recognise_ends: ClassVar[bool] = False
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(
            "rmse", "RMSE", rmse, direction="lower", high=math.inf, unit="of the target", trivial=None,
            error=lambda value, samples: value / math.sqrt(2 * max(samples, 1)),  # of errors that are normal
            each=lambda outputs, targets: (outputs.double() - targets.double()).square().mean(dim=1), root=True,
        ),
        Metric(
            "mae", "MAE", mae, direction="lower", high=math.inf, unit="of the target", trivial=None,
            error=lambda value, samples: value * math.sqrt((math.pi / 2 - 1) / max(samples, 1)),
            each=lambda outputs, targets: (outputs.double() - targets.double()).abs().mean(dim=1),
        ),
        Metric(
            "r2", "R²", r2, low=-math.inf, high=1.0, trivial=0.0,
            # Olkin and Finn 1995, Psychological Bulletin 118(1)
            error=lambda value, samples: 2 * math.sqrt(max(value, 0.0)) * (1 - value) / math.sqrt(max(samples, 1)),
        ),
    )  # fmt: skip

    def recognises(self, values: npt.NDArray[Any]) -> bool:
        """Numbers with decimals, or with many values; a few whole numbers may be classes and are not taken."""
        import numpy as np

        if values.dtype.kind != "f" or values.ndim not in (1, 2) or not values.size:
            return False
        if values.ndim == 2 and values.shape[1] > 1:
            return not _are_truth_values(values)
        known = values[np.isfinite(values)]
        whole = bool(np.equal(known, np.floor(known)).all())
        return not whole or len(np.unique(known)) > FEW_LEVELS

    def read(
        self, values: Any, where: str, *, names: Sequence[str] | None = None
    ) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
        """Numbers (n,) or (n, k) as float32 (n, k). `names`: of the k targets."""
        import numpy as np

        found = np.asarray(values)
        if found.dtype.kind == "O":
            try:
                found = found.astype(np.float64)
            except (TypeError, ValueError):
                raise DataError(
                    f"{where} has targets that are no numbers: a regression predicts numbers"
                ) from None
        if found.dtype.kind not in "fiub":
            raise DataError(f"{where} has targets of type {found.dtype}: a regression predicts numbers")
        if found.ndim not in (1, 2) or (found.ndim == 2 and found.shape[1] == 0):
            raise DataError(f"{where} has shape {found.shape}: targets are (samples,) or (samples, targets)")
        with np.errstate(over="ignore"):
            matrix = found.reshape(len(found), -1).astype(np.float32)
        bad = ~np.isfinite(matrix).all(axis=1)
        if bad.any():
            nan = int(np.isnan(found.reshape(len(found), -1).astype(np.float64)).any(axis=1).sum())
            what = f"{nan} NaN labels" if nan else f"{int(bad.sum())} targets that are infinite"
            raise DataError(
                f"{where} has {what}, the first in row {int(np.argmax(bad))}: remove or fill them before"
            )
        k = matrix.shape[1]
        if names is None or len(names) != k:
            names = ("target",) if k == 1 else tuple(f"target {i}" for i in range(k))
        return matrix, tuple(str(name) for name in names)

    def said(self, names: Sequence[str]) -> str:
        """That numbers are predicted, and how many."""
        return "a regression of one number" if len(names) == 1 else f"a regression of {len(names):,} numbers"

    def scale(self, targets: Tensor) -> TargetScale | None:
        """Mean, deviation and quantiles of the training targets."""
        import torch

        numbers = targets.double()
        std = numbers.std(dim=0, correction=0)
        levels = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1]
        edges = torch.quantile(numbers[:: max(len(numbers) // 100_000, 1)], levels, dim=0)
        return TargetScale(
            mean=tuple(numbers.mean(dim=0).tolist()),
            std=tuple(torch.where(std > 0, std, torch.ones_like(std)).tolist()),
            edges=tuple(tuple(column) for column in edges.T.tolist()),
        )

    def in_groups(self, targets: Tensor) -> bool:
        """Whether the first number only rises, or only falls, and does: sorted rows are in no order of time."""
        steps = targets[:, 0].diff()
        return bool((steps != 0).any()) and bool((steps >= 0).all() or (steps <= 0).all())

    def losses(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Squared error of standardised targets, mean over them."""
        error = outputs - targets.to(outputs.dtype)
        if scale is not None and scale.std:
            error = error / error.new_tensor(scale.std)
        return error.square().flatten(1).mean(dim=1)

    imitates: ClassVar[bool] = True

    def imitation(
        self, outputs: Tensor, teacher: Tensor, temperature: float, scale: TargetScale | None = None
    ) -> Tensor:
        """The task's own loss with the teacher's numbers as targets; there is nothing to soften."""
        return self.losses(outputs, teacher, scale)

    def tally(self, width: int, *, device: Any = "cpu") -> Errors:
        """No errors yet."""
        return Errors(width, device)

    def constant(self, targets: Tensor, width: int) -> Tensor:
        """The targets' mean."""
        return targets.double().mean(dim=0)

    def groups(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The quantile bin of the first target, by the edges of the training data."""
        import torch

        if scale is None or not scale.edges:
            raise DataError(
                "a regression's quantile bins need the training targets: give labelled source data"
            )
        first = targets[:, 0].double().contiguous()
        return torch.bucketize(first, first.new_tensor(scale.edges[0]))

    def predicted_groups(self, outputs: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The bin of the predicted value."""
        return self.groups(outputs, scale)

    def group_names(self, names: Sequence[str], scale: TargetScale | None = None) -> tuple[str, ...]:
        """The bins by their ends."""
        edges = [f"{edge:.3g}" for edge in scale.edges[0]] if scale is not None and scale.edges else []
        if not edges:
            return tuple(f"bin {i + 1} of {BINS}" for i in range(BINS))
        inner = [f"{a} to {b}" for a, b in itertools.pairwise(edges)]
        return (f"below {edges[0]}", *inner, f"above {edges[-1]}")

    def design(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Standardised targets."""
        numbers = targets.double()
        if scale is None or not scale.std:
            return numbers
        return (numbers - numbers.new_tensor(scale.mean)) / numbers.new_tensor(scale.std)

    def outputs(self, fitted: Tensor, scale: TargetScale | None = None) -> Tensor:
        """In the targets' unit again."""
        if scale is None or not scale.std:
            return fitted
        return fitted * fitted.new_tensor(scale.std) + fitted.new_tensor(scale.mean)


def _are_truth_values(values: npt.NDArray[Any]) -> bool:
    import numpy as np

    return bool(np.isin(values, (0.0, 1.0)).all())
