"""`Model`: any classifier behind one interface, from a raw stored batch to logits and representations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foretoll.data.parts import parts_said
from foretoll.errors import ForetollError, ModelError, UsageError, is_out_of_memory, one_line, shown
from foretoll.models.anatomy import (
    call_network,
    described,
    find_anatomy,
    first_tensor,
    pool_any,
    token_of,
    undisturbed,
)
from foretoll.models.at_places import rows_at
from foretoll.models.copies import deep_copy
from foretoll.models.heads import replace_head
from foretoll.models.outputs import as_logits
from foretoll.models.preprocess import (
    ArrayPreprocess,
    ImagePreprocess,
    TextPreprocess,
    TreePreprocess,
    make_preprocess,
)
from foretoll.models.trust import Trust
from foretoll.owned import owned
from foretoll.records import DataCard, ModelCard, Preprocessing
from foretoll.tasks import Task, get_task

if TYPE_CHECKING:
    from foretoll.data import TaskData

Inputs = Tensor | list[str]


class Model(nn.Module):
    """A network with its preprocessing, its head and its embedding. Raw stored batch in, logits (B, C) out.

    All layer names are those within `network`. Usually made by `load_model` or `build_model`. `trust` is what code
    may be imported to build the same architecture again: none but what was allowed when the model was loaded.
    """

    def __init__(self, network: nn.Module, card: ModelCard, trust: Trust | None = None) -> None:
        super().__init__()
        self.network = network
        self.card = card
        self.trust = trust or Trust()
        self.preprocess: ImagePreprocess | ArrayPreprocess | TextPreprocess | TreePreprocess
        self.preprocess = make_preprocess(card.preprocessing)
        pad = getattr(getattr(network, "config", None), "pad_token_id", None)
        if isinstance(self.preprocess, TextPreprocess) and isinstance(pad, int):
            self.preprocess.pad_id = pad
        self.preprocess.to(self.device)

    @property
    def head_name(self) -> str:
        """Name of the head within the network."""
        return self.card.head

    @property
    def embedding_name(self) -> str | None:
        """Name of the module whose output is the embedding; None: the head's input is."""
        return self.card.embedding_layer

    @property
    def num_classes(self) -> int:
        """Number of outputs."""
        return self.card.num_classes

    @property
    def task(self) -> Task:
        """The kind of problem that it serves."""
        return get_task(self.card.task)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The task's mean loss of a batch of this model's outputs."""
        return self.task.loss(outputs, targets, self.card.targets)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.card.classes

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        first = next(self.network.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def prepare(self, inputs: Inputs) -> Tensor | dict[str, Tensor]:
        """The network's input for a raw batch, on the model's device, in memory that the network may write into."""
        here = inputs.to(self.device, non_blocking=True) if isinstance(inputs, Tensor) else inputs
        prepared: Tensor | dict[str, Tensor] = owned(self.preprocess(here), inputs)
        if self.task.places and isinstance(prepared, dict) and isinstance(here, Tensor):
            # which places are padding is known: an id that also pads may stand within a text
            prepared["attention_mask"] = (here >= 0).to(prepared["attention_mask"])
        return prepared

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits (B, C) of a raw batch as stored: images uint8 or float in [0, 1], vectors, series, or texts.

        Of a task with a class at each place (B, C, *places).
        """
        return self.read(self._called(self.prepare(inputs), self._sides(inputs)))

    def _sides(self, inputs: Inputs) -> tuple[int, ...] | None:
        """The places of a raw batch: its tokens, or its pixels as they are stored."""
        places = self.task.places
        return tuple(inputs.shape[-places:]) if places and isinstance(inputs, Tensor) else None

    def _called(self, prepared: Tensor | dict[str, Tensor], sides: tuple[int, ...] | None = None) -> Tensor:
        """The network's outputs; what its own code raises becomes a ModelError, but for memory that ran out."""
        try:
            outputs = call_network(self.network, prepared, self.card.output)
        except ForetollError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            mode = "training" if self.network.training else "evaluation"
            raise ModelError(
                f"the network fails in {mode} on a batch of {described(prepared)} ({type(error).__name__}: "
                f"{one_line(str(error), 120)}): run it on such a batch by itself to see where"
            ) from error
        if self.task.places:
            return self._over_places(outputs, prepared, sides)
        if outputs.shape[1:] != (self.num_classes,):
            raise ModelError(
                f"the network returns shape {tuple(outputs.shape)} for a batch of {described(prepared)}, and has "
                f"{self.num_classes} classes: let its forward return (batch, {self.num_classes}) always"
            )
        return outputs

    def _over_places(
        self, outputs: Tensor, prepared: Tensor | dict[str, Tensor], sides: tuple[int, ...] | None
    ) -> Tensor:
        """Outputs (B, C, *places) of a task with places; ModelError where they are of other places or classes."""
        arranged = self.task.arranged(outputs, sides)
        wanted = (self.num_classes, *(sides or arranged.shape[2:]))
        if arranged.ndim != 2 + self.task.places or arranged.shape[1:] != wanted:
            raise ModelError(
                f"the network returns shape {tuple(outputs.shape)} for a batch of {described(prepared)}, and "
                f"{self.task.title} needs {' × '.join(map(str, wanted))} numbers a sample: it may read no more at once "
                "(a smaller block= or max_length), or be made for another task"
            )
        return arranged

    def read(self, outputs: Tensor) -> Tensor:
        """What the network gives (B, C) as the task reads it: logits, or values in the unit of the target."""
        return as_logits(outputs, self.card.outputs, self.card.targets)

    def embed_and_classify(self, inputs: Inputs, where: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Representation (B, d), float32 and averaged over positions, and logits (B, C), in one forward pass.

        Where a head on tokens gives each sample the logits of one of them (the last one, in language models), that
        token represents the sample. Of a task with a class at each place, `where` (B, axes) says which place of each
        sample is looked at (`foretoll.models.at_places`). Gradients flow if they are enabled. Raises ModelError when
        the embedding layer is not reached.
        """
        module = self.head_module() if self.embedding_name is None else self.layer(self.embedding_name)
        prepared = self.prepare(inputs)
        mask = prepared.get("attention_mask") if isinstance(prepared, dict) else None
        mask = None if mask is None else mask.clone()
        seen: list[Tensor] = []
        given: list[Tensor] = []
        tokens: list[tuple[Tensor, Tensor]] = []

        def keep(value: Any) -> None:
            tensor = first_tensor(value)
            if tensor is not None:  # pooled at once, and copied: a next layer may work in place
                pooled = pool_any(tensor, module, mask) if where is None else rows_at(tensor, where, module)
                pooled = pooled.float()
                seen[:] = [owned(pooled, tensor)]

        def before_head(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            tensor = first_tensor((*args, *kwargs.values()))
            keep(tensor)
            tokens_in = where is None and tensor is not None and tensor.ndim == 3
            given[:] = [tensor.clone()] if tokens_in and tensor is not None else []

        def after_head(_module: nn.Module, _args: Any, output: Any) -> None:
            if given and isinstance(output, Tensor) and output.ndim == 3:
                tokens[:] = [(given[0], output.detach().clone())]

        if self.embedding_name is None:
            handles = [
                module.register_forward_pre_hook(before_head, with_kwargs=True),
                module.register_forward_hook(after_head),
            ]
        else:
            handles = [module.register_forward_hook(lambda _m, _args, output: keep(output))]
        try:
            logits = self._called(prepared, self._sides(inputs))
        finally:
            for handle in handles:
                handle.remove()
        if not seen:
            raise ModelError(
                f"the embedding layer {self.embedding_name or self.head_name!r} is never reached"
            )
        if where is not None:
            return seen[0], self.read(rows_at(logits, where))
        if tokens and not self.task.places:
            token = token_of(tokens[0][1], logits.detach())
            if token is not None:
                seen = [tokens[0][0][torch.arange(len(token), device=token.device), token].float()]
        return seen[0], self.read(logits)

    def head_module(self) -> nn.Module:
        """The module that turns the embedding into logits."""
        return self.layer(self.head_name)

    def layer(self, name: str) -> nn.Module:
        """The module of this name within the network."""
        try:
            return self.network.get_submodule(name)
        except AttributeError as error:
            raise ModelError(f"the network has no module {name!r}") from error

    def example(self, n: int = 2) -> Tensor | dict[str, Tensor]:
        """A small preprocessed batch of noise, for dry runs."""
        return self.prepare(self.preprocess.example(n))

    def trainable_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters with requires_grad, by their name within the network."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def clone(self) -> Model:
        """A deep copy: independent weights, the same values; of activations that the network keeps, their values."""
        return deep_copy(self)

    def head_names(self) -> tuple[str, ...]:
        """Names within the network of the head and of the heads beside it."""
        return (self.card.head, *self.card.other_heads)

    def with_head_for(self, data: TaskData, *, seed: int) -> Model:
        """A clone with a fresh head for the task and the outputs of `data`; errors as `with_new_head`."""
        other = self.with_new_head(data.classes, seed=seed)
        return serving(other, data.card, new_head=True)

    def with_new_head(self, classes: Sequence[str], *, seed: int) -> Model:
        """A clone whose head has len(classes) outputs and fresh weights that depend on `seed` alone.

        The head keeps its type and its input width, and so do heads beside it. Raises ModelError where the head has
        no weights that follow the number of classes, or the network's output does not follow its head.
        """
        names = tuple(str(name) for name in classes)
        if not names:
            raise UsageError("a head needs at least one class")
        other = self.clone()
        for number, head in enumerate(self.head_names()):
            replace_head(other.network, head, len(names), seed=seed + number, have=self.num_classes)
        other.card = self.card.model_copy(
            update={
                "num_classes": len(names),
                "classes": names,
                "parameters": count_parameters(other.network),
            }
        )
        try:
            with undisturbed(other.network):
                outputs = call_network(other.network, other.example(), self.card.output)
                shape = tuple(other.task.arranged(outputs).shape)
        except RuntimeError as error:  # such as heads of two widths, whose outputs cannot be added up
            raise _not_this_head_alone(self.head_name) from error
        if shape[:2] != (2, len(names)) or len(shape) != 2 + other.task.places:
            raise _not_this_head_alone(self.head_name)
        return other


def serving(model: Model, data: DataCard, *, new_head: bool) -> Model:
    """The model, in place, with its card saying of which task it is. `new_head`: its head has fresh weights.

    Raises ModelError where the network's outputs are no values that a task of numbers could have.
    """
    task, given = get_task(data.task), model.card.outputs
    if given in ("probabilities", "sigmoids") and task.new_head_gives != "logits":
        raise ModelError(
            f"{model.card.arch} gives {given}, which lie between 0 and 1: a {task.title} needs a network without them "
            "at its end"
        )
    kept = given if given in ("probabilities", "sigmoids") else "logits"
    model.card = model.card.model_copy(
        update={
            "task": data.task,
            "targets": data.targets,
            "outputs": task.new_head_gives if new_head and kept == "logits" else kept,
        }
    )
    return model


def _not_this_head_alone(head: str) -> ModelError:
    return ModelError(
        f"the network's output does not follow the outputs of its head {shown(head)} alone (there may be another head, "
        "or the number of classes is written into its forward), so no other number of classes can be given to it"
    )


def count_parameters(network: nn.Module) -> int:
    """Number of weights, trainable or not."""
    return sum(p.numel() for p in network.parameters())


def make_model(
    network: nn.Module,
    *,
    arch: str,
    arch_options: dict[str, int | float | str | bool],
    family: str,
    preprocessing: Preprocessing,
    classes: Sequence[str] | None,
    embedding_layer: str | None = None,
    head: str | None = None,
    trained_on: str | None = None,
    trust: Trust | None = None,
    task: str = "classification",
) -> Model:
    """Wrap a network: find its anatomy and write its card. `classes` None: named "0", "1", … by the head's width."""
    draft = ModelCard(
        arch=arch,
        arch_options=arch_options,
        family=family,
        num_classes=len(classes) if classes else 1,
        classes=tuple(classes) if classes else ("0",),
        preprocessing=preprocessing,
        head=head or "",
        embedding_layer=embedding_layer,
        parameters=0,  # counted after the dry run, which gives lazy layers their weights
        has_batch_norm=any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()),
        trained_on=trained_on,
        task=task if get_task(task).places else "classification",
    )
    model = Model(network, draft, trust)
    found = find_anatomy(
        network, model.example(), embedding_layer=embedding_layer, head=head, task=model.task
    )
    names = tuple(classes) if classes else tuple(str(i) for i in range(found.num_classes))
    if len(names) != found.num_classes:
        raise wrong_class_count(arch, found.head, found.num_classes, len(names))
    model.card = draft.model_copy(
        update={
            "head": found.head,
            "other_heads": found.others,
            "output": found.output,
            "num_classes": found.num_classes,
            "classes": names,
            "parameters": count_parameters(network),
        }
    )
    return model


