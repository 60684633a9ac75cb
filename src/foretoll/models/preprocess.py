"""From a stored batch to a network's input. What is applied is written in a `Preprocessing` record, so it travels
with the weights; nothing here is trained and nothing is part of the state dict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from foretoll.data.limits import BATCH_BYTES, samples_at_once
from foretoll.data.parts import parts_said, unpacked
from foretoll.data.splits import stratified_sample
from foretoll.data.tokenizers import load_tokenizer
from foretoll.errors import DataError, ModelError, one_line, shown
from foretoll.models.bounded import LARGEST, check_plan
from foretoll.models.geometry import brought_to_size
from foretoll.models.spectrogram import LogMel
from foretoll.records import Preprocessing

if TYPE_CHECKING:
    from foretoll.data import Split

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SAMPLES_SEEN, VALUES_SEEN = 200_000, 300_000_000  # that statistics are taken from, at most: both
FEWEST_SEEN = 2_000  # samples, however large they are
_STATISTICS_BYTES = 16  # a number and its square, in the widest type that they are summed in
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def adapt_channels(images: Tensor, channels: int) -> Tensor:
    """Images (B, C, H, W) with `channels` channels: grey is repeated, RGB becomes luma, alpha is dropped."""
    have = images.shape[1]
    if have == channels:
        return images
    if have == 4 and channels in (1, 3):
        return adapt_channels(images[:, :3], channels)
    if have == 1:
        return images.expand(-1, channels, -1, -1)
    if have == 3 and channels == 1:
        luma = torch.tensor(_LUMA, device=images.device, dtype=torch.float32).view(1, 3, 1, 1)
        return (images.float() * luma).sum(1, keepdim=True)
    raise ModelError(
        f"images with {have} channels cannot be turned into the {channels} channels that the model takes; "
        "store them with 1 (grey), 3 (RGB) or the model's number of channels"
    )


class _Normalise(nn.Module):
    """(x − mean) / std along axis 1, in float32; a channel without spread is only centred."""

    def __init__(self, plan: Preprocessing, dims: int) -> None:
        super().__init__()
        self.plan = plan
        self.active = bool(plan.mean or plan.std)
        width = len(plan.mean or plan.std)
        mean = torch.tensor(plan.mean or (0.0,) * width, dtype=torch.float32)
        std = torch.tensor(plan.std or (1.0,) * width, dtype=torch.float32)
        view = (1, -1, *[1] * (dims - 2))
        self.register_buffer("mean", mean.view(view), persistent=False)
        self.register_buffer(
            "std", torch.where(std > 0, std, torch.ones_like(std)).view(view), persistent=False
        )

    mean: Tensor
    std: Tensor

    def normalise(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std if self.active else x


class ImagePreprocess(_Normalise):
    """Images (B, C, H, W), uint8 or float in [0, 1], to the network's channels, size and normalisation."""

    def __init__(self, plan: Preprocessing) -> None:
        super().__init__(plan, 4)

    def forward(self, images: Tensor) -> Tensor:
        """Differentiable for float inputs. Raises ModelError where the batch is no image batch."""
        if not isinstance(images, Tensor) or images.ndim != 4:
            raise ModelError(f"the model takes images (batch, channels, height, width), got {_shape(images)}")
        plan = self.plan
        if images.dtype == torch.uint8 and 4 * images.numel() > BATCH_BYTES and len(images) > 1:
            # large pictures are made floats and smaller a few at a time, each as it would be in any batch
            few = samples_at_once(4 * images[0].numel(), len(images) - 1)
            starts = range(0, len(images), few)
            return torch.cat([self.forward(images[start : start + few]) for start in starts])
        if images.is_floating_point():
            x = images.float()
        elif images.dtype == torch.uint8:
            x = images.float() / 255.0
        else:
            raise ModelError(f"the model takes images as uint8, or as float in [0, 1], got {images.dtype}")
        if plan.channels is not None:
            x = adapt_channels(x, plan.channels)
        return self.normalise(brought_to_size(x.flip(1) if plan.bgr else x, plan))

    def example(self, n: int) -> Tensor:
        """A batch of n noise images in the stored form, the same each time."""
        generator = torch.Generator().manual_seed(0)
        shape = (n, self.plan.channels or 3, *(self.plan.size or (32, 32)))
        return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


