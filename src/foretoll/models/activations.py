"""What a backward pass would need beside the weights: counted from a few samples, before a batch of them is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from foretoll.models.anatomy import undisturbed

if TYPE_CHECKING:
    from foretoll.models.model import Inputs, Model


def activation_bytes(model: Model, inputs: Inputs) -> int:
    """Bytes that autograd keeps of one forward pass on a raw batch, weights and buffers apart.

    The network is called in evaluation mode, so that nothing of it changes: dropout's masks, and what batch norm keeps
    of its statistics, are not in it.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with undisturbed(model), torch.enable_grad(), hooks:
        outputs = model(inputs)  # held until all is counted: addresses of what was freed are used again
    del outputs
    return sum(kept.values())
