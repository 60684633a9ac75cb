"""A network that foretoll does not know, for the case that brings its own."""

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