class ArrayPreprocess(_Normalise):
    """Vectors (B, d) or series (B, C, L), standardised per column or channel; sound as a wave or a spectrogram."""

    def __init__(self, plan: Preprocessing) -> None:
        super().__init__(plan, 2 if plan.kind == "vector" else 3)
        self.dims = 2 if plan.kind == "vector" else 3
        self.spectrogram = None if plan.spectrogram is None else LogMel(plan.spectrogram)

    def forward(self, x: Tensor) -> Tensor:
        """Raises ModelError where the batch has another shape than the model was made for."""
        want = (self.plan.channels, *(self.plan.size or ())) if self.dims == 3 else self.plan.size
        if not isinstance(x, Tensor) or x.ndim != self.dims or (want and tuple(x.shape[1:]) != want):
            raise ModelError(
                f"the model takes {self.plan.kind} samples of shape {want}, got a batch of {_shape(x)}"
            )
        if self.spectrogram is not None:
            made: Tensor = self.spectrogram(x.float().squeeze(1))
            return made
        if not self.plan.waveform:
            return self.normalise(x.float())
        wave = x.float().squeeze(1)
        if self.plan.waveform == "as it is":
            return wave
        centred = wave - wave.mean(1, keepdim=True)  # as transformers' feature extractors do it
        return centred / (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()

    def example(self, n: int) -> Tensor:
        """A batch of n noise samples, the same each time."""
        size = self.plan.size or ()
        shape = (n, self.plan.channels or 1, *size) if self.dims == 3 else (n, *size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(0))


class TreePreprocess(nn.Module):
    """Rows (B, d) of several inputs to the tree that the network takes: tensors by name."""

    def __init__(self, plan: Preprocessing) -> None:
        super().__init__()
        self.plan = plan

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        """Differentiable but for codes. Raises ModelError where the batch has another width than the inputs."""
        if not isinstance(rows, Tensor) or rows.ndim != 2 or tuple(rows.shape[1:]) != self.plan.size:
            raise ModelError(
                f"the model takes rows of the inputs {parts_said(self.plan.parts)}, got a batch of {_shape(rows)}"
            )
        return unpacked(rows.float(), self.plan.parts)

    def example(self, n: int) -> Tensor:
        """n rows of noise, the same each time: numbers about 0, pictures in [0, 1], codes that were seen."""
        noise = torch.Generator().manual_seed(0)
        columns = []
        for part in self.plan.parts:
            if part.kind == "codes":
                columns.append(torch.randint(0, max(part.codes, 1), (n, part.width), generator=noise).float())
            elif part.kind == "image":
                columns.append(torch.rand((n, part.width), generator=noise))
            else:
                columns.append(torch.randn((n, part.width), generator=noise))
        return torch.cat(columns, dim=1)


class TextPreprocess(nn.Module):
    """Texts (list of str, or token ids (B, L)) to input_ids and attention_mask (both (B, L))."""

    def __init__(self, plan: Preprocessing) -> None:
        super().__init__()
        self.plan = plan
        self.pad_id = 0
        self._tokenizer: Any = None
        self.register_buffer("where", torch.empty(0), persistent=False)  # follows the model's device

    where: Tensor

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, read from its local folder at first use."""
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self.plan.tokenizer)
            if (
                self._tokenizer.pad_token is None
            ):  # GPT-style tokenizers have none; the mask hides what is padded
                self._tokenizer.pad_token = self._tokenizer.eos_token
            self.pad_id = int(self._tokenizer.pad_token_id or 0)
        return self._tokenizer

    def forward(self, texts: list[str] | tuple[str, ...] | Tensor) -> dict[str, Tensor]:
        """Pads to the longest text of the batch and cuts at `max_length` tokens."""
        if isinstance(texts, Tensor):
            if texts.ndim != 2 or texts.is_floating_point():
                raise ModelError(
                    f"the model takes texts or token ids (batch, length), got {_shape(texts)} of {texts.dtype}"
                )
            if self.plan.tokenizer is not None:
                self.tokenizer  # noqa: B018  (sets the padding id)
            ids = texts[:, : self.plan.max_length].to(self.where.device, torch.int64)
            ids = torch.where(ids < 0, self.pad_id, ids)  # padding of data that know no model
            return {"input_ids": ids, "attention_mask": (ids != self.pad_id).long()}
        tokenizer, longest = self.tokenizer, self.plan.max_length
        try:
            encoded = tokenizer(
                list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt"
            )
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise ModelError(
                f"the tokenizer in {shown(self.plan.tokenizer)} fails on texts ({one_line(str(error), 100)}); save it "
                "again with save_pretrained"
            ) from error
        return {key: encoded[key].to(self.where.device) for key in ("input_ids", "attention_mask")}

    def example(self, n: int) -> list[str] | Tensor:
        """n short texts, or small token ids where there is no tokenizer."""
        if self.plan.tokenizer is not None:
            return [f"an example text, number {i}" for i in range(n)]
        return torch.arange(3, 3 + 6 * n).remainder(7).add(3).view(n, 6)


def make_preprocess(
    plan: Preprocessing,
) -> ImagePreprocess | ArrayPreprocess | TextPreprocess | TreePreprocess:
    """The module that carries out a plan. Raises ModelError where its sizes or statistics are impossible."""
    check_plan(plan, "the model")
    if plan.parts:
        return TreePreprocess(plan)
    if plan.kind == "image":
        return ImagePreprocess(plan)
    return TextPreprocess(plan) if plan.kind == "text" else ArrayPreprocess(plan)


def channel_statistics(
    split: Split, *, channels: int | None = None, name: str = "the training split"
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel (images, in [0, 1]; series) or column (vectors), in one pass.

    Of a large split a stratified sample is looked at (`SAMPLES_SEEN`, `VALUES_SEEN`, at least `FEWEST_SEEN`).
    Sums are exact integers for uint8 images and float64, centred on the first batch, otherwise.
    A channel that never varies gets standard deviation 1. Raises ModelError on NaN or infinite values, and, by the
    data's `name`, DataError on values that are too large to be normalised in float32.
    """
    count = 0
    total: Tensor | None = None
    squares: Tensor | None = None
    centre: Tensor | None = None
    scale = 1.0
    first = next(split.take(torch.arange(1)).held().batches(1), None) if len(split) else None
    if first is not None:
        most = max(FEWEST_SEEN, min(SAMPLES_SEEN, VALUES_SEEN // max(first.inputs[0].numel(), 1)))
        split = stratified_sample(split, min(most, len(split)), seed=0)
    bytes_each = _STATISTICS_BYTES * (0 if first is None else first.inputs[0].numel())
    for batch in split.batches(samples_at_once(bytes_each, 512, 4 * BATCH_BYTES)):
        x = batch.inputs
        if x.ndim == 4:
            if channels is not None:
                x = adapt_channels(x, channels)
            scale = 255.0 if batch.inputs.dtype == torch.uint8 else 1.0
        over = tuple(i for i in range(x.ndim) if i != 1)
        if x.dtype == torch.uint8:
            s, q = x.sum(over, dtype=torch.int64), x.int().square().sum(over, dtype=torch.int64)
            centre = torch.zeros(x.shape[1], dtype=torch.float64) if centre is None else centre
        else:
            if centre is None:
                centre = x.double().mean(over)
            y = x.double() - centre.view(1, -1, *[1] * (x.ndim - 2))
            s, q = y.sum(over), y.square().sum(over)
        total = s if total is None else total + s
        squares = q if squares is None else squares + q
        count += x.numel() // x.shape[1]
    if total is None or squares is None or centre is None or count == 0:
        raise ModelError("the training split is empty, so no preprocessing statistics can be taken from it")
    mean = total.double() / count
    variance = (squares.double() / count - mean.square()).clamp(min=0)
    mean = (centre + mean) / scale
    std = variance.sqrt() / scale
    if not bool(torch.isfinite(mean).all() and torch.isfinite(std).all()):
        raise ModelError("the training split holds NaN or infinite values; remove or replace them first")
    large = ((mean.abs() > LARGEST) | (std > LARGEST)).nonzero()
    if len(large):
        raise DataError(
            f"{name} holds values too large to be normalised, the first in column or channel {int(large[0])} "
            f"(deviation {float(std[large[0]]):.1e}): scale them, or leave that column out"
        )
    # spread below float32 resolution is rounding, and dividing by it would blow noise up
    std = torch.where(std > 1e-7 * mean.abs(), std, torch.ones_like(std))
    return tuple(mean.tolist()), tuple(std.tolist())


def _shape(x: object) -> str:
    return f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
