"""What happens to a stored sample before the network: decided once at loading, then kept on the card."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from foretoll.data.parts import parts_said
from foretoll.errors import ModelError, UsageError, shown, unknown_name
from foretoll.models.preprocess import IMAGENET_MEAN, IMAGENET_STD, channel_statistics
from foretoll.models.spec import Convention, Spec
from foretoll.records import Preprocessing
from foretoll.tasks import get_task

if TYPE_CHECKING:
    from foretoll.data import TaskData

MOST_FRESH_PIXELS = 256 * 256  # at which a fresh network works, unless input_size= says otherwise
FRESH_ORIGIN = "the default for a fresh network (input_size=HxW for another)"


def plan_preprocessing(
    spec: Spec, usual: Convention | None, data: TaskData | None, *, pretrained: bool
) -> Preprocessing:
    """The plan for `spec`: from the library's convention where its weights expect one, else from the data.

    `usual` is that convention, or None. Raises UsageError where data are needed and ModelError where the data are
    of another kind.
    """
    kind = usual.kind if usual is not None else (data.card.kind if data is not None else None)
    if kind is None:
        raise UsageError(f"{spec.arch} needs data, to know the shape of its inputs")
    if data is not None and data.kind != kind:
        raise ModelError(
            f"{spec.arch} takes {kind} samples, but {data.card.uri} holds {data.kind} samples of shape "
            f"{tuple(data.shape)}; use another architecture or other data"
        )
    if data is not None and data.card.parts:
        return _of_several_inputs(spec, data)
    if kind == "text":
        return _of_texts(spec, usual, data)
    shape = tuple(data.shape) if data is not None else ()
    channels: int | None
    size: tuple[int, ...] | None
    steps: dict[str, Any] = {}
    if kind == "vector":
        channels, size = None, shape
    elif kind == "series":
        if not shape:
            raise UsageError(f"{spec.arch} needs data, to know the length of its inputs")
        channels, size = shape[0], shape[1:]
        if usual is not None and (usual.waveform or usual.spectrogram):
            if channels != 1:
                raise ModelError(
                    f"{spec.arch} takes sound of one channel, but the data have {channels}; give one of them, or "
                    "their mean"
                )
            return Preprocessing(
                kind="series", channels=1, size=size, waveform=usual.waveform, spectrogram=usual.spectrogram,
                origin=usual.origin,
            )  # fmt: skip
    else:
        channels = usual.channels if usual is not None else shape[0]
        if spec.scheme == "timm":
            channels = int(spec.options.get("in_chans", channels or 3))
        size = _image_size(spec, usual, shape[1:], pretrained)
        steps = _steps(spec, usual, pretrained, smaller=_made_smaller(spec, size, shape[1:]))
    mean, std = _normalisation(spec, usual, data, channels if kind == "image" else None, pretrained)
    if kind == "image" and channels is not None:
        mean, std = _per_channel(mean, channels), _per_channel(std, channels)
    return Preprocessing(kind=kind, channels=channels, size=size, mean=mean, std=std, **steps)


def _of_several_inputs(spec: Spec, data: TaskData) -> Preprocessing:
    parts = data.card.parts
    if spec.scheme not in ("module", "factory"):
        raise ModelError(
            f"{spec.arch} takes one input, and {data.card.uri} has several ({parts_said(parts)}): give a module, or a "
            "function that builds one, whose forward takes them by these names"
        )
    return Preprocessing(kind="vector", size=tuple(data.shape), parts=parts)


def _of_texts(spec: Spec, usual: Convention | None, data: TaskData | None) -> Preprocessing:
    if usual is None and data is not None and get_task(data.card.task).places:
        return Preprocessing(kind="text", max_length=spec.options.get("max_length"))  # its data are ids
    if usual is None:
        raise ModelError(f"{spec.arch} cannot take texts; load a transformers model with hf:PATH")
    longest = spec.options.get("max_length", usual.max_length)
    return Preprocessing(
        kind="text",
        max_length=longest,
        tokenizer=spec.options.get("tokenizer", usual.tokenizer),
        origin=usual.origin,
    )


def _made_smaller(spec: Spec, size: tuple[int, ...] | None, have: tuple[int, ...]) -> bool:
    """Whether pictures are made smaller for a fresh network without anybody's word."""
    asked = "input_size" in spec.options or spec.scheme in {"module", "factory"}
    return bool(have) and not asked and _workable(have) == size != have


