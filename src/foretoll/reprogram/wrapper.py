"""`ReprogrammedNetwork`: program → normalise → frozen source → mapping, as one module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError
from foretoll.owned import owned
from foretoll.reprogram.augment import Augment
from foretoll.reprogram.base import InputProgram, OutputMapping
from foretoll.reprogram.mappings import Identity

SourceNetwork = Callable[..., Any]  # an nn.Module, or any callable from a batch to logits
_HEADS = (nn.Linear, nn.Conv1d, nn.Conv2d)


class ReprogrammedNetwork(nn.Module):
    """A frozen source that serves another task (Chen, Model reprogramming, arXiv 2202.10629).

    A batch of the target goes through `program`, is normalised per channel or column ((x − mean) / std; nothing
    where both are empty), through `source` to its logits (B, S), and through `mapping` to (B, num_classes).

    `source` is any nn.Module (shared, not copied) or any callable, which need not have gradients. While `frozen`,
    which it is until `release`, no weight of it requires a gradient, and all of it stays in evaluation mode whatever
    `train` says, so batch-norm statistics stay as they are.

    With `train_head` a copy of the source gets a new head with num_classes outputs (`head` names the module; found as
    the last Linear otherwise), which is trained beside the program; `mapping` is then None, and is the identity.
    `augment` shifts and mirrors images a little in training mode: True, False, or an `Augment` of your own.

    Raises UsageError where mapping and num_classes disagree, and ModelError where the source has no such head.
    """

    def __init__(
        self,
        source: SourceNetwork,
        program: InputProgram,
        mapping: OutputMapping | None,
        *,
        mean: Iterable[float] = (),
        std: Iterable[float] = (),
        num_classes: int,
        train_head: bool = False,
        head: str | None = None,
        augment: bool | Augment = True,
    ) -> None:
        super().__init__()
        self.head_name: str | None = None
        if train_head:
            if mapping is not None:
                raise UsageError("with train_head the new head gives the target's logits: give mapping=None")
            source, self.head_name = _with_head(source, head, num_classes)
            mapping = Identity(num_classes, num_classes)
        elif head is not None:
            raise UsageError("head= names the head that train_head=True replaces; say train_head=True")
        if mapping is None or mapping.num_classes != num_classes:
            have = "none is given" if mapping is None else f"it maps onto {mapping.num_classes}"
            raise UsageError(
                f"a mapping onto num_classes={num_classes} classes is needed, but {have}; make it with "
                f"make_mapping(name, source_classes, {num_classes})"
            )
        self.source: Any = source
        self.program, self.mapping, self.num_classes = program, mapping, num_classes
        self.augment = augment if isinstance(augment, Augment) else Augment(**({} if augment else _NO_CHANGE))
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        if any(not value > 0 for value in self.std) or (
            self.mean and self.std and len(self.mean) != len(self.std)
        ):
            raise UsageError("mean and std need one number per channel each, and std positive ones")
        width = len(self.mean or self.std)
        self.register_buffer("_mean", torch.tensor(self.mean or (0.0,) * width), persistent=False)
        self.register_buffer("_std", torch.tensor(self.std or (1.0,) * width), persistent=False)
        self.last_source_logits: Tensor | None = None  # (B, S), detached: of the last batch in training mode
        self.queries = 0  # samples that were sent to the source so far
        self.frozen = True
        self.train(self.training)
        self._hold()

    _mean: Tensor
    _std: Tensor

    def forward(self, inputs: Any) -> Tensor:
        """A batch of the target to its logits (B, num_classes)."""
        logits = self.source_logits(inputs)
        if self.training:
            self.last_source_logits = logits.detach()
        mapped: Tensor = self.mapping(logits)
        return mapped

    def source_logits(self, inputs: Any) -> Tensor:
        """What the source says of a programmed batch: (B, S)."""
        self._hold()
        x = self.program(self.augment(inputs) if isinstance(inputs, Tensor) else inputs)
        count = len(next(iter(x.values())) if isinstance(x, dict) else x)
        x = owned(self._normalised(x), inputs)
        self.queries += count
        with self._recurrence():
            return unwrap_logits(self.source(**x) if isinstance(x, dict) else self.source(x))

    def _recurrence(self) -> AbstractContextManager[Any]:
        """CuDNN has no backward pass for recurrent layers in evaluation mode; torch's own kernels have."""
        modules = self.source.modules() if isinstance(self.source, nn.Module) and self.frozen else ()
        if torch.is_grad_enabled() and any(isinstance(module, nn.RNNBase) for module in modules):
            return torch.backends.cudnn.flags(enabled=False)
        return nullcontext()

    def _normalised(self, x: Any) -> Any:
        if not (self.mean or self.std):
            return x
        if isinstance(x, dict) or x.shape[1] != len(self._mean):
            raise ModelError(
                f"mean and std have {len(self._mean)} numbers, but the program gives "
                f"{'keywords' if isinstance(x, dict) else f'{x.shape[1]} channels'}; give one per channel, or none"
            )
        view = (1, -1, *[1] * (x.ndim - 2))
        return (x - self._mean.view(view)) / self._std.view(view)

    @torch.no_grad()
    def fit_mapping(self, batches: Iterable[tuple[Any, Tensor]]) -> ReprogrammedNetwork:
        """Fit the mapping to (inputs, labels) batches in one pass, in evaluation mode; returns itself.

        The result does not depend on how the samples are cut into batches. A mapping that is not fitted to data
        (random, linear, identity) needs no pass, and none is made.
        """
        if not self.mapping.observes:
            return self
        self.mapping.forget()
        with self._evaluating():
            for inputs, labels in batches:
                self.mapping.observe(self.source_logits(self._here(inputs)), labels)
        self.mapping.update()
        return self

    def _here(self, inputs: Any) -> Any:
        """The batch on the device of the program."""
        device = next((t.device for t in self.program.parameters()), None)
        return inputs.to(device) if isinstance(inputs, Tensor) and device is not None else inputs

    def observe(self, labels: Tensor) -> None:
        """Give the mapping what the last batch in training mode was, with its labels (B,)."""
        if self.last_source_logits is not None:
            self.mapping.observe(self.last_source_logits, labels)

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters of program and mapping, and of the head where it is trained, by name."""
        own = {name: p for name, p in self.named_parameters() if not name.startswith("source.")}
        if self.head_name is not None:
            head = self.source.get_submodule(self.head_name)
            own |= {f"source.{self.head_name}.{name}": p for name, p in head.named_parameters()}
        return own

    def release(self) -> ReprogrammedNetwork:
        """End the freeze: from now on this is a network like any other, all of which can be trained."""
        self.frozen = False
        if isinstance(self.source, nn.Module):
            self.source.requires_grad_(True)
            self.source.train(self.training)
        return self

    def freeze(self) -> ReprogrammedNetwork:
        """Freeze the source (again)."""
        self.frozen = True
        self._hold()
        return self

    def train(self, mode: bool = True) -> ReprogrammedNetwork:
        """Training mode for program and mapping; a frozen source stays in evaluation mode."""
        super().train(mode)
        if self.frozen and isinstance(self.source, nn.Module):
            self.source.eval()
        return self

    def _hold(self) -> None:
        """Keep the freeze whatever others did to the source: set its modes, or let its weights require gradients."""
        if not self.frozen or not isinstance(self.source, nn.Module):
            return
        spared = set()
        if self.head_name is not None:
            spared = {id(p) for p in self.source.get_submodule(self.head_name).parameters()}
        for parameter in self.source.parameters():
            if id(parameter) not in spared and parameter.requires_grad:
                parameter.requires_grad_(False)
        if any(module.training for module in self.source.modules()):
            self.source.eval()

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode


_NO_CHANGE = {"crop": 0.0, "flip": 0.0}


def unwrap_logits(output: Any) -> Tensor:
    """The logits (B, C) in what a network returns: a tensor, a transformers output, a dict, a tuple."""
    if isinstance(output, Tensor):
        return output
    logits = getattr(output, "logits", None)
    if logits is None and isinstance(output, Mapping):
        logits = output.get("logits", next(iter(output.values()), None))
    if logits is None and isinstance(output, tuple | list) and output:
        logits = output[0]
    if isinstance(logits, Tensor):
        return logits
    raise ModelError(f"the network returns {type(output).__name__}, not logits of shape (batch, classes)")


def _with_head(source: SourceNetwork, name: str | None, num_classes: int) -> tuple[nn.Module, str]:
    """A copy of the source with a fresh head of num_classes outputs, and the head's name."""
    if not isinstance(source, nn.Module):
        raise ModelError(
            "a plain callable has no head that could be trained; use train_head=False and a mapping"
        )
    modules = dict(source.named_modules())
    if name is None:
        name = next((n for n, m in reversed(modules.items()) if n and isinstance(m, nn.Linear)), None)
    old = None if name is None else modules.get(name)
    if not name or not isinstance(old, _HEADS):
        raise ModelError(
            f"the source has no head {name!r} that is a Linear or a convolution; name it with head="
            if name
            else "the source has no Linear layer that could be its head; name the head with head="
        )
    new = copy.deepcopy(source)
    head = copy.deepcopy(old)
    width = "out_features" if isinstance(head, nn.Linear) else "out_channels"
    setattr(head, width, num_classes)
    head.weight = nn.Parameter(head.weight.detach().new_empty(num_classes, *head.weight.shape[1:]))
    if head.bias is not None:
        head.bias = nn.Parameter(head.bias.detach().new_empty(num_classes))
    head.reset_parameters()
    new.set_submodule(name, head)
    return new, name
