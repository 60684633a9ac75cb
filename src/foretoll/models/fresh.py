"""The same architecture with fresh weights: where training from scratch starts."""

from __future__ import annotations

import copy
import itertools
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from foretoll.errors import ModelError, shown
from foretoll.models.heads import resets_itself
from foretoll.models.hf import hf_network
from foretoll.models.loading import build_model
from foretoll.models.model import Model, check_fits, make_model, serving
from foretoll.models.plan import as_seen_by, input_shape
from foretoll.models.preprocess import channel_statistics, make_preprocess
from foretoll.models.reprogrammed import unwrapped
from foretoll.models.spec import SCHEMES, in_memory, parse_spec
from foretoll.models.untrained import constants, thaw_fresh_layers, without_loaded_weights

if TYPE_CHECKING:
    from foretoll.data import TaskData
    from foretoll.records import ModelCard

LIBRARIES = tuple(f"{scheme}:" for scheme in SCHEMES)  # whose builders never load weights of themselves
# What transformers call the learned tokens and positions that they start from small normal noise.
TOKENS = re.compile(r"(token|pos(ition(al)?)?_?emb(ed(ding)?)?|position_bias(_table)?)s?$", re.IGNORECASE)
_ORIGIN = ("trained_on", "run_id", "parent_run_id", "weights_digest", "parent_weights_digest")


def fresh_copy(model: Model, data: TaskData, *, seed: int) -> Model:
    """A model of the same architecture for the inputs and classes of `data`, its weights from `seed` alone.

    Of a reprogrammed model it is the source's architecture, without the program.

    A module in memory cannot be built again (but those of transformers, from their configuration): a copy of it is
    initialised anew by its layers' own `reset_parameters`, `_reset_parameters` or `init_weights`; class tokens and
    position embeddings by normal noise of standard deviation 0.02. Weights behind a parametrisation (weight or
    spectral normalisation) get the values that it makes of a fresh layer's. Raises ModelError where it has weights
    that nothing of these initialises.
    """
    model = unwrapped(model)
    card = model.card
    if not in_memory(card.arch):
        if card.arch.startswith("hf:"):
            return _fresh_transformer(model, data, seed=seed)
        options = dict(card.arch_options)
        if (
            card.preprocessing.kind == "image" and card.preprocessing.size is not None
        ):  # the same work per sample
            options["input_size"] = "x".join(str(side) for side in card.preprocessing.size)
        build = partial(
            build_model,
            card.arch,
            data=data,
            options=options,
            embedding_layer=card.embedding_layer,
            head=card.head,
            trust=model.trust,
        )
        fresh = build(seed=seed)
        plan = as_seen_by(fresh.card.preprocessing, card.preprocessing)
        fresh.card = fresh.card.model_copy(
            update={"preprocessing": plan, "outputs": _outputs_of(fresh, card)}
        )
        fresh.preprocess = make_preprocess(plan)
        if not card.arch.startswith(LIBRARIES):
            # a user's factory may load weights itself: what another seed does not change was not drawn
            other = build(seed=seed + 1)
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                without_loaded_weights(fresh.network, other.network, card.arch, TOKENS)
        thaw_fresh_layers(fresh.network)
        return fresh.to(model.device)
    same = (card.classes, card.task) == (data.classes, data.card.task)
    fresh = model.clone() if same else model.with_head_for(data, seed=seed)
    serving(fresh, data.card, new_head=True)  # all its weights are fresh
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        built = _from_configuration(fresh.network)
        if built is None:
            _initialise(fresh.network)
        else:
            fresh.network = built.to(model.device)
    thaw_fresh_layers(fresh.network)
    fresh.card = fresh.card.model_copy(update=dict.fromkeys(_ORIGIN))
    return fresh


def _outputs_of(fresh: Model, card: ModelCard) -> str:
    """What the fresh network gives: probabilities where the old one of the same architecture does."""
    standardised = "standardised" in (fresh.card.outputs, card.outputs)
    return fresh.card.outputs if standardised else card.outputs


def _from_configuration(network: nn.Module) -> nn.Module | None:
    """A transformers network of the same class and configuration, its weights from torch's generator; else None."""
    transformers = sys.modules.get("transformers")  # a network of it is there only where it was imported
    if transformers is None or not isinstance(network, transformers.PreTrainedModel):
        return None
    try:
        built: nn.Module = type(network)(copy.deepcopy(network.config))
    except Exception:  # noqa: BLE001  (a class of the user's own: its layers are initialised one by one)
        return None
    shapes = [{name: p.shape for name, p in n.named_parameters()} for n in (network, built)]
    return built.train(network.training) if shapes[0] == shapes[1] else None


