"""How the option `lora` trains: low-rank adapters beside the backbone's layers, merged into them at the end.

Source: LoRA (Hu et al. 2022, arXiv 2106.09685), by the library `peft`. A layer's weight W becomes W + B·A, B·A of rank
8 or less; A and B are trained, W is frozen, and the head is trained in full. Batch-norm statistics follow the
target, as in finetune. After the training B·A is added to W: the model that is served is the plain architecture, and
costs what it did before.

Layers that get no adapter, because peft cannot adapt or merge them (0.21; its convolutional adapter knows neither
groups, dilation nor padding modes), or because an adapter there would not be seen:

1. grouped and depthwise convolutions: the adapter cannot be merged
2. dilated convolutions, and those padded with anything but zeros: the adapter would be another convolution
3. subclasses of the plain layers (weight-standardised convolutions and the like): what they do to W is not done to B·A
4. layers inside torch's MultiheadAttention and TransformerEncoderLayer: torch reads their weights past the adapter
5. layers that a forward pass does not call, or that are used under two names
6. layers that the user froze (requires_grad=False)
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from foretoll.errors import MissingExtraError, ModelError
from foretoll.models.anatomy import CONV, LAYERS, call_network, undisturbed
from foretoll.options.base import Training
from foretoll.options.head import head_parameters

if TYPE_CHECKING:
    from foretoll.data import Split
    from foretoll.models import Model

PAST_ADAPTERS = (nn.MultiheadAttention, nn.TransformerEncoderLayer)


class LoraTraining(Training):
    """The adapters are in place from the start, and add nothing at first (B = 0)."""

    continues: ClassVar[bool] = True

    def __init__(
        self, model: Model, train: Split, validation: Split, *, ranks: dict[str, int], seed: int
    ) -> None:
        heads = {name: p for name, p in head_parameters(model).items() if p.requires_grad}
        _inject(model, ranks, seed=seed)
        for parameter in heads.values():  # peft freezes whatever is no adapter
            parameter.requires_grad_(True)
        adapters = {name: p for name, p in model.network.named_parameters() if ".lora_" in f".{name}"}
        super().__init__(model, train, validation, adapters | heads)

    def finish(self) -> Model:
        """Merge the adapters into their layers; the network has its own modules and names again."""
        network = self.model.network
        seen: dict[str, tuple[Tensor, Tensor]] = {}  # of each layer, the last input and output
        handles = [
            layer.register_forward_hook(_noting(seen, name)) for name, layer in _adapters(network).items()
        ]
        try:
            before = _outputs(network, self.model.example(), self.model.card.output)
        finally:
            for handle in handles:
                handle.remove()
        for name, layer in _adapters(network).items():
            layer.merge(safe_merge=True)
            network.set_submodule(name, layer.get_base_layer())
        if hasattr(network, "peft_config"):
            del network.peft_config
        after = _outputs(network, self.model.example(), self.model.card.output)
        scale = max(float(before.abs().max()), 1.0)
        if not torch.allclose(
            before, after, rtol=1e-2, atol=1e-2 * scale, equal_nan=True
        ) and not _layers_agree(network, seen):  # a network may blow up what single layers round
            raise ModelError(
                f"the adapters of {self.model.card.arch} cannot be merged (outputs differ by "
                f"{float((before - after).abs().max()):.2g}); use partial or finetune"
            )
        return self.model


def _noting(seen: dict[str, tuple[Tensor, Tensor]], name: str) -> Callable[..., None]:
    def hook(_layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        seen[name] = (args[0].detach().clone(), output.detach().clone())

    return hook


@torch.no_grad()
def _layers_agree(network: nn.Module, seen: dict[str, tuple[Tensor, Tensor]]) -> bool:
    """Whether each merged layer gives what it gave with its adapter beside it."""
    found = [(network.get_submodule(name)(given), output) for name, (given, output) in seen.items()]
    return all(
        torch.allclose(now, then, rtol=1e-3, atol=1e-3 * max(float(then.abs().max()), 1e-6), equal_nan=True)
        for now, then in found
    )


def adaptable(model: Model, rank: int) -> dict[str, int]:
    """The backbone's layers that get an adapter, in the order of the network, with the adapter's rank.

    The rank is at most half of the smaller side of the layer's weight matrix (out × inputs per position), so that
    the adapter has fewer numbers than the layer; a layer with a side of one gets none.
    """
    network, heads = model.network, model.head_names()
    past = [name for name, m in network.named_modules() if isinstance(m, PAST_ADAPTERS)]
    names: dict[int, list[str]] = {}
    for name, module in network.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
    called = set(_called(model))
    found: dict[str, int] = {}
    for name, module in network.named_modules():
        if (
            not (type(module) in LAYERS or _is_transposed(module))
            or not _plain(module)
            or id(module) not in called
            or not module.weight.requires_grad  # frozen by the user: an adapter would be merged into it
        ):
            continue
        if len(names[id(module)]) > 1 or any(_within(name, above) for above in (*heads, *past)):
            continue
        out, inputs = module.weight.shape[0], math.prod(module.weight.shape[1:])  # transposed or not
        fitting = min(rank, min(out, inputs) // 2)
        if fitting > 0:
            found[name] = fitting
    return found


def _is_transposed(module: nn.Module) -> bool:
    """transformers' Conv1D (GPT-2): a linear layer whose weight is (inputs, out), which peft knows."""
    return type(module).__module__ == "transformers.pytorch_utils" and type(module).__name__ == "Conv1D"


