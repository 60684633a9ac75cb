"""How the option `head` trains: the head alone, on what the frozen backbone says of each sample once.

The backbone (everything before the head, in evaluation mode) runs exactly once per training and validation sample;
the head's inputs are kept, and the loop trains the head on them. That is the same optimisation as training the head
within the network whose backbone is frozen in evaluation mode, at the cost of a fraction of the passes. Where the
network's logits do not follow from its head's output alone (two heads, a head whose weights the network uses itself,
something learned behind it), nothing can be kept: the head is then trained within the network, frozen as said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from foretoll.data.splits import ArraySplit
from foretoll.errors import ModelError
from foretoll.models.anatomy import pool_positions, token_of
from foretoll.models.model import Model
from foretoll.options.base import Training
from foretoll.owned import owned
from foretoll.quality import evaluating, samples_that_fit

if TYPE_CHECKING:
    from foretoll.data import Split

BATCH = 256
ON_DEVICE_BYTES = 2**30  # a larger cache stays in the CPU's memory, and batches travel to the device

Replay = Callable[[nn.Module, Tensor], Tensor]
# What networks do between their head's output and their logits. Which one it is, is found by comparison.
REPLAYS: tuple[Replay, ...] = (
    lambda _head, output: output,
    lambda head, output: pool_positions(output, head),
    lambda head, output: pool_positions(torch.relu(output), head),  # SqueezeNet
    lambda _head, output: output.flatten(1),
    lambda _head, output: torch.log_softmax(output, 1),  # also a softmax whose logarithm is taken
)


class CachedSplit(ArraySplit):
    """Head inputs (n, …) that may lie on an accelerator."""

    def _read(self, positions: Tensor) -> Tensor:
        inputs = self.inputs
        assert isinstance(inputs, Tensor)  # noqa: S101  (for the type checker)
        return inputs.index_select(0, positions.to(inputs.device))


class HeadModel(Model):
    """The head behind a model's interface: cached head inputs in, logits (B, C) out. It shares the head's weights."""

    def __init__(self, model: Model, replay: Replay) -> None:
        nn.Module.__init__(self)  # no preprocessing: its inputs are what comes out of the backbone
        self.network = model.head_module()
        self.card = model.card
        self.replay = replay

    def forward(self, inputs: Any) -> Tensor:
        """Logits of a batch of head inputs."""
        return in_unit(self, self.replay(self.network, self.network(owned(inputs.to(self.device), inputs))))


class HeadTraining(Training):
    """Validation samples are cached before the first evaluation, training samples before the first step."""

    prepares: ClassVar[bool] = True

    def __init__(
        self,
        model: Model,
        train: Split,
        validation: Split,
        trainable: dict[str, nn.Parameter],
        *,
        stored: bool = True,
    ) -> None:
        for parameter in trainable.values():  # frozen or not: without it there is nothing to train
            parameter.requires_grad_(True)
        super().__init__(model, train, validation, trainable)
        self.full = model
        self.stored = stored  # whether the head is trained on stored inputs, not within the network
        self._given = (train, validation)
        self._replays = list(REPLAYS)

    def held(self) -> nn.Module:
        """The backbone stays in memory: the trained head goes back to it."""
        return self.full.network

    def open(self) -> None:
        """Run the backbone over the validation samples; from here on `model` is the head."""
        if self.stored:
            self._store(self._cached(self.validation, others=len(self.train)), self.train)

    def begin(self) -> bool:
        """Run the backbone over the training samples."""
        if self.stored:
            self._store(self.validation, self._cached(self.train))
        return False

    def train_mode(self) -> None:
        """Training mode for the head alone."""
        if self.stored:
            self.model.train()
            return
        self.full.eval()
        for name in self.full.head_names():
            self.full.layer(name).train()

    def finish(self) -> Model:
        """The whole model: its head was trained in place."""
        return self.full.eval()

    def _store(self, validation: Split | None, train: Split | None) -> None:
        """Go on with stored inputs; with the samples themselves where one of the parts cannot be stored."""
        if validation is not None and train is not None:
            self.validation, self.train = validation, train
            self.model = HeadModel(self.full, self._replays[0])
            return
        self.stored, self.cache_bytes = False, 0
        self.train, self.validation = self._given
        self.model = self.full

    @torch.no_grad()
    def _cached(self, split: Split, *, others: int = 0) -> CachedSplit | None:
        """The head's inputs for a split, in the split's order; None where the logits do not follow from them.

        `others`: samples that will be cached later.
        """
        head, device = self.full.head_module(), self.full.device
        calls: list[tuple[tuple[Any, ...], Any]] = []

        def note(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            # copied: what comes next may work in place
            calls.append((tuple(map(_copied, (*args, *kwargs.values()))), _copied(output)))

        kept: Tensor | None = None
        handle = head.register_forward_hook(note, with_kwargs=True)
        try:
            with evaluating(self.full):
                size = samples_that_fit(self.full, split, BATCH)
                for done, batch in enumerate(split.batches(size)):
                    calls.clear()
                    inputs = batch.inputs
                    logits = self.full(inputs.to(device) if isinstance(inputs, Tensor) else inputs)
                    given = self._checked(calls, head, logits)
                    if given is None or (kept is not None and given.shape[1:] != kept.shape[1:]):
                        return None
                    if kept is None:
                        kept = self._room(given, len(split), others)
                    kept[done * size : done * size + len(given)] = given
        finally:
            handle.remove()
        if kept is None:
            raise ModelError("there is nothing to train the head on: the split is empty")
        return CachedSplit(kept, split.labels, ids=split.ids)

    def _checked(
        self, calls: list[tuple[tuple[Any, ...], Any]], head: nn.Module, logits: Tensor
    ) -> Tensor | None:
        """The head's only input, where the network's logits follow from its output alone; else None.

        Of a head on tokens whose logits are those of one token (the last one), that token's.
        """
        args, output = calls[0] if len(calls) == 1 else ((), None)
        given = args[0] if len(args) == 1 else None
        if not isinstance(given, Tensor) or not isinstance(output, Tensor) or len(given) != len(logits):
            return None
        replays = [
            replay for replay in self._replays if _agrees(in_unit(self.full, replay(head, output)), logits)
        ]
        if not replays:
            token = None if self.full.task.places else token_of(output, logits)
            if token is None:
                return None
            given = given[torch.arange(len(given), device=given.device), token]
            replays = [REPLAYS[0]]
        self._replays = replays
        return given

    def _room(self, given: Tensor, samples: int, others: int) -> Tensor:
        """Memory for the head's inputs of `samples` samples, on the device while the whole cache is small there."""
        each = given[0].numel() * given.element_size()
        self.cache_bytes = max(self.cache_bytes, each * (samples + others))
        place = self.full.device if self.cache_bytes <= ON_DEVICE_BYTES else torch.device("cpu")
        if place.type == "cpu":
            _require_memory(each * (samples + others))
        return torch.empty((samples, *given.shape[1:]), dtype=given.dtype, device=place)


def in_unit(model: Model, outputs: Tensor) -> Tensor:
    """What a head gives as the model gives it: standardised values in the unit of the target, places behind classes."""
    if model.task.places:
        return model.task.arranged(outputs)
    return model.read(outputs) if model.card.outputs == "standardised" else outputs


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _agrees(replayed: Tensor, logits: Tensor) -> bool:
    return replayed.shape == logits.shape and torch.allclose(
        replayed.float(), logits.float(), rtol=1e-4, atol=1e-5, equal_nan=True
    )


def _require_memory(wanted: int) -> None:
    import psutil

    free = psutil.virtual_memory().available
    if wanted > free:
        raise ModelError(
            f"the head's inputs take {wanted / 2**30:.1f} GiB and {free / 2**30:.1f} GiB of memory are free; "
            "take fewer samples (limit=), or use partial, which stores nothing"
        )
