"""Pictures of several sizes as a model's own preprocessing brings each of them to one size.

A batch is one tensor, so pictures of several sizes must be of one size before a model sees them. Where a model's folder
or library says how it wants pictures (the shorter edge to 256, then the centre), squeezing all of them into the
commonest size first would be wrong for every picture of another shape: each is resized from its own size instead, and
of the result the part is stored that the model's preprocessing goes on with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from foretoll.data.raw import IN_MEMORY_BYTES
from foretoll.data.splits import DatasetSplit, Split
from foretoll.data.taskdata import TaskData
from foretoll.records import Preprocessing

_MOST_ENLARGED = (
    16  # times the pixels that are kept; Pillow rounds the edges of a part of a picture to 24 bits
)


def fitted_size(have: tuple[int, int], target: tuple[int, int], fit: str) -> tuple[int, int]:
    """The (height, width) that images of size `have` are resized to."""
    height, width = have
    if fit == "stretch":
        return target
    if fit == "cover" and target[0] == target[1]:  # as torchvision and transformers resize the shorter edge
        short, long = min(have), max(have)
        other = int(target[0] * long / short)
        return (target[0], other) if height <= width else (other, target[0])
    ratios = (height / target[0], width / target[1])
    ratio = min(ratios) if fit == "cover" else max(ratios)
    return max(round(height / ratio), 1), max(round(width / ratio), 1)


class Fitted(NamedTuple):
    """How one picture becomes the stored one: resized as `fit` says towards `height` × `width`, then cut to that size.

    crop: what the model's preprocessing cuts out of it afterwards; its place decides ours, to the pixel
    fill: what lies around a picture that is smaller than that size, one value in 0 … 255 a channel
    """

    height: int
    width: int
    fit: str
    crop: tuple[int, int]
    crop_start: str
    interpolation: str
    fill: tuple[int, ...] = ()

    @classmethod
    def of(cls, plan: Preprocessing, channels: int) -> Fitted | None:
        """What a plan asks of pictures with this many channels; None where it names no size, or a border around it."""
        size = None if plan.size is None else (plan.size[0], plan.size[1])
        target = size if plan.fit == "none" else plan.resize or size
        if plan.kind != "image" or target is None:
            return None
        crop = size or target
        if any(want > have for want, have in zip(crop, target, strict=True)):
            return None
        fill = tuple(round(255 * value) for value in plan.mean) if plan.fit == "contain" else ()
        fill = fill[:channels] if len(fill) >= channels else ()
        return cls(*target, plan.fit, crop, plan.crop_start, plan.interpolation, fill)

    def wanted(self, have: tuple[int, int]) -> tuple[int, int]:
        """The (height, width) that a picture of size `have` is resized to, before it is cut."""
        return have if self.fit == "none" else fitted_size(have, (self.height, self.width), self.fit)

    def apply(self, picture: Any, have: tuple[int, int]) -> Any:
        """The stored picture, of an upright PIL image in mode L or RGB.

        have: its size before it was decoded at a part of it.
        """
        from PIL import Image

        how = {"bicubic": Image.Resampling.BICUBIC, "nearest-exact": Image.Resampling.NEAREST}.get(
            self.interpolation, Image.Resampling.BILINEAR
        )
        whole = self.wanted(have)
        places = [self._place(whole[axis], axis) for axis in (0, 1)]
        (top, rows), (left, columns) = [(max(start, 0), length) for start, length in places]
        if whole[0] * whole[1] <= _MOST_ENLARGED * rows * columns:
            part = picture if (picture.height, picture.width) == whole else picture.resize(whole[::-1], how)
            part = part.crop((left, top, left + columns, top + rows))
        else:  # only what is kept is made: the ends of very long pictures would take memory for nothing
            across, down = picture.width / whole[1], picture.height / whole[0]
            box = (left * across, top * down, (left + columns) * across, (top + rows) * down)
            part = picture.resize((columns, rows), how, box=box)
        if (rows, columns) == (self.height, self.width):
            return part
        fill = self.fill if picture.mode != "L" else self.fill[:1]
        canvas = Image.new(
            picture.mode, (self.width, self.height), fill if len(fill) > 1 else (fill or (0,))[0]
        )
        canvas.paste(part, (max(-places[1][0], 0), max(-places[0][0], 0)))
        return canvas

    def _place(self, have: int, axis: int) -> tuple[int, int]:
        """Where the part begins in the resized picture (below 0: how wide the border before it is), and its length."""
        length = (self.height, self.width)[axis]
        if have < length:
            return -((length - have) // 2), have
        start = self._start(have - self.crop[axis]) - self._start(length - self.crop[axis])
        return min(max(start, 0), have - length), length

    def _start(self, margin: int) -> int:
        return round(margin / 2) if self.crop_start == "round" else margin // 2


class Several:
    """Pictures of several sizes that are read in one size until a model says otherwise: what can be read anew.

    told: what the reading says of the size; eager: whether they are to be held in memory where they fit
    """

    several: bool = False
    told: str = ""
    eager: bool = False

    def fitted(self, fitted: Fitted) -> Any:
        """The same pictures, each brought to size by itself."""
        raise NotImplementedError


def seen_by(plan: Preprocessing, data: TaskData, done: dict[int, Split] | None = None) -> TaskData:
    """The same data, with pictures of several sizes brought to one size as the model's own preprocessing says.

    Data that are nothing of the kind, or whose URI names a size, come back as they are. `done` is filled with what
    became of each split, by its `id`, so that a split of two data sets stays one.
    """
    done = {} if done is None else done
    pictures = several(data.train)
    if pictures is None:
        return data
    fitted = Fitted.of(plan, data.shape[0]) if plan.origin else None  # somebody's word
    for split in (data.train, data.validation, data.test):
        if id(split) not in done:
            done[id(split)] = _read_anew(split, fitted)
    card = data.card
    if fitted is not None:
        told = f" each brought to {fitted.height}×{fitted.width} as the model's preprocessing says"
        update = {
            "shape": (card.shape[0], fitted.height, fitted.width),
            "reading": card.reading.replace(pictures.told, told),
        }
        card = card.model_copy(update=update)
    train, validation, test = (done[id(split)] for split in (data.train, data.validation, data.test))
    return replace(data, card=card, train=train, validation=validation, test=test)


def several(split: Split) -> Several | None:
    """The pictures of a split that were brought to one size without anybody's word; None for another split."""
    if not isinstance(split, DatasetSplit):
        return None
    found = next((p for p in (split.dataset, split.convert) if isinstance(p, Several)), None)
    return found if found is not None and found.several else None


def _read_anew(split: Split, fitted: Fitted | None) -> Split:
    pictures = several(split)
    if pictures is None or not isinstance(split, DatasetSplit):
        return split
    anew = split.take(torch.arange(len(split)))
    if fitted is not None and anew.dataset is pictures:
        anew.dataset = pictures.fitted(fitted)
    elif fitted is not None:
        anew.convert = pictures.fitted(fitted)
    if pictures.eager and len(anew):
        first: Any = next(anew.take(torch.arange(1)).batches(1)).inputs
        if isinstance(first, Tensor) and first.numel() * first.element_size() * len(anew) <= IN_MEMORY_BYTES:
            return anew.in_memory()
    return anew


def as_tensor(picture: Any) -> Tensor:
    """A PIL image in mode L or RGB as uint8 (C, H, W)."""
    pixels = np.array(picture, dtype=np.uint8)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())
