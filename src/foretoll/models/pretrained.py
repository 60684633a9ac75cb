"""Networks with weights from a file, a library or a folder, and what those say of their classes and precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, shown
from foretoll.models.anatomy import LAYERS, Anatomy, find_anatomy
from foretoll.models.bounded import within_folder, within_memory
from foretoll.models.copies import in_float32
from foretoll.models.heads import replace_heads
from foretoll.models.hf import hf_class_names, hf_folder, hf_pretrained, stored_precision
from foretoll.models.hf_texts import LIBRARY
from foretoll.models.libraries import published_weights, timm_renamed
from foretoll.models.model import wrong_class_count
from foretoll.models.named import local_path
from foretoll.models.own_classes import (
    ONE_OUTPUT,
    in_order,
    keep_rows,
    named_outputs,
    one_output_note,
    published_names,
    rows_of,
    synonyms,
    take_rows,
)
from foretoll.models.plan import input_shape
from foretoll.models.preprocess import make_preprocess
from foretoll.models.sources import build_network
from foretoll.models.spec import Spec
from foretoll.models.trust import Trust
from foretoll.models.weights import (
    fit_state_dict,
    head_classes,
    precision_of,
    read_weights,
    strip_prefixes,
)
from foretoll.records import Preprocessing
from foretoll.tasks import get_task
from foretoll.tasks.language import vocabulary

if TYPE_CHECKING:
    from foretoll.data import TaskData


@dataclass(frozen=True)
class ModelRequest:
    """What the caller asks for, whatever the source of the model."""

    data: TaskData | None = None
    weights: str | Path | None = None
    classes: tuple[str, ...] | None = None  # None: the model's own
    embedding_layer: str | None = None
    head: str | None = None
    seed: int = 0
    trust: Trust = field(default_factory=Trust)
    outputs: tuple[str, ...] = ()  # what the folder of the weights calls them, in order
    named: bool = False  # whether the caller names the classes, output by output; else they are the data's

    @property
    def task(self) -> str:
        """The task of the data, as far as it decides what a network must give: else classification."""
        named = "classification" if self.data is None else self.data.card.task
        return named if get_task(named).places else "classification"

    def anatomy(self, network: nn.Module, plan: Preprocessing) -> Anatomy:
        """Head and embedding of a network that is not yet a Model."""
        preprocess = make_preprocess(plan)
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        example: Any = preprocess.example(2)
        example = preprocess.to(device)(example.to(device) if isinstance(example, Tensor) else example)
        return find_anatomy(
            network, example, embedding_layer=self.embedding_layer, head=self.head, task=get_task(self.task)
        )


def build(
    spec: Spec,
    plan: Preprocessing,
    num_classes: int | None,
    trust: Trust,
    *,
    folder: Path | None = None,
    where: str = "the model",
) -> nn.Module:
    """A network with fresh weights for inputs as the plan prepares them; `trust`: what code may be imported."""
    with within_memory(shown(spec.arch)):
        network = build_network(
            spec,
            shape=input_shape(plan),
            num_classes=num_classes,
            kind=plan.kind,
            config_folder=folder,
            trust=trust,
            where=where,
        )
    return named(in_float32(network)[0])  # a function of the user's own may build it in half precision


def named(network: nn.Module) -> nn.Module:
    """A bare layer becomes a Sequential of one, so that its head has a name and can be replaced."""
    return nn.Sequential(network) if isinstance(network, LAYERS) else network


@dataclass(frozen=True)
class LoadedNetwork:
    """A network with weights, and what its file or folder says of them."""

    network: nn.Module
    classes: tuple[str, ...] | None
    stored: str = ""  # the precision that the weights are stored in
    notes: tuple[str, ...] = ()


def with_weights(network: nn.Module, spec: Spec, plan: Preprocessing, wanted: ModelRequest) -> LoadedNetwork:
    """The network with weights from a file; without class names, as many classes as the file's head has."""
    weights, names = str(wanted.weights), wanted.classes
    state = None if local_path(weights).exists() else published_weights(spec, weights)
    state = strip_prefixes(state or read_weights(weights), list(network.state_dict()))
    stored = precision_of(state)
    anatomy = wanted.anatomy(network, plan)
    have = head_classes(state, anatomy.head)
    notes: tuple[str, ...] = ()
    if names is None and have not in (None, anatomy.num_classes):
        network = build(spec, plan, have, wanted.trust)
    new_head = bool(spec.options.get("new_head", False))
    own = wanted.outputs if len(wanted.outputs) == have and not new_head else ()
    if names is None:
        names = own or None
    elif (
        have is not None and not new_head and not anatomy.others and not (wanted.named and len(names) == have)
    ):
        outputs = synonyms(own) if own else published_names(spec, have)
        rows = rows_of(outputs, names) if outputs is not None else None
        if rows is not None:
            rows, names = in_order(rows, names)
            state = take_rows(state, anatomy.head, rows, have)
        elif have == 1 and len(names) == 2:
            state, notes = take_rows(state, anatomy.head, ONE_OUTPUT, have), (one_output_note(names),)
        elif len(own) == len(names):
            names = own
    try:
        fit_state_dict(network, state, source=weights, head=anatomy.head, new_head=new_head)
    except ModelError:
        renamed = (
            timm_renamed(spec, state, anatomy.num_classes) if spec.scheme == "timm" and have is None else None
        )
        if renamed is None:
            raise
        fit_state_dict(network, renamed, source=weights, head=anatomy.head, new_head=new_head)
    return LoadedNetwork(network, names, stored, notes)


