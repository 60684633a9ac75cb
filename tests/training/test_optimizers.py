"""The optimisers without torch's compiler take torch's own steps, and nothing of a forecast imports the compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foretoll.training.optimizers import light

KINDS = [
    (torch.optim.Adam, {"weight_decay": 0.1}),
    (torch.optim.AdamW, {"weight_decay": 0.1}),
    (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
]


def trained(kind: Any, options: dict[str, float]) -> tuple[Tensor, dict[str, Any]]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = kind(network.parameters(), lr=0.01, **options)
    for _ in range(5):
        optimizer.zero_grad()
        network(torch.randn(7, 3)).square().sum().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in network.parameters()]), optimizer.state_dict()


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=lambda value: getattr(value, "__name__", ""))
def test_the_steps_are_those_of_torch_to_the_bit(kind: Any, options: dict[str, float]) -> None:
    (own, state), (theirs, their_state) = trained(light(kind), options), trained(kind, options)
    assert torch.equal(own, theirs)
    assert state["param_groups"] == their_state["param_groups"]
    assert isinstance(light(kind)([nn.Parameter(torch.ones(2))]), kind)


CODE = """
import sys, torch
from foretoll.models.bounded import within_memory
from foretoll.training.optimizers import light
with within_memory("a network"):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
optimizer = light(torch.optim.Adam)(network.parameters(), lr=0.1)
network[0](torch.randn(2, 1, 8, 8)).sum().backward()
optimizer.step()
optimizer.zero_grad()
sys.exit(sorted({"torch._dynamo", "sympy"} & set(sys.modules)) or 0)
"""


def test_building_and_stepping_do_not_import_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
