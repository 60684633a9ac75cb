"""Signals from a few backward passes: the first gradients, and the linearised network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.indices.ntk import functional_model, ntk_forecast, ntk_gram, ntk_modes
from foretoll.models.activations import activation_bytes
from foretoll.quality import backward

if TYPE_CHECKING:
    from foretoll.data import Split
    from foretoll.models import Model
    from foretoll.records import TrainingSettings

GRADIENT_BATCHES = 4
NTK_SAMPLES = 48
NTK_BYTES = 2**31
LARGE = 2**27  # bytes of weights: below, what the Jacobian takes is no matter of whether a training fits
NTK_MOST_STEPS = 1e9  # a target that the linearised network never reaches


def gradient_norms(
    model: Model, split: Split, settings: TrainingSettings, *, device: torch.device | str = "cpu"
) -> Tensor:
    """Global norms (k,) of the first mini-batch gradients as the training loop would see them; no step is taken.

    `model` is the model that would be trained; a copy of it is used. Mini-batches of settings.batch_size,
    k = 4 of them where the split is large enough. One sample has no variance: with batches of one, batch norm takes
    its running statistics, as an option does that trains none of it.
    """
    copy = model.clone()
    copy.to(device).train()
    if settings.batch_size == 1:
        for module in copy.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    parameters = list(copy.parameters())
    wanted = min(GRADIENT_BATCHES * settings.batch_size, len(split))
    generator = torch.Generator().manual_seed(settings.seed)
    first = split.take(torch.randperm(len(split), generator=generator)[:wanted]).held()
    norms: list[Tensor] = []
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for inputs, labels in first.batches(settings.batch_size):
            if len(labels) < 2 and norms and settings.batch_size > 1:
                continue
            batch = inputs.to(device) if isinstance(inputs, Tensor) else inputs
            copy.zero_grad(set_to_none=True)
            backward(copy.loss(copy(batch), labels.to(device)))
            norms.append(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
    return torch.stack(norms).double().cpu()


def linearised_signals(
    model: Model,
    split: Split,
    settings: TrainingSettings,
    *,
    until: float,
    device: torch.device | str = "cpu",
) -> dict[str, float | None]:
    """Steps, gradient norm and trace of the linearised network (Zancato et al. 2020), on 48 samples.

    The quality target is taken as ½ MSE of (1 − until)/2, at least 0.02. All None where the network's inputs
    are no plain tensor.
    """
    part = split.take(
        torch.randperm(len(split), generator=torch.Generator().manual_seed(settings.seed))[:NTK_SAMPLES]
    ).held()
    inputs, labels = next(part.batches(NTK_SAMPLES))
    names = ("ntk_steps", "ntk_gradient_norm", "ntk_parameter_change", "ntk_trace")
    if not isinstance(inputs, Tensor):
        return dict.fromkeys(names)
    prepared = model.prepare(inputs.to(device))
    if not isinstance(prepared, Tensor):
        return dict.fromkeys(names)
    call, parameters = functional_model(model.network)
    with torch.no_grad():
        outputs = call(parameters, prepared)
    residuals = outputs.cpu().double() - F.one_hot(labels, outputs.shape[1]).double()
    memory = _memory_of_training(model, inputs[:1].to(device), parameters, settings.batch_size)
    with _batched_attention():
        gram = ntk_gram(call, parameters, prepared, outputs="sum", memory_bytes=memory)
    found = ntk_forecast(
        ntk_modes(residuals, gram),
        loss=max(0.5 * (1 - until), 0.02),
        lr=settings.lr,
        momentum=settings.momentum if settings.optimizer == "sgd" else 0.0,
        batch_size=settings.batch_size,
        samples=len(split),
    )
    steps = NTK_MOST_STEPS if found.steps is None else min(found.steps, NTK_MOST_STEPS)
    return {
        "ntk_steps": steps,
        "ntk_gradient_norm": found.gradient_norm,
        "ntk_parameter_change": found.parameter_change,
        "ntk_trace": float(gram.diagonal().sum()),
    }


def _memory_of_training(
    model: Model, sample: Tensor, parameters: Mapping[str, Tensor], batch_size: int
) -> int:
    """Bytes for the Jacobian: of a large network, no more than its training would take beside the weights.

    That is their gradients, two numbers of the optimiser for each, and what a batch keeps for the backward pass.
    """
    weights = sum(value.numel() * value.element_size() for value in parameters.values())
    if weights < LARGE:
        return NTK_BYTES
    return min(3 * weights + batch_size * activation_bytes(model, sample), NTK_BYTES)


@contextmanager
def _batched_attention() -> Iterator[None]:
    """Attention in the form that torch.func can batch; the fused forms fall back to a loop and warn of it."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with warnings.catch_warnings(), sdpa_kernel([SDPBackend.MATH]):
        warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
        yield
