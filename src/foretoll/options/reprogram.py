"""Options `reprogram` and `reprogram+head`: a trained input program before the source, and a mapping behind it.

The source is frozen for real (`ReprogrammedNetwork`): no gradient reaches its weights, its batch-norm statistics stay.
`reprogram` trains the program, and fits the mapping before the first step and at the end of each epoch to what the
source said of that epoch's own batches. `reprogram+head` trains the source's head beside the program.

A target of the same task starts from the identity as mapping, since the source's outputs already are the target's
(measured: docs/reprogramming.md). A model that is reprogrammed already is not wrapped twice: its program goes on being
trained from where it is, before the same source, with its mapping where the task is the same and a new one where not.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from foretoll.models.reprogrammed import (
    fresh_mapping,
    fresh_program,
    release,
    reprogrammed_network,
    unwrapped,
    wrap,
)
from foretoll.options.base import Option, Training
from foretoll.quality import samples_that_fit
from foretoll.reprogram import (
    MAPPINGS,
    PROGRAMS,
    InputProgram,
    Iterative,
    OutputMapping,
    ReprogrammedNetwork,
    fit_black_box,
    load_reprogrammed,
    make_mapping,
    make_program,
    save_reprogrammed,
)

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import Split, TaskData
    from foretoll.models import Model
    from foretoll.records import TrainingSettings

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


class Reprogram(Option):
    """Train an input program before the frozen model, with an output mapping that is fitted to the target.

    `program` and `mapping` name other ones than the defaults (see `default_program` and `default_mapping`).
    """

    name = "reprogram"
    summary = "train an input program before the frozen model, and map its outputs"
    changes_weights = False
    lr_factor = (
        10.0  # SMM (arXiv 2406.03150) trains programs by Adam at 0.01, ten times our default for all weights
    )
    with_head: ClassVar[bool] = False

    def __init__(self, program: str | None = None, mapping: str | None = None) -> None:
        self.program, self.mapping = program, mapping

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        old = reprogrammed_network(model) if model.card.program is not None else None
        classes = target.classes if task_shift else model.classes
        inner = unwrapped(model)
        new = self.with_head and task_shift
        inner = (inner.with_new_head(classes, seed=seed) if new else inner.clone()).eval()
        if old is not None and self.program in (None, old.program.name):
            program = copy.deepcopy(old.program)
        else:
            name = self.program or default_program(target)
            program = fresh_program(name, program_options(name, inner, target), seed=seed)
        if old is not None and not task_shift and self.mapping in (None, old.mapping.name):
            mapping = copy.deepcopy(old.mapping)
        else:
            mapping = self._mapping(inner, len(classes), task_shift=task_shift, seed=seed)
        return wrap(inner, program, mapping, classes=classes, train_head=self.with_head)

    def _mapping(self, inner: Model, num_classes: int, *, task_shift: bool, seed: int) -> OutputMapping:
        same = inner.num_classes == num_classes and (self.with_head or not task_shift)
        name = self.mapping or ("identity" if same else "bayesian")
        return fresh_mapping(name, inner.num_classes, num_classes, seed=seed)

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """The program's parameters, and those of a linear mapping or a trained head."""
        return reprogrammed_network(model).trainable()

    def _training(self, prepared: Model, target: TaskData, settings: TrainingSettings) -> Training:
        return ReprogramTraining(prepared, target.train, target.validation, self.trainable(prepared))

    def _frozen(self, model: Model, *, task_shift: bool) -> str | None:
        return None  # the program is new

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """Not for texts: a text model's tokens are its own already, and no program for them would be sparse."""
        why = super().suits(model, target, task_shift=task_shift)
        if why is None and target.kind == "text":
            why = (
                f"{self.name} has no input program for texts in the model's own tokens; use lora or head (for "
                "sequences of other tokens there is foretoll.reprogram.TokenMap in Python)"
            )
        if why is None and model.card.outputs != "logits":
            why = f"{self.name} maps logits, and {model.card.arch} gives {model.card.outputs}; use head or finetune"
        return why


class ReprogramAndHead(Reprogram):
    """Train an input program and the model's head together; the rest stays frozen."""

    name = "reprogram+head"
    summary = "train an input program and the head, the rest frozen"
    changes_weights = True
    with_head: ClassVar[bool] = True


def default_program(target: TaskData) -> str:
    """The program for a kind of data: `full` for images, `series`, or `additive` for vectors.

    Images that are smaller than the source's input are resized too, not framed: `full` was better than `pad` in all
    published pairs (arXiv 2406.03150) and in all of ours, also for images of a third of the size
    (docs/reprogramming.md).
    """
    return {"image": "full", "series": "series"}.get(target.kind, "additive")


def program_options(name: str, model: Model, target: TaskData) -> dict[str, Any]:
    """What a program of that name needs to know of the source's input and the target's samples."""
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


__all__ = [
    "MAPPINGS",
    "PROGRAMS",
    "InputProgram",
    "OutputMapping",
    "Reprogram",
    "ReprogramAndHead",
    "ReprogramTraining",
    "ReprogrammedNetwork",
    "default_program",
    "fit_black_box",
    "load_reprogrammed",
    "make_mapping",
    "make_program",
    "program_options",
    "save_reprogrammed",
]
