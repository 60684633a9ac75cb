"""Sample-specific masks (SMM): what is added to an image depends on the image."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretoll.errors import UsageError
from foretoll.reprogram.base import InputProgram, as_images, pair
from foretoll.reprogram.image_programs import Size, resized

_WIDTHS = (8, 16, 32, 64)


class SampleMask(InputProgram):
    """Resize to the source's input and add δ · mask(x): (B, C, h, w) → (B, C, H, W).

    Cai et al., Sample-specific masks for visual reprogramming, arXiv 2406.03150: the mask comes from a CNN of five
    3 × 3 convolutions (8, 16, 32, 64, C channels, batch norm and ReLU between, max-pooling after the first
    log2(`patch`)), upsampled so that each patch of `patch` × `patch` pixels has one value per channel. δ = 0 at
    first. `patch` (a power of two up to 16) None: 8 as in the paper, less where the input is smaller than 64 pixels.
    """

    name: ClassVar[str] = "sample_mask"

    def __init__(self, *, channels: int, size: Size, patch: int | None = None) -> None:
        self.size = pair(size)
        patch = _default_patch(min(self.size)) if patch is None else patch
        if patch not in (1, 2, 4, 8, 16) or patch > max(self.size):
            raise UsageError(
                f"a mask's patch is 1, 2, 4, 8 or 16 pixels and no more than the image, got {patch}"
            )
        super().__init__(channels=channels, size=self.size, patch=patch)
        self.channels, self.patch = channels, patch
        self.weight = nn.Parameter(torch.empty(channels, *self.size))
        layers: list[nn.Module] = []
        inside = channels
        for i, out in enumerate(_WIDTHS):
            layers += [nn.Conv2d(inside, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
            if 2**i < patch:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            inside = out
        self.mask = nn.Sequential(*layers, nn.Conv2d(inside, channels, 3, padding=1))
        nn.init.zeros_(self.weight)

    def reset_parameters(self) -> None:
        """δ = 0, and a fresh mask network."""
        nn.init.zeros_(self.weight)
        for module in self.mask:
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.reset_parameters()

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, h, w) of any size to (B, C, H, W)."""
        full = resized(as_images(images, self.channels), self.size)
        mask = F.interpolate(self.mask(full), scale_factor=self.patch, mode="nearest")
        return full + self.weight * mask[..., : self.size[0], : self.size[1]]


def _default_patch(side: int) -> int:
    patch = 8
    while patch > 1 and side < 8 * patch:
        patch //= 2
    return patch
