"""The image size of a network that fails on images as small (or as large) as the data: its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

TORCHVISION_SIDE = 224  # of all its classifiers' weights but Inception's and a few larger variants
INCEPTION_SIDE = 299


def own_size(network: nn.Module) -> tuple[int, int] | None:
    """The (height, width) of the images that a timm, transformers or torchvision network was made for; else None.

    It may be inside a module of the user's own.
    """
    for module in network.modules():
        for value in _stated(module):
            size = _pair(value)
            if size is not None:
                return size
    return None


def enlarged(have: tuple[int, int], size: tuple[int, int]) -> str:
    """The note on images that are brought to another size than they have, because the network needs it."""
    return (
        f"the network fails on images of {have[0]}×{have[1]}, so they are brought to {size[0]}×{size[1]}, its own "
        "size; name another one with the option input_size="
    )


def _stated(module: nn.Module) -> Iterator[Any]:
    patches = getattr(module, "patch_embed", None)
    yield getattr(patches, "img_size", None)  # timm, where it was built for another size than usual
    usual = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    if usual is not None:
        size = usual.get("input_size") if isinstance(usual, Mapping) else getattr(usual, "input_size", None)
        yield size[-2:] if isinstance(size, tuple | list) else None
    config = getattr(module, "config", None)
    yield getattr(config, "image_size", None)
    if type(module).__module__.startswith("torchvision.models"):
        yield getattr(module, "image_size", None)
        name = type(module).__name__
        if hasattr(module, "classifier") or hasattr(module, "fc") or hasattr(module, "head"):
            yield INCEPTION_SIDE if name == "Inception3" else TORCHVISION_SIDE


def _pair(value: Any) -> tuple[int, int] | None:
    sides = (
        (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else ()
    )
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        return None
    return int(sides[0]), int(sides[1])
