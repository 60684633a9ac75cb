"""Which output of a pretrained head is which class, by the names that its folder or library gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from foretoll.models.heads import replace_head
from foretoll.models.spec import Spec

_UNNAMED = re.compile(r"(label|class)?[ _-]?\d+", re.IGNORECASE)
_IMAGENET = 1000

Names = Sequence[Sequence[str]]  # for each output all names that it goes by


def named_outputs(labels: Mapping[int, str] | None, count: int) -> tuple[str, ...]:
    """The names of a head's outputs in a configuration's id2label; empty where they are numbers, or not distinct."""
    names = tuple(str((labels or {}).get(i, i)) for i in range(count))
    if all(_UNNAMED.fullmatch(name) for name in names) or len(set(names)) < count:
        return ()
    return names


def synonyms(names: Sequence[str]) -> Names:
    """Each name, and the parts of one that lists synonyms as ImageNet's do ("tench, Tinca tinca")."""
    return [(name, *(part for part in name.split(", ") if part != name)) for name in names]


def published_names(spec: Spec, count: int) -> Names | None:
    """The names of the outputs of a head that torchvision or timm published for ImageNet-1k; None for another."""
    if spec.scheme not in ("torchvision", "timm") or count != _IMAGENET:
        return None
    found: list[list[str]] = [[] for _ in range(count)]
    from torchvision.models import get_model_weights

    # any of torchvision's: all that are for ImageNet-1k number the classes alike
    for i, name in enumerate(get_model_weights("resnet18").DEFAULT.meta["categories"]):
        found[i].append(name)
    try:
        import timm.data as timm_data
    except ImportError:
        return found
    info: Any = timm_data.ImageNetInfo()  # type: ignore[attr-defined]  # it is public, and not listed
    for i in range(count):
        found[i] += [info.index_to_label_name(i), *info.index_to_description(i).split(", ")]
    return found


def rows_of(outputs: Names, wanted: Sequence[str]) -> list[int] | None:
    """For each wanted class the output that goes by its name, whatever its case; None where one has none of its own."""
    where: dict[str, set[int]] = {}
    for i, names in enumerate(outputs):
        for name in names:
            where.setdefault(_plain(name), set()).add(i)
    rows = [where.get(_plain(name), set()) for name in wanted]
    if any(len(found) != 1 for found in rows):
        return None
    found = [next(iter(one)) for one in rows]
    return found if len(set(found)) == len(found) else None


def in_order(rows: Sequence[int], wanted: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """The rows in the model's order, and the wanted names in that order."""
    pairs = sorted(zip(rows, wanted, strict=True))
    return [row for row, _ in pairs], tuple(name for _, name in pairs)


def take_rows(state: Mapping[str, Tensor], head: str, rows: Sequence[int], have: int) -> dict[str, Tensor]:
    """A state dict whose head has those of its outputs alone; row −1 is an output that is always 0."""
    taken = dict(state)
    for key, value in state.items():
        if key.startswith(f"{head}.") and value.ndim and value.shape[0] == have:
            padded = torch.cat([value, torch.zeros_like(value[:1])])
            taken[key] = padded[torch.tensor(rows)].contiguous()
    return taken


def keep_rows(network: nn.Module, head: str, rows: Sequence[int], have: int) -> None:
    """Give a network's head those of its outputs alone, in place; row −1 is an output that is always 0."""
    old = {f"{head}.{key}": value for key, value in network.get_submodule(head).state_dict().items()}
    replace_head(network, head, len(rows), seed=0, have=have)
    taken = take_rows(old, head, rows, have)
    network.get_submodule(head).load_state_dict({key[len(head) + 1 :]: value for key, value in taken.items()})


def one_output_note(names: Sequence[str]) -> str:
    """What is said where a head with one output serves two classes."""
    return f"the model has one output, which is taken as the log-odds of {names[1]!r} against {names[0]!r}"


ONE_OUTPUT = (-1, 0)  # softmax of (0, z) is the sigmoid of z


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())
