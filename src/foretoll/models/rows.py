"""Which rows of a layer's output belong to which sample.

Most layers give one row a sample: (n, …). Some cut a sample into windows or heads and give k rows for each, some are
called on a table of positions that has nothing to do with the samples, and sequence models may have the samples on the
second axis. How a layer's rows lie is found by two passes, over three samples and over two of them in another order;
a folding is believed only where both passes give each sample the same rows. So what is compared does not depend on
any batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError
from foretoll.models.anatomy import CONV, dry_run, layer_width, pool_positions

if TYPE_CHECKING:
    from foretoll.models.model import Model

Order = Literal["samples first", "samples last", "second axis"]
SAME = 1e-3  # of the largest value: what rounding may do to a row in another batch
_Seen = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class ComparableRows:
    """How the rows of each layer lie that can be compared sample by sample, by name in the order of the calls.

    left_out: names of the layers whose rows are not known to belong to the samples
    """

    rows: dict[str, Order]
    left_out: tuple[str, ...]


def comparable_layers(model: Model) -> ComparableRows:
    """The Conv and Linear modules wider than the number of classes, with how the rows of their outputs lie.

    A module that is called twice is named once, and what counts is its last call.
    """
    # the ids of a vocabulary say nothing of how wide layers are
    least = 0 if model.task.names_are_numbers else model.num_classes
    heads = model.head_names() if model.task.names_are_numbers else ()
    names = [
        name
        for name, module in model.network.named_modules()
        if name and layer_width(module) > least and name not in heads
    ]
    three, two = (_outputs(model, names, samples) for samples in ([0, 1, 2], [1, 0]))
    rows = {name: _order(three[name], two[name]) for name in three if name in two}
    return ComparableRows(
        {name: order for name, order in rows.items() if order is not None},
        tuple(name for name in three if rows.get(name) is None),
    )


def countable_layers(model: Model) -> list[str]:
    """Names (within `model.network`) of the layers that PreIndex and ARM compare: see `comparable_layers`."""
    return list(comparable_layers(model).rows)


def pool_rows(output: Tensor, module: nn.Module, samples: int, order: Order = "samples first") -> Tensor:
    """A Conv or Linear output averaged over its positions and over the rows of a sample: (samples, channels)."""
    if order == "second axis" and output.ndim == 3:
        pooled = output.mean(0)
    else:
        pooled = pool_positions(output, module)
        if len(pooled) != samples and pooled.ndim == 2 and samples and len(pooled) % samples == 0:
            pooled = _folded(pooled, samples, order).mean(1)
    if pooled.ndim != 2 or len(pooled) != samples:
        raise ModelError(
            f"a layer gives {tuple(output.shape)} for {samples} samples, so its rows belong to no sample; "
            "choose layers with foretoll.models.countable_layers"
        )
    return pooled


def _folded(rows: Tensor, samples: int, order: Order) -> Tensor:
    """(samples, k, channels) of (samples · k, channels)."""
    if order == "samples last":
        return rows.reshape(-1, samples, rows.shape[1]).transpose(0, 1)
    return rows.reshape(samples, -1, rows.shape[1])


def _outputs(model: Model, names: list[str], samples: list[int]) -> dict[str, _Seen]:
    """By layer, its output averaged over the positions of each row, and over the first axis."""
    seen: dict[str, _Seen] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim:
                second = output.mean(0) if output.ndim == 3 and not isinstance(module, CONV) else None
                pooled = pool_positions(output, module)
                seen[name] = (pooled.clone() if pooled is output else pooled, second)

        return hook

    example = model.example(3)
    rows = torch.tensor(samples)
    part = (
        {key: value[rows.to(value.device)] for key, value in example.items()}
        if isinstance(example, dict)
        else example[rows.to(example.device)]
    )
    dry_run(model.network, part, {name: keep(name) for name in names}, model.card.output)
    return seen


def _order(three: _Seen, two: _Seen) -> Order | None:
    """How the rows lie, from the outputs for samples 0, 1, 2 and for samples 1, 0; None where that is not clear."""
    (a, a_second), (b, b_second) = three, two
    if a.ndim == b.ndim == 2 and (len(a), len(b)) == (3, 2):
        return "samples first"
    found: dict[Order, float] = {}
    if a.ndim == b.ndim == 2 and len(a) % 3 == len(b) % 2 == 0 and len(a) // 3 == len(b) // 2 > 1:
        for order in ("samples first", "samples last"):
            found[order] = _apart(_folded(a, 3, order)[:2].flip(0), _folded(b, 2, order))
    if a_second is not None and b_second is not None and (len(a_second), len(b_second)) == (3, 2):
        found["second axis"] = _apart(a_second[:2].flip(0), b_second)
    best = min(found, key=found.__getitem__, default=None)
    return best if best is not None and found[best] <= SAME else None


def _apart(a: Tensor, b: Tensor) -> float:
    """Largest difference, in units of the largest value."""
    if a.shape != b.shape:
        return float("inf")
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-12))