def hf_with_weights(spec: Spec, plan: Preprocessing, wanted: ModelRequest) -> LoadedNetwork:
    """The network of a transformers folder, with the outputs for the wanted classes where it names them."""
    names = wanted.classes
    new_head = bool(spec.options.get("new_head", False))
    with within_folder(Path(hf_folder(spec.name)[0]), shown(spec.arch)):
        network, absent = hf_pretrained(
            spec.name,
            kind=plan.kind,
            num_classes=len(names) if names and new_head else None,
            pooling=str(spec.options.get("pooling", LIBRARY)),
            task=str(spec.options.get("task", "")),
        )
    stored = stored_precision(spec.name)
    anatomy = wanted.anatomy(network, plan)
    # a backbone is saved without its head, which may have more layers than the last (dense, out_proj; a pooler)
    top = anatomy.head.partition(".")[0]
    others = [n for n in absent if not n.startswith(f"{top}.") and "pooler." not in n]
    if others:
        raise ModelError(
            f"{shown(spec.arch)} has no weights for {len(others)} tensors ({shown(others[0])}, …); it was saved from "
            "another kind of model"
        )
    if absent or new_head:
        if names is None:
            raise ModelError(
                f"{shown(spec.arch)} needs a new head; name the classes, or give data, to make one"
            )
        replace_heads(network, anatomy, len(names), seed=wanted.seed)
        return LoadedNetwork(network, names, stored)
    have = anatomy.num_classes
    if get_task(wanted.task).names_are_numbers:
        return LoadedNetwork(network, vocabulary(have), stored)
    own = named_outputs(getattr(network.config, "id2label", None), have)
    if wanted.named and names is not None and len(names) == have:
        return LoadedNetwork(network, names, stored)  # the caller names the outputs
    rows = rows_of(synonyms(own), names) if own and names and not anatomy.others else None
    if rows is not None and names is not None:
        rows, names = in_order(rows, names)
        if len(rows) < have:
            keep_rows(network, anatomy.head, rows, have)
        return LoadedNetwork(network, names, stored)
    if names is not None and have == 1 and len(names) == 2:
        keep_rows(network, anatomy.head, ONE_OUTPUT, have)
        return LoadedNetwork(network, names, stored, (one_output_note(names),))
    if names is not None and len(names) != have:
        raise wrong_class_count(spec.arch, anatomy.head, have, len(names))
    return LoadedNetwork(network, own or names or hf_class_names(network, have), stored)
