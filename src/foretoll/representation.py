"""One streaming pass over a split that feeds any number of consumers.

A sweep holds one batch and what its consumers keep; a batch goes through in halves where memory runs out.
Representations are pooled inside the hook, before the next layer runs, so that unpooled activations are never
kept. Nothing of the model is changed: evaluation mode, no gradients, hooks removed, modes restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from foretoll.errors import DataError, ModelError
from foretoll.models.anatomy import first_tensor
from foretoll.models.at_places import choose_places
from foretoll.models.rows import Order, pool_rows
from foretoll.quality import evaluating, samples_that_fit
from foretoll.smaller_batches import SmallerBatches

if TYPE_CHECKING:
    from foretoll.data import Split
    from foretoll.models import Model
    from foretoll.models.model import Inputs


@dataclass(frozen=True)
class Features:
    """What one batch looks like from inside the model; all on the model's device.

    Of a task with a class at each place, labels, representations and logits are those of one place of each sample.

    ids: (B,) int64, the sample's number in the data set: the same for any batch size, order or split
    labels: (B,) int64, −1 where unknown
    representations: (B, d) float32, pooled activation of the embedding layer
    logits: (B, C) float32
    layers: layer name → (B, channels), pooled; only those that were asked for
    """

    ids: Tensor
    labels: Tensor
    representations: Tensor
    logits: Tensor
    layers: dict[str, Tensor] = field(default_factory=dict)


Consumer = Callable[[Features], None]
BITE = 32  # samples a thread, at least


@torch.no_grad()
def sweep(
    model: Model,
    split: Split,
    consumers: Iterable[Consumer],
    *,
    layers: Sequence[str] | Mapping[str, Order] = (),
    batch_size: int = 256,
    device: torch.device | str = "cpu",
    mixed_precision: bool = False,
) -> int:
    """Run `model` once over `split` and give every batch's `Features` to each consumer.

    Returns the number of samples seen. `layers` names modules of `model.network` whose pooled outputs are
    wanted, with how their rows lie where they are not one a sample (`foretoll.models.comparable_layers`). With
    `mixed_precision`, the forward pass runs under autocast (float16 on CUDA, bfloat16 on CPU); what consumers
    get is float32 in any case.

    Raises:
        DataError: the split is empty, or a representation is NaN or infinite.
        ModelError: the network has no layer of a name in `layers`.

    """
    if len(split) == 0:
        raise DataError("there is no sample to use: the split is empty; raise limit= or give more data")
    feed = list(consumers)
    arranged = arrangement(model, split, device)
    size = samples_that_fit(model, split, batch_size)  # before hooks are set that count samples
    kind = torch.device(device).type
    autocast = (
        torch.autocast(kind, dtype=torch.float16 if kind == "cuda" else torch.bfloat16)
        if mixed_precision
        else nullcontext()
    )
    seen, smaller = 0, SmallerBatches()
    finite: list[Tensor] = []  # looked at once, at the end: a look per batch would stall a GPU
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        captured = stack.enter_context(_Capture(model, layers))
        for inputs, targets in split.batches(size):
            where, labels, done = None, targets, 0
            if model.task.places:
                where, labels = choose_places(
                    targets, split.ids[seen : seen + len(targets)], model.task.places
                )
            outputs: list[tuple[Tensor, Tensor]] = []
            pooled: list[dict[str, Tensor]] = []
            for bite in arranged.bites(inputs):

                def pass_through(
                    rows: slice, bite: Inputs = bite, at: Tensor | None = where, done: int = done
                ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
                    part = bite[rows]
                    captured.samples = len(part)
                    with autocast:
                        here = part.to(device, non_blocking=True) if isinstance(part, Tensor) else part
                        places = None if at is None else at[done + rows.start : done + rows.stop]
                        embedded, logits = model.embed_and_classify(here, places)
                    # a network may give the same memory next time
                    return embedded, logits.clone(), captured.take()

                for embedded, logits, layers_seen in smaller.parts(len(bite), pass_through):
                    outputs.append((embedded, logits))
                    pooled.append(layers_seen)
                done += len(bite)
            representations, logits = (torch.cat(rows) for rows in zip(*outputs, strict=True))
            count = len(labels)
            features = Features(
                ids=split.ids[seen : seen + count].to(device),
                labels=labels.to(device, non_blocking=True),
                representations=representations.float(),
                logits=logits.float(),
                layers={name: torch.cat([layer[name] for layer in pooled]) for name in pooled[0]},
            )
            finite.append(
                torch.isfinite(features.representations).all() & torch.isfinite(features.logits).all()
            )
            for consume in feed:
                consume(features)
            seen += count
    bad = (~torch.stack(finite)).nonzero().flatten()
    if len(bad):
        raise DataError(
            f"the model's activations are NaN or infinite (first in batch {int(bad[0])} of {len(finite)}): "
            "check its weights and the input's normalisation"
        )
    return seen


@torch.no_grad()
def renormalised(
    model: Model,
    split: Split,
    *,
    samples: int | None = None,
    batch_size: int = 256,
    device: torch.device | str = "cpu",
) -> Model | None:
    """Copy of `model` whose batch-norm statistics are re-estimated on `split`; None if it has no batch norm.

    Cumulative averages over the batches of one pass (momentum None), only batch-norm modules in training
    mode: dropout stays off and no weight changes. The original is untouched. The samples are taken in an order
    that depends on their ids alone: data that are sorted by class would else give batches of one class. `samples`: how
    many of them at most, the first in that order; None for all.

    Raises:
        DataError: the split has fewer than two samples, which have no variance.

    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not any(norm.track_running_stats and norm.running_mean is not None for norm in norms):
        return None
    if len(split) < 2:
        raise DataError("normalisation statistics need two samples or more: raise limit= or give more data")
    copy = model.clone()
    copy.eval()
    for module in copy.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            module.reset_running_stats()
            module.momentum = None
            module.train()
    shuffled = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    order = torch.argsort(split.ids, stable=True)[shuffled][:samples]
    arranged = arrangement(model, split, device)
    # A last batch of one sample has no variance in a fully connected batch norm: it joins no statistic.
    size = max(samples_that_fit(model, split, batch_size), 2)
    for inputs, labels in split.batches(size, indices=order):
        if len(labels) > 1:
            copy(arranged.laid_out(inputs).to(device) if isinstance(inputs, Tensor) else inputs)
    originals = dict(model.named_modules())
    for name, module in copy.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = originals[name].momentum
    copy.eval()
    return copy


