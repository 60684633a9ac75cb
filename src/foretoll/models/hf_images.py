"""What a transformers folder does to an image before its network: read from its image processor's configuration."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from foretoll.errors import ModelError, shown
from foretoll.models.preprocess import IMAGENET_MEAN, IMAGENET_STD, make_preprocess
from foretoll.models.spec import MOST_PIXELS, Convention, interpolation_of, one_line
from foretoll.records import Preprocessing

_FILES = ("preprocessor_config.json", "processor_config.json", "image_processor_config.json")
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's


def image_convention(folder: str, local: bool, config: Any, *, fixed: bool) -> Convention:
    """Inputs as the folder's image processor makes them; ImageNet's statistics where there is none.

    What the processor does beyond resizing, cropping and normalising is not done, and is then said.
    """
    side = getattr(config, "image_size", None) or 224
    sides = side if isinstance(side, list | tuple) and len(side) == 2 else (side, side)
    size = (_pixels(sides[0], "image_size"), _pixels(sides[1], "image_size"))
    channels = int(getattr(config, "num_channels", 3))
    plain = Convention(
        "image",
        channels,
        size,
        fixed=fixed,
        origin="ImageNet's mean and deviation, since the folder has no preprocessor_config.json",
    )
    file = next((name for name in _FILES if (Path(folder) / name).is_file()), None)
    if not local or file is None:
        return plain
    processor = _read(folder, file)
    if processor is None:
        return plain
    usual = _taken(processor.to_dict(), plain, type(processor).__name__, file)
    return _compared(processor, usual)


def _read(folder: str, file: str) -> Any:
    from transformers import AutoImageProcessor

    reader: Any = AutoImageProcessor  # it has no annotations
    try:
        return reader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a damaged file makes of somebody else's reader
        raise ModelError(
            f"{shown(str(Path(folder) / file))} cannot be read as the settings of an image processor "
            f"({shown(one_line(error))}); save it again with save_pretrained, or remove it"
        ) from error


def _taken(settings: dict[str, Any], plain: Convention, kind: str, file: str) -> Convention:
    """The convention that an image processor's settings describe."""
    crop = _size(settings.get("crop_size"), "crop_size") if settings.get("do_center_crop") else None
    wanted = settings.get("size") if settings.get("do_resize", True) else None
    edge = wanted.get("shortest_edge") if isinstance(wanted, dict) else None
    interpolation, notes = interpolation_of(_RESAMPLE.get(_int(settings.get("resample")), "bilinear"))
    kept: dict[str, Any] = {"crop_start": "floor", "interpolation": interpolation, "notes": notes}
    if edge is not None:
        edge = _pixels(edge, "size")
        share = _share(settings, kind, edge)
        if share is None:  # ConvNeXt from 384 on: the whole picture, squeezed
            kept |= {"fit": "stretch", "size": (edge, edge)}
        else:
            edge, inside = _pixels(int(edge / share), "size"), edge
            inner = crop or ((inside, inside) if share < 1 else plain.size if plain.fixed else None)
            kept |= {"fit": "cover", "resize": (edge, edge), "size": inner}
    elif wanted is not None:
        to = _size(wanted, "size") or plain.size
        kept |= {"fit": "stretch", "resize": to, "size": crop or to}
    elif crop is not None:
        kept |= {"fit": "none", "size": crop}
    mean, std = _statistics(settings, plain.channels or 3, file)
    return replace(
        plain,
        mean=mean,
        std=std,
        bgr=bool(settings.get("do_flip_channel_order")),
        origin=f"{file} ({kind})",
        **kept,
    )


def _share(settings: dict[str, Any], kind: str, edge: int) -> float | None:
    """The part of the resized edge that a processor's own rule keeps; None: the picture is squeezed, not cropped."""
    if kind.startswith("Levit"):
        return 224 / 256
    share = settings.get("crop_pct")
    if share is None:
        return 1.0
    if kind.startswith("ConvN") and edge >= 384:
        return None
    if not isinstance(share, int | float) or not 0.1 <= share <= 1:
        raise ModelError(
            f"crop_pct of the model's image processor is {shown(share)}, not a share such as 0.875"
        )
    return float(share)


