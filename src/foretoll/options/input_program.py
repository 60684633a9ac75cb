"""How the options `reprogram` and `reprogram+head` train: a program, and a mapping that is fitted beside it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from foretoll.errors import UsageError
from foretoll.models.reprogrammed import (
    fresh_mapping,
    fresh_program,
    release,
    reprogrammed_network,
    unwrapped,
    wrap,
)
from foretoll.options.base import Training
from foretoll.quality import samples_that_fit
from foretoll.reprogram import PROGRAMS, BlackBoxSteps, Iterative, OutputMapping

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import Batch, Split, TaskData
    from foretoll.models import Model
    from foretoll.reprogram.wrapper import ReprogrammedNetwork

BATCH = 256


class ReprogramTraining(Training):
    """The mapping is fitted before the first step, and anew each epoch where it is of that kind."""

    prepares: ClassVar[bool] = True

    def __init__(
        self, model: Model, train: Split, validation: Split, trainable: dict[str, nn.Parameter]
    ) -> None:
        for (
            parameter
        ) in trainable.values():  # a head to be trained was frozen with the source that it is part of
            parameter.requires_grad_(True)
        super().__init__(model, train, validation, trainable)
        self.network = reprogrammed_network(model)

    def begin(self) -> bool:
        """Fit the mapping to one pass over the training samples; True where there was one."""
        self.network.fit_mapping(self._batches())
        return self.network.mapping.observes

    def after_batch(self, labels: Tensor) -> None:
        """Gather what the source said of the batch."""
        if self.network.mapping.each_epoch and not self._slow:
            self.network.observe(labels)

    def after_epoch(self) -> None:
        """Fit the mapping anew."""
        mapping = self.network.mapping
        if mapping.each_epoch:
            if self._slow:
                self.network.fit_mapping(self._batches())
            else:
                mapping.update()

    def finish(self) -> Model:
        """The model, no longer frozen: the next option decides what is trained."""
        self.network.mapping.forget()
        return release(self.model).eval()

    @property
    def _slow(self) -> bool:
        mapping = self.network.mapping
        return isinstance(mapping, Iterative) and not mapping.fast

    def _batches(self) -> Iterator[tuple[Any, Tensor]]:
        for inputs, labels in self.train.batches(samples_that_fit(self.model, self.train, BATCH)):
            yield self.model.prepare(inputs), labels


class BlackBoxTraining(ReprogramTraining):
    """The program is trained by what the source says alone: no gradient passes through it (`BlackBoxSteps`)."""

    def __init__(
        self,
        model: Model,
        train: Split,
        validation: Split,
        trainable: dict[str, nn.Parameter],
        *,
        optimiser: str,
        seed: int,
    ) -> None:
        super().__init__(model, train, validation, trainable)
        self._optimiser, self._seed = optimiser, seed
        self._steps: BlackBoxSteps | None = None

    def train_mode(self) -> None:
        """No augmentation and no dropout, or two looks at one batch could not be compared."""
        self.model.eval()

    def own_step(self, batches: Sequence[Batch], lr: float) -> tuple[Tensor, Tensor]:
        """A step on each batch, with its part of the rate."""
        if self._steps is None:  # the weights are on their device by now
            self._steps = BlackBoxSteps(self.network, self._optimiser, seed=self._seed)
        found = [
            self._steps.take(self.model.prepare(batch.inputs), batch.labels, lr=lr / len(batches))
            for batch in batches
        ]
        loss, norm = torch.tensor(found, dtype=torch.float64).mean(0)
        return loss, norm


def reprogrammed(
    model: Model,
    target: TaskData,
    *,
    program: str | None,
    mapping: str | None,
    with_head: bool,
    task_shift: bool,
    seed: int,
) -> Model:
    """A copy of the model between a program and a mapping; None: the program that it has, or the default ones."""
    old = _old(model)
    program = chosen_program(model, target, program)
    mapping = chosen_mapping(model, target, mapping, with_head=with_head, task_shift=task_shift)
    classes = target.classes if task_shift else model.classes
    inner = unwrapped(model)
    new = with_head and task_shift
    inner = (inner.with_new_head(classes, seed=seed) if new else inner.clone()).eval()
    if old is not None and program == old.program.name:
        before = copy.deepcopy(old.program)
    else:
        before = fresh_program(program, program_options(program, inner, target), seed=seed)
    if old is not None and not task_shift and mapping == old.mapping.name:
        behind: OutputMapping = copy.deepcopy(old.mapping)
    else:
        behind = fresh_mapping(mapping, inner.num_classes, len(classes), seed=seed)
    return wrap(inner, before, behind, classes=classes, train_head=with_head)


def chosen_program(model: Model, target: TaskData, named: str | None) -> str:
    """The program that is named, else the one that the model has, else the default for the data."""
    old = _old(model)
    return named or (old.program.name if old is not None else default_program(target))


def chosen_mapping(
    model: Model, target: TaskData, named: str | None, *, with_head: bool, task_shift: bool
) -> str:
    """The mapping that is named, else the one that the model has on the same task, else the default one.

    That is the identity where the source's outputs, or those of a new head, are the target's classes already.
    """
    old = _old(model)
    if named:
        return named
    if old is not None and not task_shift:
        return old.mapping.name
    outputs = len(target.classes) if with_head and task_shift else unwrapped(model).num_classes
    classes = target.classes if task_shift else model.classes
    same = outputs == len(classes) and (with_head or not task_shift)
    return "identity" if same else "bayesian"


def _old(model: Model) -> ReprogrammedNetwork | None:
    return reprogrammed_network(model) if model.card.program is not None else None


def default_program(target: TaskData) -> str:
    """The program for a kind of data: `full` for images, `series`, or `additive` for vectors.

    Images that are smaller than the source's input are resized too, not framed: `full` was better than `pad` in all
    published pairs (arXiv 2406.03150) and in all of ours, also for images of a third of the size
    (docs/reprogramming.md).
    """
    return {"image": "full", "series": "series"}.get(target.kind, "additive")


def program_options(name: str, model: Model, target: TaskData) -> dict[str, Any]:
    """What a program of that name needs to know of the source's input and the target's samples.

    Raises UsageError for a program that is made for another kind of data.
    """
    options = _options_of_kind(name, model, target)
    suit = [known for known, made in PROGRAMS.items() if options.keys() <= signature(made).parameters.keys()]
    if name in PROGRAMS and name not in suit:
        raise UsageError(
            f"the program {name!r} is made for another kind of data than {target.kind}: take {' or '.join(suit)}"
        )
    return options


def _options_of_kind(name: str, model: Model, target: TaskData) -> dict[str, Any]:
    plan = model.card.preprocessing
    std = tuple(value if value > 0 else 1.0 for value in plan.std)
    if target.kind == "series":
        return {"channels": plan.channels, "length": (plan.size or target.shape[1:])[0], "scale": std}
    if target.kind == "vector":
        return {"features": (plan.size or target.shape)[0], "scale": std}
    size = _image_size(model, target)
    options: dict[str, Any] = {"channels": plan.channels or target.shape[0], "size": size}
    if name == "pad":  # an image that leaves no frame is resized to two thirds of the input
        have = (int(target.shape[1]), int(target.shape[2]))
        fits = have != size and all(a <= b for a, b in zip(have, size, strict=True))
        options["inner"] = have if fits else tuple(max(2 * side // 3, 1) for side in size)
    return options


def _image_size(model: Model, target: TaskData) -> tuple[int, int]:
    height, width = model.card.preprocessing.size or tuple(target.shape[1:])
    return int(height), int(width)
