"""Whether a network gives logits, probabilities or sigmoids, by its outputs on a few samples (see `outputs`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError
from foretoll.models.anatomy import undisturbed
from foretoll.models.model import Model
from foretoll.models.outputs import NOTES, Outputs

if TYPE_CHECKING:
    from foretoll.data import Split

LOOKED_AT = 16  # samples
SUM = 1e-2  # how far the sum of probabilities may lie from one, in half precision too
_SAME_VALUES = ("View", "Reshape", "Squeeze", "Unsqueeze", "Clone", "ToCopy", "Alias", "Cat")


def recognise_outputs(model: Model, split: Split) -> Model:
    """Note on the model's card, in place, what its outputs on a few of these samples are, and return the model.

    Raises ModelError for a network whose outputs are of another kind in training than in evaluation.
    """
    of_classes = model.card.task == "classification"
    known = model.card.outputs != "logits" or model.card.program is not None or not model.task.recognise_ends
    if known or (model.num_classes < 2 and of_classes) or not len(split):
        return model
    few = split.take(torch.arange(min(LOOKED_AT, len(split)))).held()
    inputs = next(few.batches(LOOKED_AT)).inputs
    with undisturbed(model.network):
        kind = _kind(model, inputs)
    if kind == "logits":
        return model
    twin = model.clone()
    with undisturbed(twin.network):
        twin.network.train()
        if _kind(twin, inputs) != kind:
            raise ModelError(
                f"{model.card.arch} gives probabilities in evaluation and something else in training: let its forward "
                "return logits in both"
            )
    notes = (*model.card.notes, NOTES[kind])
    model.card = model.card.model_copy(update={"outputs": kind, "notes": notes})
    return model


def _kind(model: Model, inputs: Any) -> Outputs:
    values = model(inputs).detach().float()
    if not bool(torch.isfinite(values).all()) or float(values.min()) < 0 or float(values.max()) > 1 + SUM:
        return "logits"
    if model.card.task == "classification" and float((values.sum(dim=1) - 1).abs().max()) <= SUM:
        return "probabilities"
    return "sigmoids" if _ends_in_sigmoid(model, inputs) else "logits"


def _ends_in_sigmoid(model: Model, inputs: Any) -> bool:
    """Whether the outputs come from a sigmoid: values between 0 and 1 alone might be logits by chance."""
    last: list[nn.Module] = []
    leaves = [module for module in model.network.modules() if not list(module.children())]
    handles = [leaf.register_forward_hook(lambda module, _args, _out: last.append(module)) for leaf in leaves]
    try:
        with torch.enable_grad():  # the graph names the function that the outputs come from
            outputs = model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return (bool(last) and isinstance(last[-1], nn.Sigmoid)) or _made_by(outputs).startswith("Sigmoid")


def _made_by(outputs: Tensor) -> str:
    """Name of the function in the graph that made these values, behind those that only arrange them."""
    node: Any = outputs.grad_fn
    while node is not None and node.name().startswith(_SAME_VALUES) and node.next_functions:
        node = node.next_functions[0][0]
    return "" if node is None else str(node.name())
