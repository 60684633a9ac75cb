"""Changes made to each training sample, anew in every epoch: transforms of torchvision by name, or any callable.

A callable takes one sample as it is stored (an image uint8 (C, H, W), a vector, a series, a text) and gives one of the
same kind. Random numbers come from torch, so that a seed repeats a training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from foretoll.errors import UsageError, one_line, shown
from foretoll.records.settings import OWN

Transform = Callable[[Any], Any]
COLOURS = frozenset({"jitter", "trivial", "auto"})  # they know grey and RGB images alone
CROP_SHARE = 8  # a crop without a number moves an image by up to an eighth of its side


class Augmentation:
    """The transforms of the settings, applied to each sample of a batch by itself."""

    def __init__(self, names: Sequence[str | Transform]) -> None:
        self.names = tuple(names)
        self._made: list[tuple[str, Transform]] = []
        self._shape: tuple[int, ...] | None = None

    def __call__(self, inputs: Any) -> Any:
        """A batch of inputs, each changed; the same batch where there is nothing to do.

        Raises UsageError where a transform cannot be used on such data, or fails.
        """
        if not self.names:
            return inputs
        shape = tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else ()
        if self._shape != shape:
            self._made, self._shape = [self._transform(name, inputs) for name in self.names], shape
        changed = [self._changed(sample) for sample in inputs]
        if not isinstance(changed[0], Tensor):
            return changed
        try:
            return torch.stack(changed)
        except (RuntimeError, TypeError):
            raise UsageError(
                "augment: the transforms give samples of different shapes: let them give one shape for all"
            ) from None

    def _changed(self, sample: Any) -> Any:
        for name, transform in self._made:
            try:
                sample = transform(sample)
            except Exception as error:
                raise UsageError(
                    f"augment: {name} fails on a sample ({type(error).__name__}: {one_line(str(error), 100)}): "
                    "leave it out, or mend it"
                ) from error
        return sample

    def _transform(self, name: str | Transform, inputs: Any) -> tuple[str, Transform]:
        if not isinstance(name, str):
            return getattr(name, "__qualname__", type(name).__qualname__), name
        if name.startswith(OWN):
            raise UsageError(
                f"augment: {shown(name, 60)} was a transform of your own, and its name alone is kept: give it again"
            )
        if not isinstance(inputs, Tensor) or inputs.ndim != 4:
            raise UsageError(
                f"augment: {name} is for images: give a callable that changes one of your samples"
            )
        channels, *size = inputs.shape[1:]
        kind, _, amount = name.partition(":")
        if kind in COLOURS and channels not in (1, 3):
            raise UsageError(
                f"augment: {kind} knows images of 1 or 3 channels, and these have {channels}: use others, such as flip"
            )
        return name, _image_transform(kind, float(amount) if amount else None, size)


def _image_transform(kind: str, amount: float | None, size: Sequence[int]) -> Transform:
    """The transform of torchvision that a name stands for; images have this height and width."""
    from torchvision.transforms import v2  # it takes a second to import

    by = amount or {"crop": max(min(size) // CROP_SHARE, 1), "rotate": 15.0, "jitter": 0.2}.get(kind, 0.5)
    share = min(by, 1.0)
    made: dict[str, Callable[[], Transform]] = {
        "flip": v2.RandomHorizontalFlip,
        "vflip": v2.RandomVerticalFlip,
        "crop": lambda: v2.RandomCrop(list(size), padding=int(by)),
        "rotate": lambda: v2.RandomRotation(by, v2.InterpolationMode.BILINEAR),
        "jitter": lambda: v2.ColorJitter(share, share, share),
        "erase": lambda: v2.RandomErasing(share),
        "trivial": v2.TrivialAugmentWide,
        "auto": v2.AutoAugment,
    }
    return made[kind]()
