"""Small training loops of the kind that people write, with and without foretoll around them."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import foretoll
from foretoll.tracking import TrackedRun
from foretoll.workflows import Accounting

ACCOUNTING = Accounting("watts:20", region="DE")
Make = Callable[[nn.Module], torch.optim.Optimizer]


def blobs(n: int = 120, shift: float = 0.0, seed: int = 0) -> TensorDataset:
    """Three clouds in six dimensions, some of which overlap; moved by `shift`."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    centres = torch.randn(3, 6, generator=torch.Generator().manual_seed(7)) * 1.5
    return TensorDataset(centres[labels] + torch.randn(n, 6, generator=generator) + shift, labels)


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 3))


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-2)


def accuracy(model: nn.Module, data: TensorDataset) -> float:
    model.eval()
    with torch.no_grad():
        found = float((model(data.tensors[0]).argmax(1) == data.tensors[1]).float().mean())
    model.train()
    return found


class Loop:
    """A loop over `data`: `steps` by epoch, what it saw itself, and the random states after it."""

    def __init__(
        self,
        make: Make = adamw,
        *,
        epochs: int = 2,
        batch_size: int = 20,
        accumulate: int = 1,
        clip: float | None = None,
        closure: bool = False,
        each_step: Callable[[int], None] = lambda step: None,
    ) -> None:
        self.make, self.epochs, self.batch_size = make, epochs, batch_size
        self.accumulate, self.clip, self.closure, self.each_step = accumulate, clip, closure, each_step
        self.norms: list[float] = []

    def run(self, track: dict[str, Any] | None = None) -> tuple[nn.Module, TrackedRun | None, dict[str, Any]]:
        """Train; `track` None: without foretoll. Also the random states and gradients at the end."""
        data = blobs()
        model = network()
        optimizer = self.make(model)
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)
        loader = DataLoader(data, self.batch_size, shuffle=True)
        model.train()
        context: Any = nullcontext()
        if track is not None:
            context = foretoll.track(model, optimizer, **({"accounting": ACCOUNTING, "quiet": True} | track))
        with context as run:
            for _ in range(self.epochs):
                self._epoch(model, optimizer, loader)
                if run is not None:
                    run.evaluate(accuracy(model, data), 0.5)
                else:
                    accuracy(model, data)
        states = {
            "python": random.getstate(),
            "numpy": np.random.get_state()[1].tolist(),
            "torch": torch.get_rng_state(),
            "grads": [p.grad for p in model.parameters()],
        }
        return model, run, states

    def _epoch(self, model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader[Any]) -> None:
        for position, (inputs, labels) in enumerate(loader, start=1):

            def backward(inputs: Tensor = inputs, labels: Tensor = labels) -> Tensor:
                loss = F.cross_entropy(model(inputs), labels) / self.accumulate
                loss.backward()
                if self.clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), self.clip)
                return loss

            if self.closure:

                def closure(backward: Callable[[], Tensor] = backward) -> Tensor:
                    optimizer.zero_grad()
                    return backward()

                optimizer.step(closure)
            else:
                backward()
                if position % self.accumulate:
                    continue
                self.norms.append(
                    float(nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None]))
                )
                optimizer.step()
                optimizer.zero_grad()
            self.each_step(position)
            random.random()
            np.random.rand()


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)
