"""The same architecture with fresh weights: where training from scratch starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from foretoll.errors import ModelError
from foretoll.models.loading import build_model
from foretoll.models.model import Model
from foretoll.models.plan import as_seen_by
from foretoll.models.preprocess import make_preprocess
from foretoll.models.reprogrammed import unwrapped

if TYPE_CHECKING:
    from foretoll.data import TaskData


def fresh_copy(model: Model, data: TaskData, *, seed: int) -> Model:
    """A model of the same architecture for the inputs and classes of `data`, its weights from `seed` alone.

    Of a reprogrammed model it is the source's architecture, without the program.

    A module in memory cannot be built again: a copy of it is initialised anew by its layers' own
    `reset_parameters`. Raises ModelError where it has weights that no layer can initialise.
    """
    model = unwrapped(model)
    card = model.card
    if not card.arch.startswith("module:"):
        options = dict(card.arch_options)
        if (
            card.preprocessing.kind == "image" and card.preprocessing.size is not None
        ):  # the same work per sample
            options["input_size"] = "x".join(str(side) for side in card.preprocessing.size)
        fresh = build_model(card.arch, data=data, seed=seed, options=options)
        plan = as_seen_by(fresh.card.preprocessing, card.preprocessing)
        fresh.card = fresh.card.model_copy(update={"preprocessing": plan})
        fresh.preprocess = make_preprocess(plan)
        return fresh.to(model.device)
    copy = model if card.classes == data.classes else model.with_new_head(data.classes, seed=seed)
    copy = copy.clone()
    covered: set[int] = set()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in copy.network.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
                covered |= {id(p) for p in module.parameters(recurse=False)}
    left = [name for name, p in copy.network.named_parameters() if id(p) not in covered]
    if left:
        raise ModelError(
            f"the module in memory cannot be trained from scratch: {', '.join(left[:3])} have no layer that "
            "initialises them; give its factory instead (package.module:function)"
        )
    copy.card = copy.card.model_copy(update={"trained_on": None, "run_id": None, "parent_run_id": None})
    return copy