@dataclass(frozen=True)
class Arrangement:
    """How a pass without gradients gives a batch to the network; the values are the same up to rounding.

    channels_last: the memory format of images
    bite: samples that go through the network at once; None: the whole batch
    """

    channels_last: bool = False
    bite: int | None = None

    def laid_out(self, inputs: Tensor) -> Tensor:
        """The batch in its memory format."""
        # `contiguous` would leave the strides of images with one channel alone, which say nothing of the format
        return (
            torch.empty_like(inputs, memory_format=torch.channels_last).copy_(inputs)
            if self.channels_last
            else inputs
        )

    def bites(self, inputs: Tensor | list[str]) -> Iterator[Tensor | list[str]]:
        """The batch in parts, laid out."""
        if not isinstance(inputs, Tensor):
            yield inputs
            return
        size = self.bite or len(inputs)
        for start in range(0, len(inputs), size):
            yield self.laid_out(inputs[start : start + size])


@torch.no_grad()
def arrangement(model: Model, split: Split, device: torch.device | str) -> Arrangement:
    """The arrangement of a split's batches that is fast on this device, found with a trial on one sample.

    On a CPU, convolutions and pooling are faster with the channels last in memory, and as long as the activations of
    what goes through at once fit into the caches: 256 images of 32×32 at once took 1.5 to 2 times as long as four
    times 64. But each part reads all weights again, so it is no smaller than keeps that to an eighth of what the
    activations move. A network that cannot take the format (that calls `view` on a feature map) gets the batches as
    they are stored.
    """
    if torch.device(device).type != "cpu":
        return Arrangement()
    inputs, _ = next(split.batches(1, indices=torch.zeros(1, dtype=torch.int64)))
    if not isinstance(inputs, Tensor) or inputs.ndim < 3:
        return Arrangement()
    last = Arrangement(channels_last=True)
    if inputs.ndim == 4 and any(isinstance(m, nn.Conv2d) for m in model.modules()):
        try:
            return replace(last, bite=_bite(model, last.laid_out(inputs)))
        except (ModelError, RuntimeError):  # of `view`; whatever else is wrong shows again in the next line
            pass
    return Arrangement(bite=_bite(model, inputs))


def _bite(model: Model, sample: Tensor) -> int:
    """How many samples go through at once on a CPU, by the numbers of weights and of one sample's activations."""
    activations = [1]

    def count(_module: nn.Module, _inputs: object, output: object) -> None:
        tensor = first_tensor(output)
        activations[0] += 0 if tensor is None else tensor.numel()

    leaves = [module for module in model.network.modules() if not any(True for _ in module.children())]
    with ExitStack() as stack:
        stack.enter_context(evaluating(model))
        for leaf in leaves:
            stack.callback(leaf.register_forward_hook(count).remove)
        model(sample)
    weights = sum(parameter.numel() for parameter in model.network.parameters())
    return max(BITE * torch.get_num_threads(), 8 * weights // activations[0])


class _Capture:
    """Forward hooks that pool the outputs of named layers at once."""

    def __init__(self, model: Model, layers: Sequence[str] | Mapping[str, Order]) -> None:
        self._model = model
        self._layers: dict[str, Order] = (
            dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, "samples first")
        )
        self.samples = 0  # of the batch that goes through
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._pooled: dict[str, Tensor] = {}

    def __enter__(self) -> _Capture:
        modules = [
            (name, self._model.layer(name)) for name in self._layers
        ]  # all are there, or no hook is set
        for name, module in modules:
            self._handles.append(module.register_forward_hook(partial(self._keep, name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _keep(self, name: str, module: nn.Module, _inputs: object, output: Tensor) -> None:
        pooled = pool_rows(output, module, self.samples, self._layers[name]).float()
        # a next layer that works in place must not reach what is kept
        self._pooled[name] = pooled.clone() if pooled is output else pooled

    def take(self) -> dict[str, Tensor]:
        pooled, self._pooled = self._pooled, {}
        return pooled
