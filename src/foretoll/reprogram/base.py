"""What an input program and an output mapping are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from foretoll.errors import DataError, ModelError, UsageError, shown

Scalar = bool | int | float | str | tuple[float, ...] | None


class InputProgram(nn.Module, ABC):
    """A trainable change of the input, before normalisation. It never modifies its input in place.

    `options` are the plain values that rebuild it: ``make_program(program.name, **program.options)``. Its random
    initial values come from torch's generator.
    """

    name: ClassVar[str]

    def __init__(self, **options: Scalar) -> None:
        super().__init__()
        self.options: dict[str, Scalar] = options

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """A batch of the target to a batch that the source takes; a dict is given to the source as keywords."""

    @abstractmethod
    def reset_parameters(self) -> None:
        """Initialise the program anew."""


class OutputMapping(nn.Module, ABC):
    """Source logits (B, S) to target logits (B, T).

    A mapping that is fitted (`observes`) gathers what the source says of labelled target samples with `observe`,
    and `update` fits it to what was gathered since the last update. `each_epoch` says whether a training loop
    shall do so anew each epoch. What is fitted is state in buffers; what is trained is parameters.
    """

    name: ClassVar[str]
    observes: ClassVar[bool] = False
    one_to_one: ClassVar[bool] = False

    def __init__(self, source_classes: int, num_classes: int, **options: Scalar) -> None:
        super().__init__()
        if source_classes < 1 or num_classes < 1:
            raise UsageError(
                f"a mapping needs at least one class on each side, got {source_classes} → {num_classes}"
            )
        self.source_classes, self.num_classes = source_classes, num_classes
        self.options: dict[str, Scalar] = options
        self.each_epoch = False

    @abstractmethod
    def forward(self, logits: Tensor) -> Tensor:
        """Source logits (B, S) to target logits (B, T)."""

    def observe(self, source_logits: Tensor, labels: Tensor) -> None:
        """Gather source logits (B, S) of samples with these target labels (B,); nothing where it is not fitted.

        Raises ModelError for logits of another width and DataError for labels outside 0 … T − 1.
        """
        self.check_logits(source_logits)
        if labels.shape != source_logits.shape[:1]:
            raise DataError(
                f"{len(source_logits)} samples but labels of shape {tuple(labels.shape)}: give one label a sample"
            )
        if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= self.num_classes):
            raise DataError(
                f"labels must lie in 0 … {self.num_classes - 1} for a mapping onto {self.num_classes} classes, got "
                f"{int(labels.min())} … {int(labels.max())}; make the mapping with the right num_classes"
            )

    def update(self) -> None:
        """Fit to what was observed since the last update, and forget it; nothing observed changes nothing."""

    def forget(self) -> None:
        """Drop what was observed since the last update."""

    def for_classes(self, num_classes: int) -> OutputMapping:
        """A mapping of the same kind and options onto another number of classes, not yet fitted."""
        return type(self)(self.source_classes, num_classes, **self.options)

    def check_logits(self, logits: Tensor) -> None:
        """Raise ModelError where these are no logits (B, S)."""
        if logits.ndim != 2 or logits.shape[1] != self.source_classes:
            raise ModelError(
                f"the source gives outputs of shape {tuple(logits.shape)}, but the mapping takes "
                f"(batch, {self.source_classes}); make the mapping with source_classes= the source's outputs"
            )


def check_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str) -> None:
    """Raise ModelError where a saved state does not fit, naming the first tensor that does not."""
    for name in sorted(state.keys() ^ expected.keys()):
        raise ModelError(
            f"{what} {'lacks' if name in expected else 'has an unknown'} tensor {shown(name, 60)}"
        )
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise ModelError(
                f"{what} has {shown(name, 60)} of shape {tuple(state[name].shape)}, but {tuple(value.shape)} is wanted"
            )


def as_images(images: Tensor, channels: int) -> Tensor:
    """Images (B, C, H, W) as float, uint8 scaled to [0, 1], grey repeated to `channels`; never in place."""
    if not isinstance(images, Tensor) or images.ndim != 4:
        found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ModelError(f"the program takes images (batch, channels, height, width), got {found}")
    if images.dtype == torch.uint8:
        images = images.float() / 255.0
    elif not images.is_floating_point():
        raise ModelError(f"the program takes images as uint8, or as float in [0, 1], got {images.dtype}")
    if images.shape[1] == 1 and channels > 1:
        return images.expand(-1, channels, -1, -1)
    if images.shape[1] != channels:
        raise ModelError(
            f"the program makes images with {channels} channels, but was given {images.shape[1]}; bring them to "
            f"1 or {channels} channels first"
        )
    return images


def pair(size: int | float | tuple[float, ...]) -> tuple[int, int]:
    """A side, or (height, width), as two positive integers."""
    sides = (size, size) if isinstance(size, int | float) else tuple(size)
    if len(sides) != 2 or any(side < 1 or side != int(side) for side in sides):
        raise UsageError(f"a size is a side or (height, width) in pixels, got {size!r}")
    return int(sides[0]), int(sides[1])
