"""A head for another number of classes: the same kind of layer, with fresh weights."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, shown
from foretoll.models.anatomy import Anatomy, layer_width

PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d)


def replace_head(
    network: nn.Module, name: str, num_classes: int, *, seed: int, have: int | None = None
) -> None:
    """Put a freshly initialised head of the same type and input width in place of module `name`.

    `have`: how many classes it has; None: as many as the layer itself says. Of a head with layers inside, the last
    layer with that many outputs is replaced. A layer of another class than torch's own keeps it: its weights with an
    axis of `have` get one of `num_classes`. Raises ModelError where there are no such weights.
    """
    name, old = _layer_of(network, name, have)
    if not name:
        raise ModelError(
            "the network is a single layer, so its head cannot be replaced; wrap it in a Sequential"
        )
    with torch.random.fork_rng(devices=[]):  # built on the CPU: the same weights on every device
        torch.manual_seed(seed)
        new = _plain(old, num_classes) if _is_plain(old) else _resized(old, name, num_classes, have)
    like = next(old.parameters())
    network.set_submodule(name, new.to(like.device, like.dtype).train(old.training))
    if isinstance(
        getattr(network, "num_classes", None), int
    ):  # some networks reshape by it (timm, SqueezeNet)
        network.num_classes = num_classes  # type: ignore[assignment]  # a plain attribute of those classes
    config = getattr(network, "config", None)
    if hasattr(config, "num_labels"):
        config.num_labels = num_classes  # type: ignore[union-attr]  # transformers configurations have it
        if hasattr(network, "num_labels"):
            network.num_labels = num_classes  # type: ignore[assignment]


def replace_heads(network: nn.Module, anatomy: Anatomy, num_classes: int, *, seed: int) -> None:
    """Put fresh heads in place of all heads of a network."""
    for number, head in enumerate((anatomy.head, *anatomy.others)):
        replace_head(network, head, num_classes, seed=seed + number, have=anatomy.num_classes)


def resets_itself(module: nn.Module, method: str = "reset_parameters") -> Callable[[], Any] | None:
    """The module's own initialiser, where it has one that takes no arguments."""
    reset: Callable[[], Any] | None = getattr(module, method, None)
    if not callable(reset):
        return None
    try:
        inspect.signature(reset).bind()
    except (TypeError, ValueError):
        return None
    return reset


def _layer_of(network: nn.Module, name: str, have: int | None) -> tuple[str, nn.Module]:
    """The layer that makes the outputs: the module itself, or the last one inside it with `have` outputs."""
    head = network.get_submodule(name)
    inside = [
        (f"{name}.{n}" if name else n, m)
        for n, m in head.named_modules()
        if n and layer_width(m) and have in (None, layer_width(m))
    ]
    return inside[-1] if inside and not layer_width(head) else (name, head)


def _is_plain(module: nn.Module) -> bool:
    """Whether it computes what torch's own layer of that kind does (it may have another name or parametrisation)."""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in PLAIN)


def _plain(old: Any, num_classes: int) -> nn.Module:
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    kind = nn.Conv1d if isinstance(old, nn.Conv1d) else nn.Conv2d
    return kind(
        old.in_channels, num_classes, old.kernel_size, old.stride, old.padding, bias=old.bias is not None
    )


def _resized(old: nn.Module, name: str, num_classes: int, have: int | None) -> nn.Module:
    weight = getattr(old, "weight", None)
    have = (
        have or layer_width(old) or (weight.shape[0] if isinstance(weight, Tensor) and weight.ndim else None)
    )
    new = copy.deepcopy(old).cpu()
    changed: list[nn.Parameter] = []
    for module in new.modules():
        for key, value in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if have is not None and have in value.shape:
                shape = list(value.shape)
                shape[shape.index(have)] = num_classes
                fresh = value.detach().new_zeros(shape)
                if isinstance(value, nn.Parameter):
                    changed.append(nn.Parameter(fresh))
                    setattr(module, key, changed[-1])
                else:
                    module.register_buffer(
                        key, fresh, persistent=key not in module._non_persistent_buffers_set
                    )
        for key, number in vars(module).items():
            if number == have and isinstance(number, int) and any(p in key for p in ("out", "class", "nf")):
                setattr(module, key, num_classes)
    if not changed:
        raise ModelError(
            f"the head {shown(name)} is a {type(old).__name__} without weights for {have} classes, so it cannot get "
            "other classes; name the layer that makes the outputs (--head NAME)"
        )
    for parameter in changed:  # as torch's Linear, for a class that does not say how
        if parameter.ndim > 1:
            nn.init.kaiming_uniform_(parameter, a=math.sqrt(5))
    for module in new.modules():
        reset = resets_itself(module)
        if reset is not None:
            reset()
    return new
