"""Hostile networks handed over in Python: they write, fail, grow, answer with anything, or are none."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from .case import Case
from .python_data import X, Y, quiet, settings


def _fails(*_: Any) -> Any:
    raise RuntimeError("\x1b[31mno\nsuch layer" + "x" * 1000)


class _Odd(nn.Module):
    """A classifier of six features that does one odd thing."""

    def __init__(self, odd: Callable[[_Odd, Any], Any], before: bool = False) -> None:
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.head = nn.Linear(8, 3)
        self.odd, self.before, self.calls = odd, before, 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        if self.before:
            self.odd(self, x)
        out = self.head(torch.relu(self.body(x)))
        return out if self.before else self.odd(self, out)


def _grows(network: _Odd, _: Any) -> None:
    network.register_buffer(f"b{network.calls}", torch.zeros(1))


def _shrinks(network: _Odd, x: Any) -> None:
    with torch.no_grad():
        network.body.weight.mul_(0.5)


def _says(network: _Odd, out: Any) -> Any:
    print("\x1b[31mhello" if False else "hello")
    return out


BEFORE: dict[str, Callable[[_Odd, Any], Any]] = {
    "writes into its input": lambda n, x: x.sub_(x.mean(0)),
    "zeroes its input": lambda n, x: x.zero_(),
    "fails": _fails,
    "fails when trained": lambda n, x: _fails() if n.training else None,
    "fails at the third batch": lambda n, x: _fails() if n.calls > 2 else None,
    "grows": _grows,
    "changes its weights": _shrinks,
    "seeds": lambda n, x: torch.manual_seed(0),
    "switches gradients off": lambda n, x: torch.set_grad_enabled(False),
    "is never in training": lambda n, x: n.eval(),
    "is always in training": lambda n, x: n.train(),
    "fails on one": lambda n, x: _fails() if len(x) == 1 else None,
    "resizes its input": lambda n, x: x.resize_(0),
    "freezes": lambda n, x: n.requires_grad_(False),
    "deletes its head": lambda n, x: delattr(n, "head"),
    "changes the default type": lambda n, x: torch.set_default_dtype(torch.float64),
    "asks": lambda n, x: input(),
}
AFTER: dict[str, Callable[[_Odd, Any], Any]] = {
    "gives none": lambda n, y: None,
    "gives a number": lambda n, y: 3,
    "gives a dict": lambda n, y: {"logits": y},
    "gives a tuple": lambda n, y: (y, None),
    "gives texts": lambda n, y: ["a"],
    "gives NaN": lambda n, y: y * torch.nan,
    "gives infinity": lambda n, y: y / 0,
    "gives integers": lambda n, y: y.long(),
    "gives complex": lambda n, y: y * 1j,
    "gives numpy": lambda n, y: y.detach().numpy(),
    "gives the mean": lambda n, y: y.mean(),
    "gives one row": lambda n, y: y[:1],
    "gives fewer rows": lambda n, y: y[1:],
    "gives other columns": lambda n, y: y[:, :2],
    "gives no columns": lambda n, y: y[:, :0],
    "gives more axes": lambda n, y: y[:, :, None, None],
    "squeezes": lambda n, y: y.squeeze(),
    "detaches": lambda n, y: y.detach(),
    "gives zeros": lambda n, y: y * 0,
    "gives half": lambda n, y: y.half(),
    "gives other columns later": lambda n, y: y if n.calls < 4 else y[:, :2],
    "gives noise": lambda n, y: y + torch.randn_like(y),
    "gives itself": lambda n, y: n,
    "gives a dict of none": lambda n, y: {},
    "gives meta": lambda n, y: y.to("meta"),
    "says hello": _says,
    "is transposed": lambda n, y: y.T,
    "gives probabilities": lambda n, y: y.softmax(1),
}


def _other_networks(draw: random.Random) -> tuple[str, Any]:
    networks: dict[str, Callable[[], Any]] = {
        "an identity": nn.Identity,
        "of no parameters": lambda: nn.Sequential(nn.Flatten(), nn.ReLU()),
        "lazy": lambda: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3)),
        "on meta": lambda: nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)).to("meta"),
        "double": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double(),
        "half": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).half(),
        "of NaN": lambda: _filled(torch.nan),
        "of infinity": lambda: _filled(torch.inf),
        "frozen": lambda: _filled(0.1).requires_grad_(False),
        "empty": nn.Sequential,
        "a class": lambda: nn.Linear,
        "a function": lambda: print,
        "none": lambda: None,
        "a number": lambda: 3,
        "one linear layer": lambda: nn.Linear(6, 3),
        "of one output": lambda: nn.Linear(6, 1),
        "other inputs": lambda: nn.Linear(7, 3),
        "with batch norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)),
        "a state dict": lambda: _filled(1.0).state_dict(),
        "scripted": lambda: torch.jit.trace(_filled(0.1), torch.zeros(2, 6)),
        "a list": lambda: [],
        "a dict": dict,
        "shared": _shared,
        "without a forward": nn.Module,
        "huge": lambda: nn.Sequential(nn.Linear(6, 10**9, device="meta"), nn.Linear(10**9, 3, device="meta")),
        "in a list": lambda: [_filled(0.1)],
        "in parallel": lambda: nn.DataParallel(_filled(0.1)),
        "compiled": lambda: torch.compile(_filled(0.1), backend="eager"),
        "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)),
    }
    name = draw.choice(list(networks))
    return name, networks[name]()


def _filled(value: float) -> nn.Module:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)
    return network


def _shared() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(6, 3))


def networks(draw: random.Random, _: Path) -> Case:
    """Networks in memory that write where they should not, answer with anything, or are none."""
    import foretoll

    group = draw.choice(("before", "after", "after", "other"))
    if group == "other":
        what, network = _other_networks(draw)
    else:
        table = BEFORE if group == "before" else AFTER
        what = draw.choice(list(table))
        network = _Odd(table[what], before=group == "before")
    old, new = (X.copy(), Y.copy()), (X + np.float32(0.1), Y.copy())
    door = draw.choice(("estimate", "retrain", "compare"))
    option = draw.choice(("finetune", "head", "recalibrate", "keep", "lora", "partial", "scratch"))
    more: dict[str, Any] = {
        "settings": settings(until=0.9),
        **{k: v for k, v in quiet().items() if k != "settings"},
    }
    calls: dict[str, Callable[[], object]] = {
        "estimate": lambda: repr(
            foretoll.estimate(network, old, new, option=option, samples=40, task=False, **more)
        ),
        "retrain": lambda: repr(foretoll.retrain(network, old, new, option=option, task=False, **more)),
        "compare": lambda: repr(
            foretoll.compare(network, old, new, options=[option], samples=40, task=False, **more)
        ),
    }
    names = ("model", "network", "the module", "layer", "logits", "outputs", "module in memory", option)
    return Case(
        f"{door}({option}) of a network that {what}",
        ["python", door],
        names=names,
        call=calls[door],
        kept=lambda: b"".join(a.tobytes() for a in (*old, *new)),
    )
