"""`load_model` and `build_model`: from a spec to a `Model`.

Nothing is unpickled, and no code is imported but that which the user names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError, shown, unknown_name
from foretoll.models.anatomy import find_anatomy
from foretoll.models.bounded import within_weights
from foretoll.models.checkpoint import is_checkpoint, read_card, read_checkpoint
from foretoll.models.copies import in_float32
from foretoll.models.heads import replace_head, replace_heads
from foretoll.models.model import Model, check_fits, make_model, serving, wrong_class_count
from foretoll.models.named import check_no_file, local_path
from foretoll.models.plan import plan_preprocessing, reading_of
from foretoll.models.pretrained import (
    LoadedNetwork,
    ModelRequest,
    build,
    hf_with_weights,
    named,
    with_weights,
)
from foretoll.models.reprogrammed import innermost, model_of, rebuild, with_innermost
from foretoll.models.sizes import enlarged, own_size
from foretoll.models.sources import convention
from foretoll.models.spec import LOADING_OPTIONS, Convention, Spec, family_of, in_memory, parse_spec
from foretoll.models.timm_folder import timm_folder
from foretoll.models.trust import Trust, factory_key
from foretoll.models.untrained import frozen_notes
from foretoll.models.weights import (
    fit_state_dict,
    read_weights,
)
from foretoll.records import ModelCard, Preprocessing
from foretoll.tasks import get_task

if TYPE_CHECKING:
    from foretoll.data import TaskData

RAW_PIXELS = (
    "pixels of 0 … 1, not normalised (trained on normalised ones: add ?mean=…&std=… to the model's name)"
)


def load_model(
    spec: str | Path | nn.Module | Model,
    *,
    data: TaskData | None = None,
    weights: str | Path | None = None,
    classes: Sequence[str] | None = None,
    embedding_layer: str | None = None,
    head: str | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    trust_code: bool = False,
) -> Model:
    """Load a model: a checkpoint folder, an architecture with `weights`, or a module in memory.

    `spec` is a folder written by `save_checkpoint`; ``foretoll:NAME``, ``torchvision:NAME``, ``timm:NAME``,
    ``hf:PATH`` (a folder of transformers, or of timm); ``package.module:function`` (imported because it is named, with
    the current folder importable); an nn.Module (used as it is, with the weights that it has); or a Model (returned
    after `check_fits`).
    `weights` is a .safetensors file, a .pt file (read by weights_only=True), a folder with model.safetensors, or
    the name of weights that torchvision ("DEFAULT", "IMAGENET1K_V2") or timm ("pretrained") publishes, which are
    downloaded. Without weights they are fresh, from `seed`; hf: has its weights in its own folder.
    Code that a file names, such as a checkpoint's factory, is imported only where `spec` is the very same factory
    (the folder is then given as `weights`), or with `trust_code`.
    The classes are `classes`, else those of `data`, else the weights' own.

    Options: those of the architecture, and input_size (a side, or "HxW"), normalise ("data", "imagenet", "none"),
    mean and std (numbers, or text such as "0.5,0.5,0.5"), max_length and tokenizer (for texts), new_head (true:
    take all weights but the head's). Images are normalised as the library's published weights expect; for a
    foretoll architecture, and for a fresh network, with the statistics of data.train; for a module in memory, or
    a function with weights, not at all (images are then in [0, 1]).

    Raises UsageError for an unknown name and ModelError where model, weights and data do not fit together.
    """
    if isinstance(spec, Model):
        if weights is not None or embedding_layer is not None or head is not None:
            raise UsageError(
                "a Model has its weights, head and embedding layer already; load its network to change them"
            )
        if data is not None:
            check_fits(spec, data)
        return spec
    names = tuple(str(c) for c in classes) if classes is not None else _names_of(data)
    pretrained = isinstance(spec, nn.Module) or weights is not None or str(spec).startswith("hf:")
    own_numbers = data is not None and get_task(data.card.task).names_are_numbers
    if classes is None and pretrained and (own_numbers or _are_part(names)):
        names = ()  # the head says how many there are
    given = tuple(str(c) for c in classes) if classes is not None else None
    wanted = ModelRequest(
        data, weights, names or None, embedding_layer, head, seed, named=classes is not None
    )
    if isinstance(spec, nn.Module):
        return _load_module(spec, wanted, dict(options or {}))
    text, path = str(spec), local_path(spec)
    if path.is_dir():
        if options:
            raise UsageError(
                f"a checkpoint folder takes no options (got {', '.join(options)}): they are on its card"
            )
        wanted = replace(wanted, classes=given, trust=Trust(everything=trust_code))
        return _load_checkpoint(path, wanted)
    check_no_file(text, path, is_path=isinstance(spec, Path))
    parsed = parse_spec(text, options)
    wanted = replace(wanted, trust=Trust.of_call(parsed, everything=trust_code))
    if _names_checkpoint(parsed, weights):
        return _load_checkpoint(Path(weights or ""), replace(wanted, weights=None, classes=given))
    folder = timm_folder(parsed)
    if folder is not None:
        wanted = replace(wanted, weights=weights or folder.weights, outputs=() if weights else folder.outputs)
        return _load_sized(folder.spec, wanted, usual=folder.usual)
    return _load_spec(parsed, wanted)


@dataclass(frozen=True)
class Loading:
    """How a model is loaded; the fields as in `load_model`."""

    weights: str | Path | None = None
    embedding_layer: str | None = None
    head: str | None = None
    trust_code: bool = False

    def load(self, model: str | Path | nn.Module | Model, *, data: TaskData | None, seed: int = 0) -> Model:
        """The model, loaded in this way; errors as `load_model`."""
        return load_model(
            model,
            data=data,
            weights=self.weights,
            embedding_layer=self.embedding_layer,
            head=self.head,
            seed=seed,
            trust_code=self.trust_code,
        )


def _names_of(data: TaskData | None) -> tuple[str, ...]:
    return () if data is None else tuple(data.classes)


def _are_part(names: tuple[str, ...]) -> bool:
    """Whether these are numbers with a gap: of a pretrained head's outputs, a part of which the data have."""
    numbers = all(name.isascii() and name.isdecimal() for name in names)
    return numbers and names != tuple(str(i) for i in range(len(names)))


def _names_checkpoint(spec: Spec, weights: str | Path | None) -> bool:
    """Whether the weights are a checkpoint of the factory that the user names: then its card counts as well.

    Raises ModelError where the checkpoint was made by that factory with other options.
    """
    if spec.scheme != "factory" or weights is None or not is_checkpoint(local_path(weights)):
        return False
    inside, _ = innermost(read_card(Path(weights), quiet=True))
    if inside.arch != spec.arch or set(spec.options) & set(LOADING_OPTIONS):
        return False
    made = parse_spec(inside.arch, inside.arch_options)
    if factory_key(made) != factory_key(spec):
        options = "&".join(f"{name}={value}" for name, value in made.build_options.items())
        raise ModelError(
            f"{shown(weights)} was made by {shown(spec.name)} with {shown(options or 'no options')}: name it with the "
            "same options (FACTORY?OPTION=VALUE)"
        )
    return True


def build_model(
    arch: str,
    *,
    data: TaskData,
    seed: int,
    options: Mapping[str, Any] | None = None,
    embedding_layer: str | None = None,
    head: str | None = None,
    trust: Trust | None = None,
) -> Model:
    """A model with fresh weights, from `seed` alone, for the inputs and classes of `data`.

    Preprocessing statistics come from data.train. `embedding_layer`, `head`: as in `load_model`. `trust`: what code
    may be imported where `arch` comes from a file; None: the caller names it. Raises UsageError and ModelError as
    `load_model` does.
    """
    spec = parse_spec(arch, options)
    wanted = ModelRequest(
        data,
        classes=tuple(data.classes) or None,
        embedding_layer=embedding_layer,
        head=head,
        seed=seed,
        trust=Trust.of_call(spec) if trust is None else trust,
    )
    return _load_spec(spec, wanted, fresh=True)


def _load_spec(spec: Spec, wanted: ModelRequest, *, fresh: bool = False) -> Model:
    """The model of a spec; at a library's own image size where its network fails on images as small as the data's."""
    try:
        return _load_sized(spec, wanted, fresh=fresh)
    except ModelError:
        named = "input_size" in spec.options or wanted.weights is not None
        if wanted.data is None or wanted.data.kind != "image" or named:
            raise
        usual = convention(spec, str(wanted.weights) if wanted.weights else None)
        have = (int(wanted.data.shape[1]), int(wanted.data.shape[2]))
        if usual is None or usual.size is None or usual.size <= have:
            raise
        sized = replace(spec, options={**spec.options, "input_size": f"{usual.size[0]}x{usual.size[1]}"})
        with suppress(ModelError):  # then it was not the size, and the first error is the one to show
            return _noted(_load_sized(sized, wanted, fresh=fresh), enlarged(have, usual.size))
        raise


def _noted(model: Model, note: str) -> Model:
    model.card = model.card.model_copy(update={"notes": (*model.card.notes, note)})
    return model


def _load_sized(
    spec: Spec, wanted: ModelRequest, *, fresh: bool = False, usual: Convention | None = None
) -> Model:
    weights, names = wanted.weights, wanted.classes
    if spec.scheme == "hf" and wanted.task != "classification":  # which class of transformers it takes
        spec = replace(spec, options={"task": wanted.task, **spec.options})
    if "new_head" in spec.options and weights is None and (fresh or spec.scheme != "hf"):
        raise UsageError(
            "new_head=true keeps the weights but the head's, so it needs weights (--weights FILE)"
        )
    pretrained = not fresh and (weights is not None or spec.scheme == "hf")
    usual = usual or convention(spec, str(weights) if weights else None)
    plan = plan_preprocessing(spec, usual, wanted.data, pretrained=pretrained)
    if usual is not None and usual.pooling and "pooling" not in spec.options:
        spec = replace(spec, options={**spec.options, "pooling": usual.pooling})
    notes = usual.notes if usual is not None and pretrained else ()
    loaded = LoadedNetwork(nn.Identity(), names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(wanted.seed)
        if spec.scheme == "hf" and pretrained and weights is None:
            loaded = hf_with_weights(spec, plan, wanted)
        else:
            network = build(spec, plan, len(names) if names else None, wanted.trust)
            loaded = LoadedNetwork(network, names)
            if weights is not None:
                loaded = with_weights(network, spec, plan, wanted)
            elif spec.scheme == "factory" and names:  # a function that does not take num_classes
                anatomy = wanted.anatomy(network, plan)
                if anatomy.num_classes != len(names):
                    replace_heads(network, anatomy, len(names), seed=wanted.seed)
    reading = reading_of(plan, str(spec.options.get("pooling", "")), loaded.stored)
    if pretrained and spec.scheme == "factory" and plan.kind == "image" and not plan.mean:
        said = {"mean", "normalise"} & spec.options.keys()  # only who says nothing may have forgotten it
        reading = ", ".join(filter(None, (reading, "" if said else RAW_PIXELS)))
    found = _finish(loaded.network, spec, plan, loaded.classes, wanted, reading, (*notes, *loaded.notes))
    if wanted.data is None:
        return found
    return serving(found, wanted.data.card, new_head=not pretrained or "new_head" in spec.options)


def _finish(
    network: nn.Module,
    spec: Spec,
    plan: Preprocessing,
    names: tuple[str, ...] | None,
    wanted: ModelRequest,
    reading: str = "",
    notes: tuple[str, ...] = (),
) -> Model:
    model = make_model(
        network,
        arch=spec.arch,
        arch_options=spec.build_options,
        family=family_of(spec, network),
        preprocessing=plan,
        classes=names,
        embedding_layer=wanted.embedding_layer,
        head=wanted.head,
        trust=wanted.trust,
        task=wanted.task,
    )
    model.card = model.card.model_copy(update={"reading": reading, "notes": (*notes, *frozen_notes(network))})
    if wanted.data is not None:
        model.card = model.card.model_copy(update={"layout": wanted.data.card.layout})
        check_fits(model, wanted.data)
    return model


def _load_checkpoint(path: Path, wanted: ModelRequest) -> Model:
    inside, _ = innermost(read_card(path, quiet=True))  # what it names is refused before anything else
    if in_memory(inside.arch):
        raise ModelError(
            f"{shown(path)} was saved from a module in memory ({shown(inside.arch.removeprefix('module:'))}), which a "
            "file cannot rebuild: build the module yourself and call load_model(module, weights=FOLDER)"
        )
    wanted.trust.check(parse_spec(inside.arch, inside.arch_options), f"the model card in {shown(path, 60)}")
    card, state = read_checkpoint(path)
    with torch.random.fork_rng(devices=[]), within_weights(state, f"the model card in {shown(path, 60)}"):
        network = rebuild(card, lambda inside: _build_card(inside, path, wanted.trust))
    return _from_card(network, card, read_weights(wanted.weights) if wanted.weights else state, path, wanted)


def _build_card(card: ModelCard, path: Path, trust: Trust) -> nn.Module:
    """The network of a card without a program, its weights fresh."""
    spec = parse_spec(card.arch, card.arch_options)
    return build(
        spec,
        card.preprocessing,
        card.num_classes,
        trust,
        folder=path if spec.scheme == "hf" else None,
        where=f"the model card in {shown(path, 60)}",
    )


def _from_card(
    network: nn.Module, card: ModelCard, state: Mapping[str, Tensor], path: Path, wanted: ModelRequest
) -> Model:
    """The model of a card: its head gets the card's width where the builder could not know it."""
    source = str(wanted.weights or path)
    inside, prefix = innermost(card)
    inner = network.get_submodule(prefix.removesuffix(".")) if prefix else network
    _check_names(card, network, source)
    _widen_heads(inner, inside, state, prefix)
    fit_state_dict(network, state, source=source, head=card.head)
    names = wanted.classes
    if names is not None and len(names) != card.num_classes:
        raise wrong_class_count(source, card.head, card.num_classes, len(names))
    update: dict[str, Any] = {
        "classes": names or card.classes,
        "embedding_layer": wanted.embedding_layer or card.embedding_layer,
        "head": wanted.head or card.head,
    }
    update["notes"] = tuple(dict.fromkeys((*card.notes, *frozen_notes(network))))
    model = model_of(network, card.model_copy(update=update), wanted.trust)
    if wanted.embedding_layer or wanted.head:  # names that the caller gives are tried out
        found = find_anatomy(
            network,
            model.example(),
            embedding_layer=model.embedding_name,
            head=model.head_name,
            task=model.task,
        )
        model.card = model.card.model_copy(update={"head": found.head, "output": found.output or card.output})
    if wanted.data is not None:
        check_fits(model, wanted.data)
    return model


def _check_names(card: ModelCard, network: nn.Module, source: str) -> None:
    """Raise ModelError where a card names layers that its network has not."""
    names = {name for name, _ in network.named_modules()}
    for name in (card.head, *card.other_heads, card.embedding_layer):
        if name is not None and name not in names:
            raise ModelError(
                f"the model card of {shown(source)} names the layer {shown(name, 40)}, which its network has not; save "
                "the model again"
            )


def _widen_heads(network: nn.Module, card: ModelCard, state: Mapping[str, Tensor], prefix: str) -> None:
    """Give heads that were built for another number of classes the width of the stored ones."""
    modules = dict(network.named_modules())
    for head in (card.head, *card.other_heads):
        inside = modules[head].state_dict() if head in modules else {}
        for key, value in inside.items():
            stored = state.get(f"{prefix}{head}.{key}", value)
            sides = zip(value.shape, stored.shape, strict=False)
            have = next((a for a, b in sides if a != b and b == card.num_classes), None)
            if have is not None:
                replace_head(network, head, card.num_classes, seed=0, have=have)
                break


def _load_module(module: nn.Module, wanted: ModelRequest, options: dict[str, Any]) -> Model:
    for name in options:
        if name not in LOADING_OPTIONS:
            raise UsageError(unknown_name("option for a module in memory", name, LOADING_OPTIONS))
    network, stored = in_float32(named(module))
    own_network = network
    weights, data = wanted.weights, wanted.data
    if weights is not None and is_checkpoint(Path(weights)):
        card, state = read_checkpoint(Path(weights))
        # the module is what was handed in, whatever the file says that it is: nothing else is ever built from it
        own_arch = {"arch": _module_arch(module), "arch_options": {}}
        card = with_innermost(card, innermost(card)[0].model_copy(update=own_arch))
        names = (
            None
            if wanted.data is not None and wanted.classes == tuple(wanted.data.classes)
            else wanted.classes
        )
        own = ModelRequest(data, weights, names, wanted.embedding_layer, wanted.head)
        if card.program is not None:
            with within_weights(state, f"the model card in {shown(weights, 60)}"):
                network = rebuild(card, lambda _inside: own_network)
        return _from_card(network, card, state, Path(weights), own)
    if data is None:
        raise UsageError(
            "a module in memory needs data (load_model(module, data=…)), to know what its inputs are"
        )
    spec = Spec("module", _module_arch(module).removeprefix("module:"), options)
    plan = plan_preprocessing(spec, _module_convention(network, data), data, pretrained=True)
    if weights is not None:
        loaded = with_weights(network, spec, plan, wanted)
        network, stored = loaded.network, loaded.stored
    reading = reading_of(plan, stored=stored)
    try:
        return serving(
            _finish(network, spec, plan, wanted.classes, wanted, reading), data.card, new_head=False
        )
    except ModelError:
        size = own_size(network)
        if data.kind != "image" or "input_size" in options or size is None or size == plan.size:
            raise
        have = (int(data.shape[1]), int(data.shape[2]))
        with suppress(ModelError):  # then it was not the size, and the first error is the one to show
            resized = plan.model_copy(update={"size": size})
            found = _finish(network, spec, resized, wanted.classes, wanted, reading)
            return serving(_noted(found, enlarged(have, size)), data.card, new_head=False)
        raise


def _module_arch(module: nn.Module) -> str:
    return f"module:{type(module).__module__}.{type(module).__qualname__}"


def _module_convention(network: nn.Module, data: TaskData) -> Convention | None:
    """A module in memory takes the data as they are, but with the channels that its first convolution wants."""
    if data.kind != "image" or len(data.shape) != 3:
        return None
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    channels = data.shape[0] if first is None else first.in_channels
    return Convention("image", channels, (data.shape[1], data.shape[2]), (), ())
