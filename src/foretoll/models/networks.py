"""Small architectures of our own: quick to train on two cores, and one per kind of network that behaves apart.

Each builder takes the shape of one preprocessed sample, the number of classes and its options, and ends in a
Linear layer called `head` whose input is the embedding. Sizes need not be square or even; an input as small as
1 × 1 works, since a stage halves a side only while it is at least 4 (ResNet: while it is at least 2).
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretoll.errors import UsageError

_CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
_BATCH_NORM: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
_MAX_POOL: dict[int, type[nn.MaxPool1d] | type[nn.MaxPool2d]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}


def norm_layer(kind: str, channels: int, dims: int) -> nn.Module:
    """The normalisation of that name for so many channels: batch, group or none."""
    if kind == "batch":
        return _BATCH_NORM[dims](channels)
    return nn.GroupNorm(math.gcd(8, channels), channels) if kind == "group" else nn.Identity()


class MLP(nn.Module):
    """Flattened input, `depth` hidden layers of `width` units with ReLU, and a linear head."""

    def __init__(self, shape: tuple[int, ...], num_classes: int, *, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        sizes = [math.prod(shape), *[width] * depth]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (B, …) to logits (B, num_classes)."""
        logits: Tensor = self.head(self.body(x))
        return logits


class ConvNet(nn.Module):
    """Four blocks convolution-norm-ReLU (1-D or 2-D) of width, 2·, 4· and 4·width channels; the mean; a head."""

    def __init__(
        self, shape: tuple[int, ...], num_classes: int, *, width: int = 24, norm: str = "batch"
    ) -> None:
        super().__init__()
        channels, *sides = shape
        dims = len(sides)
        blocks: list[nn.Module] = []
        for i, out in enumerate((width, 2 * width, 4 * width, 4 * width)):
            conv = _CONV[dims](channels, out, 3, padding=1, bias=norm == "none")
            layers: list[nn.Module] = [conv, norm_layer(norm, out, dims), nn.ReLU()]
            stride = tuple(2 if side >= 4 and i < 3 else 1 for side in sides)
            if max(stride) > 1:
                layers.append(_MAX_POOL[dims](stride if dims == 2 else stride[0]))
                sides = [side // step for side, step in zip(sides, stride, strict=True)]
            blocks.append(nn.Sequential(*layers))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (B, C, L) or (B, C, H, W) to logits (B, num_classes)."""
        logits: Tensor = self.head(self.blocks(x).flatten(2).mean(2))
        return logits


class _BasicBlock(nn.Module):
    def __init__(self, inside: int, out: int, stride: int, norm: str) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=bias)
        self.norm1 = norm_layer(norm, out, 2)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=bias)
        self.norm2 = norm_layer(norm, out, 2)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inside != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inside, out, 1, stride, bias=bias), norm_layer(norm, out, 2)
            )
        if (
            norm == "none"
        ):  # without normalisation a residual sum grows with depth; start each block at identity
            nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet-18 as used on CIFAR (He et al. 2016, arXiv 1512.03385, with a 3 × 3 stem): four stages of two blocks."""

    def __init__(
        self, shape: tuple[int, ...], num_classes: int, *, width: int = 16, norm: str = "batch"
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(shape[0], width, 3, 1, 1, bias=norm == "none")
        self.norm = norm_layer(norm, width, 2)
        inside, blocks = width, []
        for out, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
            blocks.append(
                nn.Sequential(_BasicBlock(inside, out, stride, norm), _BasicBlock(out, out, 1, norm))
            )
            inside = out
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Linear(inside, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, num_classes)."""
        x = self.stages(F.relu(self.norm(self.stem(x))))
        logits: Tensor = self.head(x.flatten(2).mean(2))
        return logits


class TransformerBlock(nn.Module):
    """Pre-norm attention and a perceptron over (B, T, dim); `causal`: no place sees a later one."""

    def __init__(self, dim: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """States (B, T, dim) to states of the same shape."""
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal).transpose(1, 2)
        x = x + self.proj(y.reshape(b, t, d))
        out: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return out


class ViT(nn.Module):
    """A small pre-norm vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929) with mean-pooled tokens."""

    def __init__(
        self,
        shape: tuple[int, ...],
        num_classes: int,
        *,
        patch: int = 0,
        dim: int = 64,
        depth: int = 4,
        heads: int = 4,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.patch = patch = patch or (4 if min(height, width) >= 16 else 2)
        if dim % heads:
            raise UsageError(f"foretoll:vit needs dim divisible by heads, got dim={dim} and heads={heads}")
        tokens = -(-height // patch) * -(-width // patch)
        self.embed = nn.Conv2d(channels, dim, patch, patch)
        self.position = nn.Parameter(torch.empty(1, tokens, dim).normal_(std=0.02))
        self.blocks = nn.Sequential(*[TransformerBlock(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, num_classes); sides are padded with zeros to whole patches."""
        x = F.pad(x, (0, -x.shape[3] % self.patch, 0, -x.shape[2] % self.patch))
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        logits: Tensor = self.head(self.norm(self.blocks(tokens)).mean(1))
        return logits
