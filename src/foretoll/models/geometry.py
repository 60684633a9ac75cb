"""Resizing and cropping of a batch of images, as the libraries do it that the weights come from."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from foretoll.data.fitting import fitted_size
from foretoll.records import Preprocessing

_SPARE = 8  # source pixels beside what a crop needs, for the support of the interpolation


def brought_to_size(images: Tensor, plan: Preprocessing) -> Tensor:
    """Images (B, C, H, W), float in [0, 1], resized as the plan says and cropped about the centre to its size."""
    size = None if plan.size is None else (plan.size[0], plan.size[1])
    target = plan.resize or size
    if target is not None and plan.fit != "none":
        images = _resized(_without_far_ends(images, target, size, plan), target, plan)
    if size is not None and tuple(images.shape[2:]) != size:
        fill = plan.mean if plan.fit == "contain" else ()
        images = _cropped(_bordered(images, size, fill), size, plan.crop_start)
    return images


def _resized(images: Tensor, target: tuple[int, int], plan: Preprocessing) -> Tensor:
    new = fitted_size((images.shape[2], images.shape[3]), target, plan.fit)
    if tuple(images.shape[2:]) == new:
        return images
    if plan.interpolation == "nearest-exact":
        return F.interpolate(images, size=new, mode="nearest-exact")
    images = F.interpolate(images, size=new, mode=plan.interpolation, antialias=True, align_corners=False)
    # bicubic weights overshoot at edges, and libraries resize pixels that end at 0 and 255
    return images.clamp(0, 1) if plan.interpolation == "bicubic" else images


def _without_far_ends(
    images: Tensor, target: tuple[int, int], size: tuple[int, int] | None, plan: Preprocessing
) -> Tensor:
    """Very long images without the ends that the crop takes away, which would be enlarged for nothing."""
    if size is None or plan.fit != "cover":
        return images
    have = (images.shape[2], images.shape[3])
    ratio = min(have[0] / target[0], have[1] / target[1])
    for axis in (0, 1):
        need = math.ceil(size[axis] * ratio) + 2 * _SPARE
        if have[axis] > 4 * need:
            # the same parity, so that the centre stays where it was
            need += (have[axis] - need) % 2
            images = images.narrow(axis + 2, (have[axis] - need) // 2, need)
    return images


def _bordered(images: Tensor, size: tuple[int, int], fill: tuple[float, ...]) -> Tensor:
    """Black (or `fill`, one number a channel) around images that are smaller than `size`."""
    rows, columns = (max(want - have, 0) for want, have in zip(size, images.shape[2:], strict=True))
    if not rows and not columns:
        return images
    around = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    if not fill:
        return F.pad(images, around)
    colour = torch.tensor(fill, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
    return F.pad(images - colour, around) + colour


def _cropped(images: Tensor, size: tuple[int, int], start: str) -> Tensor:
    for axis, want in enumerate(size, start=2):
        margin = images.shape[axis] - want
        first = round(margin / 2) if start == "round" else margin // 2
        images = images.narrow(axis, first, want)
    return images
