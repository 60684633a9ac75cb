"""What an option is: a way to reuse a model, as a preparation of the model and a choice of what is trained.

`Option.start` gives a `Training`: the option at work on one target, with hooks that the one training loop calls.

The contract, tested for every registered option: the source model is never changed; preparing twice with one
seed gives equal weights; the prepared model has one output per class of the target; the model that comes out is
saved as a checkpoint folder that loads with the same outputs.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from foretoll.errors import DataError, UsageError
from foretoll.options.names import modules_by, named_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor, nn

    from foretoll.data import Batch, Split, TaskData
    from foretoll.models import Model
    from foretoll.records import TrainingSettings


OPTIMISER = "optimiser"  # the setting of an option that trains by another one than the settings name


class Training:
    """An option at work: what the loop trains and evaluates, on which data, and the model that comes out of it.

    This one trains `trainable` of `model` on the target as it is; an option that prepares something first (caches
    representations, re-estimates statistics, maps outputs) gives its own. Hooks are called in this order:
    `open` (before the first evaluation, counted as evaluation), `begin` (before the first step, counted as
    preparation), then per batch `train_mode`, `after_batch`, and per epoch `after_epoch`; at the end `finish`.
    """

    # whether its network, its optimiser and torch's random numbers are all that its steps change; each class says it
    # for itself, since one that is derived may hold more
    continues: ClassVar[bool] = True
    prepares: ClassVar[bool] = False  # whether `begin` does something, which is then measured as preparation
    cache_bytes: int = 0  # what it keeps of the data in memory

    def __init__(
        self, model: Model, train: Split, validation: Split, trainable: dict[str, nn.Parameter]
    ) -> None:
        self.model, self.train, self.validation = model, train, validation.held()
        # what the user froze stays as it is: it gets no gradient, and no part in the parameter change
        self.trainable = {name: parameter for name, parameter in trainable.items() if parameter.requires_grad}
        trained = {id(parameter) for parameter in self.trainable.values()}
        for parameter in model.network.parameters():  # a frozen weight costs no gradient, in a probe neither
            parameter.requires_grad_(id(parameter) in trained)
        self._frozen: list[nn.Module] = []

    @property
    def can_go_on(self) -> bool:
        """Whether it can pause between two steps and go on in another process."""
        return not self.prepares and bool(vars(type(self)).get("continues", False))

    def freeze(self, prefixes: Sequence[str]) -> None:
        """Take the weights whose names begin so out of what is trained; their layers stay in evaluation mode.

        So nothing of them changes, running statistics included. Raises UsageError where the network has no such part,
        or where nothing is left to train.
        """
        names = [
            name
            for prefix in prefixes
            for name in named_by(prefix, self.trainable, self.model, where="freeze")
        ]
        for name in names:
            parameter = self.trainable.pop(name, None)
            if parameter is not None:
                parameter.requires_grad_(False)
        if prefixes and not self.trainable:
            raise UsageError(f"freeze: {', '.join(prefixes)} is all that would be trained: freeze less")
        self._frozen = [module for prefix in prefixes for module in modules_by(prefix, self.model)]

    def into_training(self) -> None:
        """Training mode for a step, except for what the option or the user keeps frozen."""
        self.train_mode()
        for module in self._frozen:
            module.training = False

    def held(self) -> nn.Module:
        """The network whose weights are in memory during the training."""
        return self.model.network

    def open(self) -> None:
        """Prepare what the first evaluation needs."""

    def begin(self) -> bool:
        """Prepare what the steps need; True where the model's outputs may have changed by it."""
        return False

    def train_mode(self) -> None:
        """Put the model in training mode, except for what the option keeps frozen."""
        self.model.train()

    def step_loss(self, loss: Tensor, inputs: Any, outputs: Tensor) -> Tensor:
        """The loss of a batch, from the task's own and the outputs on these inputs; the task's own here."""
        return loss

    def own_step(self, batches: Sequence[Batch], lr: float) -> tuple[Tensor, Tensor] | None:
        """A step by other means than the loss's gradient: its loss and gradient norm; None: by the gradient."""
        return None

    def after_batch(self, labels: Tensor) -> None:
        """A step was taken on a batch with these labels."""

    def after_epoch(self) -> None:
        """The last step of an epoch was taken."""

    def finish(self) -> Model:
        """The model to be served; called once, after the loop."""
        return self.model