def _steps(
    spec: Spec, usual: Convention | None, pretrained: bool, *, smaller: bool = False
) -> dict[str, Any]:
    """How images are brought to their size: as the weights' library does it, unless the options say otherwise.

    With input_size the aspect stays where the library keeps it, but nothing is enlarged beyond that size to be cut
    off again: who names a size means those pixels.
    """
    crop = spec.options.get("crop", True)
    if not isinstance(crop, bool):
        raise UsageError(f"crop is true (as the model's library crops) or false, got {crop!r}")
    if usual is None or not pretrained:
        return {"origin": FRESH_ORIGIN} if smaller else {}
    steps: dict[str, Any] = {
        "interpolation": usual.interpolation,
        "bgr": usual.bgr,
        "origin": usual.origin,
    }
    if not crop or usual.fit == "stretch":
        whole = not crop or "input_size" in spec.options
        return steps if whole else {**steps, "resize": usual.resize, "crop_start": usual.crop_start}
    if "input_size" in spec.options:
        return {**steps, "fit": "cover", "crop_start": usual.crop_start}
    return {**steps, "fit": usual.fit, "resize": usual.resize, "crop_start": usual.crop_start}


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Conventional statistics for another number of channels than three: their mean, repeated."""
    if not values or len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels


def _image_size(
    spec: Spec, usual: Convention | None, have: tuple[int, ...], pretrained: bool
) -> tuple[int, int] | None:
    wanted = spec.options.get("input_size")
    if wanted is not None:
        return _side(wanted)
    if usual is not None and usual.size is not None and (pretrained or usual.fixed or not have):
        return usual.size
    if usual is not None and usual.resize is not None and pretrained:
        return None  # the shorter edge is all that is fixed
    if spec.scheme not in {"module", "factory"}:  # those may be made for one size alone
        have = _workable(have)
    if usual is not None:  # a fresh network of a library: their stems halve the sides five times
        return (max(have[0], 32), max(have[1], 32))
    return (have[0], have[1])


def _workable(have: tuple[int, ...]) -> tuple[int, int]:
    """The size at which a network that nobody has trained yet looks at pictures: of photographs a smaller one."""
    height, width = have[0], have[1]
    scale = min(1.0, (MOST_FRESH_PIXELS / (height * width)) ** 0.5)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _side(wanted: Any) -> tuple[int, int]:
    parts = str(wanted).lower().split("x") if not isinstance(wanted, list | tuple) else list(wanted)
    try:
        sides = [int(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise UsageError(f"input_size is a side such as 224, or HxW such as 224x160, got {wanted!r}")
    return sides[0], sides[-1]


def _normalisation(
    spec: Spec, usual: Convention | None, data: TaskData | None, channels: int | None, pretrained: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if "mean" in spec.options or "std" in spec.options:
        mean = _numbers("mean", spec.options.get("mean", 0), channels)
        return mean, _numbers("std", spec.options.get("std", 1), channels)
    default = "library" if usual is not None and (pretrained or data is None) else "data"
    if spec.scheme == "module" or (spec.scheme == "factory" and pretrained):
        default = "none"
    choice = str(spec.options.get("normalise", default))
    if choice == "library" and usual is not None:
        return usual.mean, usual.std
    if choice == "imagenet":
        return IMAGENET_MEAN, IMAGENET_STD
    if choice == "none":
        return (), ()
    if choice != "data":
        raise UsageError(unknown_name("normalise", choice, ("data", "imagenet", "none")))
    if data is None:
        raise UsageError(f"{spec.arch} needs data, to take the statistics of its inputs")
    return channel_statistics(data.train, channels=channels, name=shown(data.card.uri, 60))


def _numbers(what: str, value: Any, channels: int | None) -> tuple[float, ...]:
    parts = str(value).split(",") if not isinstance(value, list | tuple) else list(value)
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError as error:
        raise UsageError(f"{what} is a number per channel such as 0.5,0.5,0.5, got {value!r}") from error
    if any(not math.isfinite(number) for number in numbers):
        raise UsageError(f"{what} is a number per channel such as 0.5,0.5,0.5, got {shown(value)}")
    if what == "std" and min(numbers) <= 0:
        raise UsageError(f"std must be positive, got {value!r}")
    if channels is not None and len(numbers) == 1:
        return numbers * channels
    if channels is not None and len(numbers) != channels:
        raise UsageError(f"{what} needs {channels} numbers, one per channel, got {len(numbers)}")
    return numbers


def input_shape(plan: Preprocessing) -> tuple[int, ...]:
    """The shape of one preprocessed sample."""
    size = plan.size or plan.resize or ()
    return size if plan.channels is None else (plan.channels, *size)


def as_seen_by(plan: Preprocessing, other: Preprocessing) -> Preprocessing:
    """The plan with the same part of each picture, brought to the same size, as another one."""
    if plan.kind != "image":
        return plan
    same = ("size", "fit", "resize", "crop_start", "interpolation")
    return plan.model_copy(update={name: getattr(other, name) for name in same})


def reading_of(plan: Preprocessing, pooling: str = "", stored: str = "") -> str:
    """What was taken from the model's folder or library, in one line; empty where nobody's word was.

    `pooling`: of a text model's tokens; `stored`: the precision of the weights in their file.
    """
    parts = []
    if plan.kind == "image" and plan.origin:
        parts.append(f"images: {', '.join([*_sizing(plan), f'by {plan.origin}'])}")
    if plan.waveform:
        parts.append(f"sound: {plan.waveform}, by {plan.origin}")
    if plan.spectrogram is not None:
        bins, frames = plan.spectrogram.bins, plan.spectrogram.frames
        parts.append(f"sound: log-mel spectrogram of {bins} bins and {frames:,} frames, by {plan.origin}")
    if pooling:
        parts.append(f"tokens pooled: {pooling}" + (f" ({plan.origin})" if plan.origin else ""))
    if stored not in ("", "float32"):
        parts.append(f"weights stored in {stored}, used in float32")
    return "; ".join(parts)


def _sizing(plan: Preprocessing) -> list[str]:
    to, cut = plan.resize or plan.size, plan.size
    steps = []
    if to is not None and plan.fit != "none":
        how = {"cover": "shorter edge to", "contain": "longer edge to", "stretch": "resized to"}[plan.fit]
        sides = str(to[0]) if plan.fit != "stretch" and to[0] == to[1] else f"{to[0]}×{to[1]}"
        steps.append(f"{how} {sides} ({plan.interpolation})")
    if cut is not None and (plan.fit != "stretch" or to != cut):
        steps.append(f"centre crop {cut[0]}×{cut[1]}")
    return steps
