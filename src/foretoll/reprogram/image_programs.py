"""Input programs for images: frame, full, low rank, and a frame whose opening has a learned size."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError
from foretoll.reprogram.base import InputProgram, as_images, pair

Size = int | tuple[float, ...]


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, h, w) resized to (B, C, *size), bilinear and antialiased; the same ones where they fit."""
    if tuple(images.shape[2:]) == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)


class Pad(InputProgram):
    """Put the image, not resized, into the middle of a trainable frame.

    (B, C, h, w) → (B, C, H, W) with (h, w) = `inner`: pad(x) + sigmoid(W) · mask (Elsayed et al., Adversarial
    reprogramming, arXiv 1806.11146, with the sigmoid of Chen et al., ILM-VP, arXiv 2211.11635). Only the
    pixels of the frame are parameters: `weight` is (C, frame pixels).
    """

    name: ClassVar[str] = "pad"

    def __init__(self, *, channels: int, size: Size, inner: Size) -> None:
        self.size, self.inner = pair(size), pair(inner)
        if self.inner == self.size or any(a > b for a, b in zip(self.inner, self.size, strict=True)):
            raise UsageError(
                f"an image of {self.inner} leaves no frame in the source's input of {self.size}; use the program 'full'"
            )
        super().__init__(channels=channels, size=self.size, inner=self.inner)
        self.channels = channels
        mask = torch.ones(self.size, dtype=torch.bool)
        top, left = ((a - b) // 2 for a, b in zip(self.size, self.inner, strict=True))
        mask[top : top + self.inner[0], left : left + self.inner[1]] = False
        bottom, right = (self.size[0] - top - self.inner[0], self.size[1] - left - self.inner[1])
        self.borders = (left, right, top, bottom)
        self.register_buffer("positions", mask.flatten().nonzero().flatten(), persistent=False)
        self.weight = nn.Parameter(torch.empty(channels, len(self.positions)))
        self.reset_parameters()

    positions: Tensor

    def reset_parameters(self) -> None:
        """A grey frame: W = 0."""
        nn.init.zeros_(self.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, h, w) to (B, C, H, W). Raises ModelError for another (h, w) than `inner`."""
        images = as_images(images, self.channels)
        if tuple(images.shape[2:]) != self.inner:
            raise ModelError(
                f"the frame was made for images of {self.inner}, but was given {tuple(images.shape[2:])}; resize "
                "them first, or make another frame"
            )
        frame = torch.zeros(
            self.channels, self.size[0] * self.size[1], dtype=self.weight.dtype, device=self.weight.device
        )
        frame = frame.index_copy(1, self.positions, torch.sigmoid(self.weight))
        return F.pad(images, self.borders) + frame.view(self.channels, *self.size)


class Full(InputProgram):
    """Resize to the source's input and add a trainable image: (B, C, h, w) → (B, C, H, W), x + W, W = 0 at first.

    Bahng et al., Exploring visual prompts, arXiv 2203.17274; called "full" in SMM, arXiv 2406.03150.
    """

    name: ClassVar[str] = "full"

    def __init__(self, *, channels: int, size: Size) -> None:
        self.size = pair(size)
        super().__init__(channels=channels, size=self.size)
        self.channels = channels
        self.weight = nn.Parameter(torch.empty(channels, *self.size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The input as it is: W = 0."""
        nn.init.zeros_(self.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, h, w) of any size to (B, C, H, W)."""
        return resized(as_images(images, self.channels), self.size) + self.weight


class LowRank(InputProgram):
    """`Full` with W = B·A of low rank per channel: (C, H, r) · (C, r, W), B = 0 and A small at first.

    The factorisation of LoRA (Hu et al., arXiv 2106.09685) applied to the image that is added.
    """

    name: ClassVar[str] = "low_rank"

    def __init__(self, *, channels: int, size: Size, rank: int = 4) -> None:
        self.size = pair(size)
        if rank < 1:
            raise UsageError(f"the rank of a low-rank program is {rank}; it must be at least 1")
        super().__init__(channels=channels, size=self.size, rank=rank)
        self.channels = channels
        self.b = nn.Parameter(torch.empty(channels, self.size[0], rank))
        self.a = nn.Parameter(torch.empty(channels, rank, self.size[1]))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The input as it is: B = 0; A normal with standard deviation 0.1."""
        nn.init.zeros_(self.b)
        nn.init.normal_(self.a, std=0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, h, w) of any size to (B, C, H, W)."""
        return resized(as_images(images, self.channels), self.size) + self.b @ self.a


class _Clamp(torch.autograd.Function):
    """Clamp whose gradient is let through where it leads back inside: a value outside is not stuck there."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(value)
        ctx.low, ctx.high = low, high
        return value.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (value,), (grad,) = ctx.saved_tensors, grads
        # a descent step goes against the gradient
        outward = ((value <= ctx.low) & (grad > 0)) | ((value >= ctx.high) & (grad < 0))
        return torch.where(outward, torch.zeros_like(grad), grad), None, None


class TrainableResize(InputProgram):
    """A frame around the image, whose size in the frame is learned: one scale, clamped to [`low`, `high`].

    (B, C, h, w) → (B, C, H, W): the image takes the share `scale` of each side, and sigmoid(W) what is left
    (Tsao et al., AutoVP, arXiv 2310.08381).
    """

    name: ClassVar[str] = "trainable_resize"

    def __init__(
        self, *, channels: int, size: Size, scale: float = 0.75, low: float = 0.2, high: float = 1.0
    ) -> None:
        self.size = pair(size)
        if not 0 < low <= scale <= high <= 1:
            raise UsageError(f"a scale needs 0 < low ≤ scale ≤ high ≤ 1, got {low}, {scale}, {high}")
        super().__init__(channels=channels, size=self.size, scale=scale, low=low, high=high)
        self.channels, self.start, self.low, self.high = channels, scale, low, high
        self.raw_scale = nn.Parameter(torch.empty(()))
        self.weight = nn.Parameter(torch.empty(channels, *self.size))
        self.reset_parameters()

    @property
    def scale(self) -> Tensor:
        """The share of each side that the image takes, in [low, high]."""
        clamped: Tensor = _Clamp.apply(self.raw_scale, self.low, self.high)
        return clamped

    def reset_parameters(self) -> None:
        """A grey frame around an image of the initial scale."""
        nn.init.constant_(self.raw_scale, self.start)
        nn.init.zeros_(self.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, h, w) of any size to (B, C, H, W), differentiable in the scale."""
        full = resized(as_images(images, self.channels), self.size)
        zero, scale = torch.zeros_like(self.raw_scale), self.scale
        theta = torch.stack([1 / scale, zero, zero, zero, 1 / scale, zero]).view(1, 2, 3)
        grid = F.affine_grid(theta, [1, 1, *self.size], align_corners=False).to(full.dtype)
        small = F.grid_sample(full, grid.expand(len(full), -1, -1, -1), align_corners=False)
        opening = F.grid_sample(full.new_ones(1, 1, *self.size), grid, align_corners=False)
        return small + torch.sigmoid(self.weight) * (1 - opening)