class OptionTraits:
    """What is known of an option by its name alone. Forecast, decisions, reports and help read these.

    name, summary: as it is named in a call, and what it does in a few words.
    title, phrase: for tables ("retrain the head"), and the beginning of a sentence ("Retraining the head of {model}").
    label: for a list of options; the name unless it is given.
    takes_steps: False: no gradient is ever taken. reuses_weights: False: it starts from fresh weights.
    changes_weights: False: the source's own weights are served, bit for bit.
    serves_tasks: the kinds of problems that it can serve, None: all; serves_why: why no others, after its name.
    serves_new_task: False: it cannot give the model outputs for other classes.
    trains_all: all weights of the model's architecture are trained. Such options are forecast beside any other.
    moves_weights: it moves weights that others may have trained, which stands a lower learning rate.
    lr_factor: few parameters train at a higher learning rate than all weights.
    in_reference: False: the ledger that ships has no runs of it.
    known_from: of one that changes the model without a step: the signal that is its quality.
    flags: settings of its own that the command line takes as flags of their names, each with its help.
    """

    name: str
    summary: str = ""
    title: str = ""
    phrase: str = ""
    label: str = ""
    takes_steps: bool = True
    reuses_weights: bool = True
    changes_weights: bool = True
    serves_new_task: bool = True
    serves_tasks: frozenset[str] | None = None
    serves_why: str = ""
    trains_all: bool = False
    moves_weights: bool = False
    lr_factor: float = 1.0
    in_reference: bool = True
    known_from: str = ""
    flags: ClassVar[Mapping[str, str]] = {}

    @property
    def leaves_model(self) -> bool:
        """Whether the model is served as it is: what every update is compared with."""
        return not self.takes_steps and not self.changes_weights


class UnknownOption(OptionTraits):
    """An option that a record names and that is not installed here: taken for one that trains."""

    def __init__(self, name: str) -> None:
        self.name = name


class Option(OptionTraits, ABC):
    """A way to reuse a model. One that plugs in gives the traits above, `_prepare`, and more where it needs to."""

    def prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        """Return the model to be trained: new weights in memory, the given model untouched.

        Raises:
            DataError: the target is no task shift and has classes the model has no output for.
            UsageError: the option cannot be used here (`suits` says why).

        """
        check_classes(model, target, task_shift=task_shift)
        self.require_suited(model, target, task_shift=task_shift)
        return self._prepare(model, target, task_shift=task_shift, seed=seed)

    def settings_for(self, model: Model, target: TaskData, *, task_shift: bool) -> dict[str, str]:
        """What it does to this model for this target in particular, by name; only asked where it `suits`.

        It is stored with estimates and runs, so that an answer says what was asked. Its own settings as they are; an
        option whose defaults follow from the data, or that finds a part of the network, says what these come to.
        """
        return {
            key: str(value)
            for key in own_settings(self)
            if isinstance(value := getattr(self, key, None), str | int | float) and value != ""
        }

    def architectures(self) -> tuple[str, ...]:
        """What its own settings say to build beside the model; where a file holds them, it may name no code."""
        return ()

    @abstractmethod
    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        """Build the model to be trained."""

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name within the network; all unless the option says otherwise."""
        return dict(model.network.named_parameters())

    def start(
        self,
        model: Model,
        target: TaskData,
        settings: TrainingSettings,
        *,
        task_shift: bool,
        device: torch.device,
    ) -> Training:
        """Prepare the model, on the device, and say how it is trained on the target's training part."""
        prepared = self.prepare(model, target, task_shift=task_shift, seed=settings.seed).to(device)
        training = self._training(prepared, target, settings)
        if self.takes_steps:
            training.freeze(settings.freeze)
        return training

    def _training(self, prepared: Model, target: TaskData, settings: TrainingSettings) -> Training:
        """How a prepared model is trained; `settings` for options that need to know the batch size or the seed."""
        return Training(prepared, target.train, target.validation, self.trainable(prepared))

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """Why the option cannot be used here, as a sentence; None where it can."""
        tasks = {target.card.task} if target.card.labelled else set()
        if self.serves_tasks is not None and not (tasks | {model.card.task}) <= self.serves_tasks:
            return f"{self.name} {self.serves_why}; use another option, such as head or finetune"
        if task_shift and not self.serves_new_task:
            return (
                f"{self.name} cannot serve a new task: the model has no outputs for the classes of "
                f"{target.card.uri}; use an option that gives it a new head, such as head or finetune"
            )
        return (
            self._frozen(model, task_shift=task_shift) if self.takes_steps and self.reuses_weights else None
        )

    def _frozen(self, model: Model, *, task_shift: bool) -> str | None:
        """Why there is nothing to train: the user froze all that the option would; None where there is something."""
        trained = self.trainable(model)
        new_head = task_shift and any(name.startswith(f"{model.head_name}.") for name in trained)
        if new_head or any(parameter.requires_grad for parameter in trained.values()):
            return None
        return (
            f"{self.name} has nothing to train: all weights that it trains are frozen (requires_grad=False); unfreeze "
            "some of them, or use head"
        )

    def require_suited(self, model: Model, target: TaskData, *, task_shift: bool) -> None:
        """Raise UsageError where the option cannot be used here."""
        why = self.suits(model, target, task_shift=task_shift)
        if why is not None:
            raise UsageError(why)


def own_settings(option: Option) -> dict[str, inspect.Parameter]:
    """The settings of an option's own: the arguments that its class is called with, by name."""
    parameters = inspect.signature(type(option)).parameters.values()
    return {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def check_classes(model: Model, target: TaskData, *, task_shift: bool) -> None:
    """Refuse a target of the same task that has classes the model has no output for (DataError)."""
    if not task_shift and target.num_classes > model.card.num_classes:
        raise DataError(
            f"the target {target.card.uri} has {target.num_classes} classes but the model "
            f"{model.card.num_classes} outputs: say --task if it is a new task (the head is then replaced)"
        )