@torch.no_grad()
def _initialise(network: nn.Module) -> None:
    """Give every weight of a network a fresh value from torch's generator.

    All are NaN at first, so that what nothing initialises is seen, however the layers write their values.
    """
    put_on = _without_hooks(network)
    twins = {id(m): _plain_twin(m) for m in network.modules() if parametrize.is_parametrized(m)}
    kept = constants(network)
    for parameter in itertools.chain(network.parameters(), *(twin.parameters() for twin in twins.values())):
        if parameter.is_floating_point() and id(parameter) not in kept:
            parameter.fill_(torch.nan)
    for module in network.modules():
        _reset(twins.get(id(module), module), "reset_parameters")
        if id(module) in twins:
            _take_over(module, twins[id(module)])
    for method in ("_reset_parameters", "init_weights"):
        for module in network.modules():
            if any(bool(p.isnan().any()) for p in module.parameters(recurse=False)):
                _reset(module, method)
    left = [name for name, parameter in network.named_parameters() if bool(parameter.isnan().any())]
    for name in filter(TOKENS.search, left):
        nn.init.trunc_normal_(network.get_parameter(name), std=0.02)
    left = [name for name in left if not TOKENS.search(name)]
    if left:
        raise ModelError(
            f"the module in memory cannot be trained from scratch: {', '.join(shown(n, 50) for n in left[:3])} "
            f"{'has' if len(left) == 1 else 'have'} no layer that initialises "
            f"{'it' if len(left) == 1 else 'them'}; give its factory instead (package.module:function)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's older form of weight normalisation
        for again in put_on:
            again()


def _reset(module: nn.Module, method: str) -> None:
    reset = resets_itself(module, method)
    if reset is None:
        return
    try:
        reset()
    except Exception as error:  # code of the user's own
        raise ModelError(
            f"the module in memory cannot be trained from scratch: {type(module).__name__}.{method} fails "
            f"({shown(error, 80)}); give its factory instead (package.module:function)"
        ) from error


def _without_hooks(network: nn.Module) -> list[Callable[[], Any]]:
    """Take the older weight and spectral normalisation off, in place; what puts each of them on again."""
    again: list[Callable[[], Any]] = []
    for module in list(network.modules()):
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                nn.utils.remove_weight_norm(module, hook.name)
                again.append(partial(nn.utils.weight_norm, module, hook.name, hook.dim))
            elif isinstance(hook, SpectralNorm):
                nn.utils.remove_spectral_norm(module, hook.name)
                settings = (hook.n_power_iterations, hook.eps, hook.dim)
                again.append(partial(nn.utils.spectral_norm, module, hook.name, *settings))
    return again


def _plain_twin(module: nn.Module) -> nn.Module:
    """The layer without its parametrisations, sharing what they do not concern.

    They are not taken off: that changes the layer's class, which copies share with the user's own module.
    """
    kind: Any = parametrize.type_before_parametrizations(module)
    twin: nn.Module = kind.__new__(kind)
    tensors = {name: nn.Parameter(getattr(module, name).detach().clone()) for name, _ in _listed(module)}
    inside = {name: child for name, child in module._modules.items() if name != "parametrizations"}
    twin.__dict__.update(
        vars(module) | {"_parameters": {**module._parameters, **tensors}, "_modules": inside}
    )
    return twin


def _take_over(module: nn.Module, twin: nn.Module) -> None:
    """Give the parametrised tensors of a layer the values of its twin, where they can be had."""
    for name, listed in _listed(module):
        value = getattr(twin, name).detach()
        if bool(value.isnan().any()):
            continue
        with suppress(
            NotImplementedError, RuntimeError, ValueError
        ):  # it has no inverse, or not for this value
            listed.right_inverse(value)
            for kind in listed:
                if isinstance(kind, parametrizations._SpectralNorm) and hasattr(kind, "_u"):
                    for vector in (kind._u, kind._v):
                        vector.copy_(F.normalize(torch.randn_like(vector), dim=0, eps=kind.eps))
                    kind._power_method(kind._reshape_weight_to_matrix(value), 15)  # as it does at first


def _listed(module: nn.Module) -> list[tuple[str, Any]]:
    """The parametrised tensors of a layer, by name, each with its list of parametrisations."""
    every: Any = module.parametrizations
    return list(every.items())


def _fresh_transformer(model: Model, data: TaskData, *, seed: int) -> Model:
    """From the configuration in memory: the name on a card may be a folder that is gone, or a stranger's choice."""
    check_fits(model, data)
    card, plan = model.card, model.card.preprocessing
    if plan.kind == "image":
        mean, std = channel_statistics(data.train, channels=plan.channels, name=shown(data.card.uri, 60))
        plan = plan.model_copy(update={"mean": mean, "std": std})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = hf_network(
            parse_spec(card.arch, card.arch_options),
            plan.kind,
            input_shape(plan),
            len(data.classes),
            config=getattr(model.network, "config", None),
        )
    fresh = make_model(
        network,
        arch=card.arch,
        arch_options=card.arch_options,
        family=card.family,
        preprocessing=plan,
        classes=tuple(data.classes),
        trust=model.trust,
        task=data.card.task,
    )
    return serving(fresh, data.card, new_head=True).to(model.device)
