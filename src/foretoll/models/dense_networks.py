"""Small networks of our own with outputs at each place of a sample: of a text's tokens, of an image's pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError
from foretoll.models.networks import TransformerBlock, norm_layer


class CausalTransformer(nn.Module):
    """A small pre-norm decoder (Radford et al. 2019, GPT-2): no token sees a later one, so padding behind changes none.

    Embedding and head are apart, so that each can be trained without the other.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        num_classes: int,
        *,
        dim: int = 64,
        depth: int = 3,
        heads: int = 4,
        context: int = 256,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise UsageError(f"foretoll:gpt needs dim divisible by heads, got dim={dim} and heads={heads}")
        self.embed = nn.Embedding(num_classes, dim)
        self.position = nn.Parameter(torch.empty(1, context, dim).normal_(std=0.02))
        self.blocks = nn.Sequential(*[TransformerBlock(dim, heads, causal=True) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Token ids (B, L) to logits of the next tokens (B, L, vocabulary)."""
        length, most = input_ids.shape[1], self.position.shape[1]
        if length > most:
            raise ModelError(
                f"foretoll:gpt reads {most} tokens at once and got {length}: give context={length}, or block={most}"
            )
        tokens = self.embed(input_ids) + self.position[:, :length]
        logits: Tensor = self.head(self.norm(self.blocks(tokens)))
        return logits


class UNet(nn.Module):
    """A small U-Net (Ronneberger et al. 2015, arXiv 1505.04597) of two halvings, padded, so that any size comes out."""

    def __init__(
        self, shape: tuple[int, ...], num_classes: int, *, width: int = 16, norm: str = "batch"
    ) -> None:
        super().__init__()

        def block(inside: int, out: int) -> nn.Sequential:
            first, second = (nn.Conv2d(i, out, 3, padding=1, bias=norm == "none") for i in (inside, out))
            return nn.Sequential(
                first, norm_layer(norm, out, 2), nn.ReLU(), second, norm_layer(norm, out, 2), nn.ReLU()
            )

        self.down1, self.down2 = block(shape[0], width), block(width, 2 * width)
        self.bottom = block(2 * width, 4 * width)
        self.up2, self.up1 = block(6 * width, 2 * width), block(3 * width, width)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, num_classes, H, W)."""
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2, ceil_mode=True))
        low = self.bottom(F.max_pool2d(two, 2, ceil_mode=True))
        two = self.up2(torch.cat([F.interpolate(low, size=two.shape[2:], mode="nearest"), two], dim=1))
        one = self.up1(torch.cat([F.interpolate(two, size=one.shape[2:], mode="nearest"), one], dim=1))
        logits: Tensor = self.head(one)
        return logits