def _statistics(
    settings: dict[str, Any], channels: int, file: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels in [0, 1] that do what rescaling and normalising in the file's numbers do."""
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    scale, shift = 255 * _number(factor, "rescale_factor"), 0.0
    if scale <= 0:
        raise ModelError(f"rescale_factor in {file} is {shown(factor)}: it must be above 0")
    if settings.get("rescale_offset") and settings.get("do_rescale", True):
        shift = -1.0
    mean, std = [0.0], [1.0]
    if settings.get("do_normalize"):
        mean, std = (
            [_number(v, key) for v in (value if isinstance(value, list | tuple) else [value])]
            for key, value in (
                ("image_mean", settings.get("image_mean") or IMAGENET_MEAN),
                ("image_std", settings.get("image_std") or IMAGENET_STD),
            )
        )
    if settings.get("include_top") and settings.get("image_std"):  # EfficientNet divides once more
        again = [_number(v, "image_std") for v in settings["image_std"]]
        std = [a * b for a, b in zip(std * (len(again) // len(std)), again, strict=True)]
        mean = mean * (len(again) // len(mean))
    if min(std) <= 0 or len(mean) != len(std):
        raise ModelError(
            f"image_mean and image_std in {file} are no mean and deviation above 0 for each channel"
        )
    means = tuple((m - shift) / scale for m in mean)
    stds = tuple(s / scale for s in std)
    if all(m == 0 for m in means) and all(abs(s - 1) < 1e-6 for s in stds):
        return (), ()
    if len(means) == 1:
        return means * channels, stds * channels
    return means, stds


def _compared(processor: Any, usual: Convention) -> Convention:
    """With a word on it where the folder's processor makes something else of a picture than what was read."""
    height, width = usual.resize or usual.size or (32, 32)
    shape = (3, min(height + 7, 512), min(2 * width + 3, 1024))
    coarse = torch.randint(
        0, 256, (1, 3, 9, 13), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    picture = torch.nn.functional.interpolate(coarse.float(), size=shape[1:], mode="bilinear").to(torch.uint8)
    plan = Preprocessing(
        kind="image", channels=3, size=usual.size, mean=usual.mean, std=usual.std, fit=usual.fit,
        resize=usual.resize, crop_start=usual.crop_start, interpolation=usual.interpolation, bgr=usual.bgr,
    )  # fmt: skip
    if usual.channels != 3:
        return usual
    name = type(processor).__name__
    try:
        theirs = processor(images=list(picture), return_tensors="pt")["pixel_values"].float()
    except Exception as error:  # whatever somebody else's code makes of settings that do not fit each other
        raise ModelError(
            f"the folder's {shown(name)} fails on a picture ({shown(one_line(error))}); correct its settings, or "
            "remove preprocessor_config.json"
        ) from error
    ours = make_preprocess(plan)(picture)
    if theirs.shape == ours.shape:
        spread = max(float(theirs.std()), 1e-6)
        if float((theirs - ours).abs().mean()) <= 0.05 * spread:
            return usual
    return replace(
        usual,
        notes=(
            f"the folder's {shown(name)} does more to pictures than resize, crop and normalise, and foretoll does not "
            "do it: prepare the pictures with it yourself",
        ),
    )


def _size(value: Any, key: str) -> tuple[int, int] | None:
    if isinstance(value, dict):
        if "height" in value and "width" in value:
            return _pixels(value["height"], key), _pixels(value["width"], key)
        value = value.get("shortest_edge") or value.get("longest_edge")
    if isinstance(value, list | tuple) and len(value) == 2:
        return _pixels(value[0], key), _pixels(value[1], key)
    return None if value is None else (_pixels(value, key),) * 2


def _pixels(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_PIXELS:
        raise ModelError(
            f"{key} in the model's folder is {shown(value)}: a side has 1 to {MOST_PIXELS} pixels"
        )
    return value


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError(f"{key} in the model's folder is {shown(value)}, which is no number")
    return float(value)


def _int(value: Any) -> int:
    return int(value) if isinstance(value, int) else -1
