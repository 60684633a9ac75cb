"""Networks that foretoll does not know, for the cases that bring their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Recurrent(nn.Module):
    """A gated recurrent network over a series (B, C, L); its last state is the representation."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(channels, 32, batch_first=True)
        self.head = nn.Linear(32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        states, _ = self.recurrent(x.transpose(1, 2))
        logits: Tensor = self.head(torch.relu(states[:, -1]))
        return logits


def recurrent(num_classes: int) -> nn.Module:
    """Factory for `networks:recurrent`; series of one channel."""
    return Recurrent(1, num_classes)


class Listening(nn.Module):
    """A recurrent network over a long series: strided convolutions leave it 62 steps of 8,000.

    The maximum over time is the representation: a word may end long before the series does.
    """

    def __init__(self, channels: int, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(channels, width, 64, stride=8, padding=28),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.MaxPool1d(4),
            nn.Conv1d(width, 2 * width, 16, stride=4, padding=6),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
        )
        self.recurrent = nn.GRU(2 * width, 2 * width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        states, _ = self.recurrent(self.front(x).transpose(1, 2))
        logits: Tensor = self.head(states.amax(dim=1))
        return logits


def listening(num_classes: int) -> nn.Module:
    """Factory for `networks:listening`; series of one channel."""
    return Listening(1, num_classes)


class Dilated(nn.Module):
    """Convolutions of growing dilation over a series (B, C, L); their mean over time is the representation."""

    def __init__(self, channels: int, num_classes: int, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(channels if d == 1 else width, width, 5, padding=2 * d, dilation=d) for d in (1, 2, 4)
        )
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        for layer in self.layers:
            x = torch.relu(layer(x))
        logits: Tensor = self.head(x.mean(dim=2))
        return logits


def dilated(num_classes: int) -> nn.Module:
    """Factory for `networks:dilated`; series of one channel."""
    return Dilated(1, num_classes)


class Separable(nn.Module):
    """Depthwise separable convolutions over images (B, C, H, W); their mean over places is the representation."""

    def __init__(self, channels: int, num_classes: int, width: int = 24) -> None:
        super().__init__()
        self.front = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inside, inside, 3, stride=stride, padding=1, groups=inside, bias=False),
                nn.BatchNorm2d(inside),
                nn.ReLU(),
                nn.Conv2d(inside, outside, 1, bias=False),
                nn.BatchNorm2d(outside),
                nn.ReLU(),
            )
            for inside, outside, stride in (
                (width, 2 * width, 2),
                (2 * width, 2 * width, 1),
                (2 * width, 4 * width, 2),
            )
        )
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        x = torch.relu(self.front(x))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x.mean(dim=(2, 3)))
        return logits


def separable(num_classes: int) -> nn.Module:
    """Factory for `networks:separable`; images of one channel."""
    return Separable(1, num_classes)


class Gated(nn.Module):
    """Gated linear units with a residual path over the columns of a table (B, inputs)."""

    def __init__(self, inputs: int, num_classes: int, width: int = 48, depth: int = 3) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(inputs)
        self.front = nn.Linear(inputs, width)
        self.layers = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        x = self.front(self.scale(x))
        for layer in self.layers:
            x = x + nn.functional.glu(layer(x))
        logits: Tensor = self.head(x)
        return logits


def gated(num_classes: int, inputs: int = 8) -> nn.Module:
    """Factory for `networks:gated?inputs=8`; tables of so many columns of numbers."""
    return Gated(inputs, num_classes)
