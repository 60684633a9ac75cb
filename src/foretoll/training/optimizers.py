"""torch's optimisers without the import of its compiler, which their first step would cost (2 s of CPU).

torch decorates what an optimiser does so that `torch.compile` leaves it alone, and the decorations import the compiler
even where nothing is compiled. Here the same functions are called without them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import unwrap
from typing import Any

import torch
from torch.optim import Optimizer

UNDECORATED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


@cache
def light(kind: type[Optimizer]) -> Callable[..., Optimizer]:
    """A subclass of one of torch's optimisers that takes the same steps, to the bit."""
    own: dict[str, Any] = {name: unwrap(getattr(kind, name)) for name in UNDECORATED}
    # torch's own wrapper turns gradients off, where the optimiser is not `differentiable`; none here is
    return type(kind.__name__, (kind,), {**own, "step": torch.no_grad()(unwrap(kind.step))})
