"""The global norm of the gradient that an optimiser is about to use."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_SMALL = (torch.float16, torch.bfloat16)


@torch.no_grad()
def gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor | None:
    """L2 norm over the gradients of all parameter groups, as the optimiser receives them; a scalar on their device.

    After clipping and accumulation, that is, and before weight decay. A gradient that the optimiser itself will
    unscale (fused optimisers under AMP's GradScaler) is taken unscaled. None where there is no gradient, or where each
    process holds a part of it. Equal to `nn.utils.get_total_norm`; nothing is read from the device.
    """
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not grads:
        return None
    first = grads[0]
    plain = type(first) is Tensor and first.layout is torch.strided
    if not plain and hasattr(first, "full_tensor"):  # a distributed tensor: the norm would take a collective
        return None
    if plain and first.dtype not in _SMALL and all(g.device == first.device for g in grads):
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
    else:
        norm = nn.utils.get_total_norm(
            [g.float() if g.layout is torch.strided else g.to_dense() for g in grads]
        )
    scale: Any = getattr(optimizer, "grad_scale", None)
    result: Tensor = norm if scale is None else norm / scale
    return result
