"""Models with an input program before a source and an output mapping behind it, as checkpoints to go on from.

The network is a `ReprogrammedNetwork`; the card's `program` says what to build, and holds the source's own card. A
model that is not being reprogrammed is released: its source is no longer frozen, and an option trains of it what it
says. So `finetune` trains all weights, the program's included; a new head is a new head of the source, with the
identity as mapping; `scratch` builds the source's architecture without the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from foretoll.errors import ModelError, UsageError
from foretoll.models.model import Model, count_parameters
from foretoll.models.trust import Trust
from foretoll.records import ModelCard, Preprocessing, ProgramCard
from foretoll.reprogram import (
    Augment,
    Identity,
    InputProgram,
    OutputMapping,
    ReprogrammedNetwork,
    make_mapping,
    make_program,
)

AUGMENT = {"flip": 0.0}  # digits and traffic signs do not survive a mirror; a small shift keeps every label


class ReprogrammedModel(Model):
    """A model between an input program and an output mapping, or one that was made so and is trained on."""

    def with_new_head(self, classes: Sequence[str], *, seed: int) -> Model:
        """A clone whose source has a new head; the mapping becomes the identity, the program stays."""
        other = self.clone()
        network = reprogrammed_network(other)
        names = tuple(str(name) for name in classes)
        inner = unwrapped(other).with_new_head(names, seed=seed)
        return release(wrap(inner, network.program, Identity(len(names), len(names)), classes=names))


def model_of(network: nn.Module, card: ModelCard, trust: Trust | None = None) -> Model:
    """The model of a card: with a program before it, or without."""
    return (Model if card.program is None else ReprogrammedModel)(network, card, trust)


def wrap(
    model: Model,
    program: InputProgram,
    mapping: OutputMapping,
    *,
    classes: Sequence[str],
    train_head: bool = False,
) -> Model:
    """`model` between a program and a mapping, frozen; its network is shared. With `train_head` but for its head.

    What comes in is brought to the size that the program was made for, and normalised behind the program as the
    source was trained.
    """
    card, plan = model.card, model.card.preprocessing
    network = _network(model.network, program, mapping, plan)
    if train_head:
        network.head_name = card.head
    network.to(model.device)
    new = card.model_copy(
        update={
            "num_classes": len(classes),
            "classes": tuple(classes),
            "preprocessing": plan.model_copy(
                update={"mean": (), "std": (), "size": _input_size(program, plan)}
            ),
            "head": f"source.{card.head}",
            "other_heads": tuple(f"source.{name}" for name in card.other_heads),
            "embedding_layer": card.embedding_layer and f"source.{card.embedding_layer}",
            "parameters": count_parameters(network),
            "has_batch_norm": any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()),
            "program": ProgramCard(
                program=program.name,
                program_options=program.options,
                mapping=mapping.name,
                mapping_options=mapping.options,
                source=card,
            ),
        }
    )
    return ReprogrammedModel(network, new, model.trust)


def reprogrammed_network(model: Model) -> ReprogrammedNetwork:
    """The network of a reprogrammed model; ModelError for another."""
    if model.card.program is None or not isinstance(model.network, ReprogrammedNetwork):
        raise ModelError("the model is not reprogrammed; make it with the option reprogram")
    return model.network


def unwrapped(model: Model) -> Model:
    """The source of a reprogrammed model, sharing its weights; any other model as it is."""
    if model.card.program is None:
        return model
    return model_of(reprogrammed_network(model).source, model.card.program.source, model.trust)


def release(model: Model) -> Model:
    """End the freeze of a reprogrammed model, in place: all of it can be trained; returns it."""
    network = reprogrammed_network(model)
    network.head_name = None
    network.release()
    return model


def rebuild(card: ModelCard, build: Callable[[ModelCard], nn.Module]) -> nn.Module:
    """The network of a card, its weights fresh; `build` builds what has no program. Nothing but names is executed.

    Raises ModelError where the card describes no program or mapping that exists.
    """
    described = card.program
    if described is None:
        return build(card)
    source = rebuild(described.source, build)
    try:
        program = make_program(described.program, **described.program_options)
        mapping = make_mapping(
            described.mapping, described.source.num_classes, card.num_classes, **described.mapping_options
        )
    except UsageError as error:
        raise ModelError(
            f"the model's card describes no program or mapping that can be built: {error}"
        ) from error
    return _network(source, program, mapping, described.source.preprocessing).release()


def innermost(card: ModelCard) -> tuple[ModelCard, str]:
    """The card behind all programs, and the name of its network within the outermost one ("source.", or empty)."""
    prefix = ""
    while card.program is not None:
        card, prefix = card.program.source, f"{prefix}source."
    return card, prefix


def with_innermost(card: ModelCard, inside: ModelCard) -> ModelCard:
    """The card with another one behind all its programs."""
    if card.program is None:
        return inside
    source = with_innermost(card.program.source, inside)
    return card.model_copy(update={"program": card.program.model_copy(update={"source": source})})


def _network(
    source: nn.Module, program: InputProgram, mapping: OutputMapping, plan: Preprocessing
) -> ReprogrammedNetwork:
    return ReprogrammedNetwork(
        source,
        program,
        mapping,
        mean=plan.mean,
        std=tuple(value if value > 0 else 1.0 for value in plan.std),  # as the source's preprocessing does
        num_classes=mapping.num_classes,
        augment=Augment(**AUGMENT),
    ).train(source.training)


def _input_size(program: InputProgram, plan: Preprocessing) -> tuple[int, ...] | None:
    """The size that a stored sample is brought to: a frame's opening, else the source's own input."""
    inner: Any = program.options.get("inner")
    return tuple(int(side) for side in inner) if inner is not None else plan.size


def fresh_program(name: str, options: dict[str, Any], *, seed: int) -> InputProgram:
    """A program whose random initial values depend on `seed` alone; torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_program(name, **options)


def fresh_mapping(name: str, source_classes: int, num_classes: int, *, seed: int) -> OutputMapping:
    """A mapping whose random initial values depend on `seed` alone; torch's own generator is left alone."""
    options = {"seed": seed} if name == "random" else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_mapping(name, source_classes, num_classes, **options)