def _plain(module: nn.Module) -> bool:
    if not isinstance(module, CONV):
        return True
    undilated = all(step == 1 for step in module.dilation)
    return module.groups == 1 and module.padding_mode == "zeros" and undilated


def _within(name: str, above: str) -> bool:
    return name == above or name.startswith(f"{above}.")


def _called(model: Model) -> list[int]:
    """Ids of the modules that a forward pass calls."""
    seen: list[int] = []
    handles = [
        module.register_forward_pre_hook(lambda m, _args: seen.append(id(m)))
        for module in model.network.modules()
    ]
    try:
        _outputs(model.network, model.example(), model.card.output)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _inject(model: Model, ranks: dict[str, int], *, seed: int) -> None:
    lora_config, inject = import_peft()
    # peft takes the first pattern that ends a layer's name: the longest first, so that "1" is not taken for "body.1"
    pattern = dict(sorted(ranks.items(), key=lambda item: -len(item[0])))
    config = lora_config(
        target_modules="|".join(re.escape(name) for name in ranks),
        r=(rank := max(ranks.values())),
        lora_alpha=rank,  # with alpha = r everywhere, W + B·A has no further factor
        rank_pattern=pattern,
        alpha_pattern=pattern,
        lora_dropout=0.0,
    )
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of configurations that a module of one's own does not have
        torch.manual_seed(seed)
        inject(config, model.network)
    adapters = _adapters(model.network)
    for layer in adapters.values():
        _show_settings(layer)
    made = {name: layer.r["default"] for name, layer in adapters.items()}
    if made != ranks:
        raise ModelError(
            f"peft adapted {len(made)} layers of {model.card.arch} where {len(ranks)} were asked for: install the "
            'version that foretoll is tested with (pip install "foretoll[peft]"), or use partial or finetune'
        )


def _show_settings(layer: Any) -> None:
    """Let a network read the settings of its layer (a convolution's stride, say) at the adapter around it."""
    for name, value in vars(layer.get_base_layer()).items():
        if not name.startswith("_") and not hasattr(layer, name):
            setattr(layer, name, value)


def _adapters(network: nn.Module) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: m for name, m in network.named_modules() if isinstance(m, LoraLayer)}


def import_peft() -> tuple[Any, Any]:
    """Its configuration and its way to put adapters in; MissingExtraError where it is not installed."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("the option lora", "peft") from error
    return LoraConfig, inject_adapter_in_model


def _outputs(network: nn.Module, example: Tensor | dict[str, Tensor], output: str | None) -> Tensor:
    with undisturbed(network):
        return call_network(network, example, output).float()
