"""Semantic segmentation: the class of each pixel. Cross-entropy; metrics of the confusion matrix of all pixels.

The mean intersection over union is that of the whole set (Everingham et al. 2015, IJCV 111): of each class the pixels
where truth and answer agree, over those where either says it; classes that neither has are left out. Errors are those
of images: the pixels of one image are not independent. They are linearised over the images' own counts, as errors of
ratios are (Cochran 1977, Sampling Techniques, section 6.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from foretoll.errors import DataError
from foretoll.tasks.base import Metric, Tally, TargetScale
from foretoll.tasks.dense import IGNORED, UNKNOWN, Dense, counted

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

MOST_CLASSES = 1_000


class Pixels(Tally):
    """Of each class the pixels that are right, true and predicted, by whole numbers; and their products over images.

    An image's counts are its right and its united pixels of each class (2C numbers), whose products (2C, 2C) give the
    error of any smooth function of the sums.
    """

    def __init__(self, classes: int, device: Any) -> None:
        import torch

        self.classes, self.samples = classes, 0
        self._sums = torch.zeros(2 * classes, dtype=torch.float64, device=device)
        self._products = torch.zeros(2 * classes, 2 * classes, dtype=torch.float64, device=device)
        self._pixels = torch.zeros(3, dtype=torch.float64, device=device)  # right·right, right·all, all·all
        self._of_all = torch.zeros(2, dtype=torch.float64, device=device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch of logits (B, C, H, W), or (B, C), and classes (B, H, W), or (B,); UNKNOWN is left out."""
        import torch

        b, c = len(targets), self.classes
        truth = targets.reshape(b, -1).long()
        said = outputs.argmax(dim=1).reshape(b, -1)
        known = truth != UNKNOWN
        image = torch.arange(b, device=truth.device)[:, None].expand_as(truth)

        def count(classes: Tensor, where: Tensor) -> Tensor:
            places = (image * c + classes.clamp(min=0))[where]
            return torch.bincount(places, minlength=b * c).view(b, c).double()

        right = count(truth, known & (truth == said))
        united = count(truth, known) + count(said, known) - right
        each = torch.cat([right, united], dim=1).to(self._sums)
        hits, pixels = right.sum(dim=1), known.sum(dim=1).double()
        self.samples += b
        self._sums += each.sum(dim=0)
        self._products += each.T @ each
        self._of_all += torch.stack([hits.sum(), pixels.sum()]).to(self._sums)
        moments = [hits @ hits, hits @ pixels, pixels @ pixels]
        self._pixels += torch.stack(moments).to(self._sums)

    def merge(self, other: Pixels) -> None:
        """Add another one's counts."""
        self.samples += other.samples
        for name in ("_sums", "_products", "_pixels", "_of_all"):
            setattr(self, name, getattr(self, name) + getattr(other, name).to(self._sums.device))

    def overlap(self) -> tuple[Tensor, Tensor]:
        """Right and united pixels of each class, float64 (C,)."""
        right, united = self._sums.cpu().view(2, self.classes)
        return right, united

    def share(self) -> float:
        """The share of pixels that are right."""
        right, pixels = self._of_all.tolist()
        return float(right / max(pixels, 1.0))

    def share_error(self) -> float:
        """The standard error of that share over images."""
        right, both, pixels = self._pixels.tolist()
        share, count = self.share(), float(self._of_all[1])
        away = max(right - 2 * share * both + share**2 * pixels, 0.0)
        return math.sqrt(away * self._correction()) / max(count, 1.0)

    def overlap_error(self) -> float:
        """The standard error of the mean overlap over images."""
        import torch

        right, united = self.overlap()
        seen = united > 0
        if not bool(seen.any()):
            return 0.0
        safe = united.clamp(min=1)
        slope = torch.where(seen, 1 / safe, 0.0) / seen.sum()
        gradient = torch.cat([slope, -slope * right / safe])
        variance = float(gradient @ self._products.cpu() @ gradient)  # the mean of the linearised terms is 0
        return math.sqrt(max(variance, 0.0) * self._correction())

    def _correction(self) -> float:
        return self.samples / max(self.samples - 1, 1)


