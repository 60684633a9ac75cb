"""Small random changes of images while a program is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from foretoll.errors import UsageError


class Augment(nn.Module):
    """Shift each image by up to the share `crop` of its side (edges repeated) and mirror it with probability `flip`.

    Images (B, C, H, W) in training mode; everything else passes as it is. Random numbers from torch's generator.
    """

    def __init__(self, *, crop: float = 0.0625, flip: float = 0.5) -> None:
        super().__init__()
        if not 0 <= crop < 1 or not 0 <= flip <= 1:
            raise UsageError(f"crop is a share in [0, 1) and flip a probability, got {crop} and {flip}")
        self.crop, self.flip = crop, flip

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to as many of the same shape and type."""
        if not self.training or images.ndim != 4 or len(images) == 0:
            return images
        n, _, height, width = images.shape
        device = images.device
        rows = torch.arange(height).expand(n, -1) + _shifts(n, int(height * self.crop + 0.5))
        columns = torch.arange(width).expand(n, -1) + _shifts(n, int(width * self.crop + 0.5))
        if self.flip:
            mirrored = torch.rand(n, 1) < self.flip
            columns = torch.where(mirrored, columns.flip(1), columns)
        rows, columns = rows.clamp(0, height - 1).to(device), columns.clamp(0, width - 1).to(device)
        index = torch.arange(n, device=device).view(n, 1, 1)
        # the channels stay where they are: advanced indices beside a slice put their axes first
        moved = images.permute(0, 2, 3, 1)[index, rows.unsqueeze(2), columns.unsqueeze(1)]
        return moved.permute(0, 3, 1, 2)


def _shifts(n: int, most: int) -> Tensor:
    return torch.randint(-most, most + 1, (n, 1))
