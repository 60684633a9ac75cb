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
    """A recurrent network over a long series: a strided convolution first, which leaves it 250 steps of 8,000."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.front = nn.Conv1d(channels, 16, 64, stride=32, padding=16)
        self.rest = Recurrent(16, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        logits: Tensor = self.rest(torch.relu(self.front(x)))
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