def wrong_class_count(source: str, head: str, have: int, want: int) -> ModelError:
    """The error for a head that has another number of classes than the data or the names that are given."""
    return ModelError(
        f"{source} has a head ({head}) of {have} classes, but the data or names given have {want}; use those that it "
        "was trained on, or give it a new head (option new_head=true with weights, Model.with_new_head in Python)"
    )


def check_fits(model: Model, data: TaskData) -> None:
    """Raise ModelError when samples of `data` cannot be turned into inputs of `model`.

    Kinds must agree. Images are resized and grey ↔ RGB adapted; vectors and series must have the very shape.
    Whether the classes agree is for the caller: other classes are a task shift, not an error.
    """
    plan = model.card.preprocessing
    if data.kind != plan.kind:
        raise ModelError(
            f"the model takes {plan.kind} samples, but {data.card.uri} holds {data.kind} samples of shape "
            f"{tuple(data.shape)}; use data of the kind that the model was made for"
            + (
                ", or say kind=image where these are pictures"
                if plan.kind == "image" and len(data.shape) > 1
                else ""
            )
        )
    ours, theirs = ([(p.name, p.kind, p.shape) for p in parts] for parts in (plan.parts, data.card.parts))
    if ours != theirs:
        sides = [parts_said(parts) or "one input" for parts in (plan.parts, data.card.parts)]
        raise ModelError(
            f"the model takes {sides[0]}, and {data.card.uri} has {sides[1]}: give the same inputs by the same names"
        )
    shape = tuple(data.shape)
    if plan.kind == "image":
        have = shape[0] if len(shape) == 3 else None
        ok = have is not None and (
            plan.channels in (None, have) or have == 1 or (have in (3, 4) and plan.channels in (1, 3))
        )
        if not ok:
            raise ModelError(
                f"the model takes images with {plan.channels} channels, but {data.card.uri} holds samples of "
                f"shape {shape} (channels, height, width), which cannot be adapted"
            )
    elif plan.kind != "text":
        want = (plan.size or ()) if plan.kind == "vector" else (plan.channels, *(plan.size or ()))
        if shape != want:
            raise ModelError(
                f"the model takes {plan.kind} samples of shape {want}, but {data.card.uri} holds samples of "
                f"shape {shape}; bring them to the same columns, channels and length"
            )
    ids = get_task(data.card.task).names_are_numbers
    if plan.kind == "text" and plan.tokenizer is None and not ids:
        raise ModelError(
            "the model has no tokenizer, so it cannot read texts: load it with options tokenizer=FOLDER"
        )
