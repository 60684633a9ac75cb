"""How the option `partial` trains: the last part of the network; what comes before stays frozen, in evaluation mode.

The rule. The modules that own weights are put in the order in which a forward pass first reaches them (a layer that
torch calls past its module, as inside MultiheadAttention, counts with the module around it). The last quarter of
them, rounded up, is trained, and in any case the head and the last convolution or linear layer before it, with
what lies between (its normalisation). Weights of the network itself (position embeddings, class tokens) come first,
so they stay frozen. No gradient is computed for the frozen part, since none of its inputs needs one; its batch-norm
statistics and dropout are those of evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import nn

from foretoll.models.anatomy import call_network, layer_width, undisturbed
from foretoll.options.base import Training

if TYPE_CHECKING:
    from foretoll.data import Split
    from foretoll.models import Model

SHARE = 4  # a quarter of the modules that own weights


@dataclass(frozen=True)
class Cut:
    """The trained end of a network: parameters by name, the modules that are in training mode, and the first layer."""

    parameters: dict[str, nn.Parameter]
    modules: list[nn.Module]
    first: str


class PartialTraining(Training):
    """The frozen part is in evaluation mode in every step."""

    continues: ClassVar[bool] = True

    def __init__(self, model: Model, train: Split, validation: Split, cut: Cut) -> None:
        super().__init__(model, train, validation, cut.parameters)
        self._modules = cut.modules

    def train_mode(self) -> None:
        """Training mode for the modules that a forward pass first reaches in the trained part."""
        self.model.eval()
        for module in self._modules:
            module.training = True


def cut_of(model: Model) -> Cut:
    """Where the trained part of a network begins, found by one pass over two samples of noise."""
    reached = _order(model)
    network, heads = model.network, model.head_names()
    owner_of: dict[str, str] = {}
    for name, _ in network.named_parameters():
        owner = name.rpartition(".")[0]
        while owner and owner not in reached:
            owner = owner.rpartition(".")[0]
        owner_of[name] = owner
    # the network itself ("") is reached before all its parts
    owners = sorted(set(owner_of.values()) - {""}, key=reached.__getitem__)
    in_head = {name for name in owners if any(name == h or name.startswith(f"{h}.") for h in heads)}
    before = [name for name in owners if name not in in_head]
    first = max(len(owners) - -(-len(owners) // SHARE), 0)
    layers = [owners.index(name) for name in before if layer_width(network.get_submodule(name))]
    if layers:
        first = min(first, layers[-1])
    trained = {*owners[first:], *in_head}
    begins = reached[owners[first]] if owners else 0
    modules = [
        module
        for name, module in network.named_modules()
        if reached.get(name, -1) >= begins or any(name == h or name.startswith(f"{h}.") for h in trained)
    ]
    parameters = {name: p for name, p in network.named_parameters() if owner_of[name] in trained}
    return Cut(parameters, modules, owners[first] if owners else "")


def _order(model: Model) -> dict[str, int]:
    """When a forward pass first calls each module: name → place in the order."""
    names = {id(module): name for name, module in model.network.named_modules()}
    order: dict[str, int] = {}

    def note(module: nn.Module, _args: object) -> None:
        order.setdefault(names[id(module)], len(order))

    handles = [module.register_forward_pre_hook(note) for module in model.network.modules()]
    try:
        with undisturbed(model.network):
            call_network(model.network, model.example(), model.card.output)
    finally:
        for handle in handles:
            handle.remove()
    return order