def mean_iou(tally: Pixels) -> float:
    """Mean intersection over union of the classes that occur or are said."""
    right, united = tally.overlap()
    seen = united > 0
    return float((right[seen] / united[seen]).mean()) if bool(seen.any()) else 0.0


def pixel_accuracy(tally: Pixels) -> float:
    """The share of pixels whose class is predicted."""
    return tally.share()


class Segmentation(Dense):
    """Targets: classes of pixels int64 (n, H, W), −1 where none counts. Outputs: logits (n, C, H, W)."""

    name = "segmentation"
    title = "semantic segmentation"
    places: ClassVar[int] = 2
    to_check: ClassVar[str] = "the numbers of the classes in the masks, the preprocessing"
    groups_are: ClassVar[str] = "the class of one pixel of each image"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("mean_iou", "mean IoU", mean_iou, measured=lambda tally: tally.overlap_error()),
        Metric(
            "pixel_accuracy", "pixel accuracy", pixel_accuracy, measured=lambda tally: tally.share_error()
        ),
    )

    def recognises(self, values: npt.NDArray[Any]) -> bool:
        """Whole numbers in (images, height, width)."""
        return values.ndim == 3 and values.dtype.kind in "iu" and values.size > 0

    def read(
        self, values: Any, where: str, *, names: Sequence[str] | None = None
    ) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
        """Class numbers (n, H, W) as int64; 255, −1 and −100 leave a pixel out. `names`: of the classes."""
        import numpy as np

        found = np.asarray(values)
        if found.ndim == 4 and 1 in (found.shape[1], found.shape[3]):
            found = found.squeeze(1 if found.shape[1] == 1 else 3)
        if found.dtype.kind not in "iub" or found.ndim != 3 or not found.size:
            raise DataError(
                f"{where} has masks of type {found.dtype} and shape {found.shape}: a mask is a class number for each "
                "pixel, (images, height, width)"
            )
        classes = counted(found, *IGNORED)
        low, high = int(classes.min()), int(classes.max())
        if low < UNKNOWN or high >= MOST_CLASSES:
            raise DataError(
                f"{where} has the class {low if low < UNKNOWN else high}: classes of pixels run from 0 to "
                f"{MOST_CLASSES - 1}, and 255, −1 or −100 leave a pixel out"
            )
        if high < 0:
            raise DataError(f"{where} leaves every pixel out: give masks with classes")
        if names is not None and high >= len(names):
            raise DataError(
                f"{where} has the class {high}, and {len(names)} classes have names: name all of them"
            )
        return classes, tuple(names) if names is not None else tuple(str(i) for i in range(high + 1))

    def said(self, names: Sequence[str]) -> str:
        """That pixels are classified, and into how many classes."""
        return f"{len(names):,} classes of pixels"

    def arranged(self, outputs: Tensor, size: tuple[int, ...] | None = None) -> Tensor:
        """Networks give (n, C, H, W); maps of another size than the masks are brought to theirs (bilinear)."""
        from torch.nn import functional as F

        if size is None or outputs.ndim != 4 or tuple(outputs.shape[2:]) == tuple(size):
            return outputs
        return F.interpolate(outputs, size=tuple(size), mode="bilinear", align_corners=False)

    def tally(self, width: int, *, device: Any = "cpu") -> Pixels:
        """No pixels yet."""
        return Pixels(width, device)

    def chance(self, targets: Tensor, metric: Metric, width: int | None = None) -> float:
        """The most frequent class everywhere: its share, and its share over the number of classes that occur."""
        if metric not in self.metrics:
            return super(Dense, self).chance(targets, metric, width or int(targets.max()) + 1)
        shares = self.shares(targets, width or int(targets.max()) + 1)
        most = float(shares.max())
        return most if metric.name == "pixel_accuracy" else most / int((shares > 0).sum())

    def groups(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The classes of pixels (n,)."""
        return targets

    def predicted_groups(self, outputs: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The class with the largest logit."""
        return outputs.argmax(dim=1)

    def group_names(self, names: Sequence[str], scale: TargetScale | None = None) -> tuple[str, ...]:
        """The classes' names."""
        return tuple(names)
