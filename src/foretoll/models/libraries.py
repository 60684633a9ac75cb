"""Networks of torchvision and timm, built with fresh weights, and what their inputs usually look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from foretoll.errors import MissingExtraError, ModelError, UsageError, shown
from foretoll.models.spec import (
    MOST_PIXELS,
    Convention,
    Fit,
    Spec,
    guarded_build,
    interpolation_of,
    nearest,
    one_line,
)


def published_weights(spec: Spec, name: str) -> dict[str, Any] | None:
    """Weights that a library publishes under a name, fetched because the user names them; else None."""
    if spec.scheme == "torchvision":
        from torchvision import models

        entries = models.get_model_weights(_torchvision_name(spec.name)).__members__
        if name not in entries:
            return None

        def fetch() -> Any:
            return entries[name].get_state_dict(progress=False, check_hash=True, weights_only=True)

    elif spec.scheme == "timm" and name == "pretrained":

        def fetch() -> Any:
            return _timm().create_model(_timm_name(spec.name), pretrained=True).state_dict()

    else:
        return None
    try:
        return dict(fetch())
    except Exception as error:  # network, cache and hash failures of three libraries
        raise ModelError(
            f"the published weights {name} of {spec.arch} cannot be fetched ({one_line(error)})"
        ) from error


def _torchvision_name(name: str) -> str:
    from torchvision import models

    names = models.list_models(module=models)
    if name not in names:
        raise UsageError(nearest("torchvision model", name, names))
    return name


def torchvision_convention(name: str, weights: str | None = None) -> Convention:
    """What torchvision does to images before the weights of that name or file; without one, before its default ones."""
    entry = _torchvision_entry(_torchvision_name(name), weights)
    presets = entry.transforms()
    interpolation, notes = interpolation_of(presets.interpolation.value)
    side, edge = int(presets.crop_size[0]), int(presets.resize_size[0])
    return Convention(
        "image",
        3,
        (side, side),
        tuple(presets.mean),
        tuple(presets.std),
        fixed=name.startswith("vit_"),
        fit="cover",
        resize=(edge, edge),
        crop_start="round",
        interpolation=interpolation,
        origin=f"torchvision's transforms of {entry}",
        notes=notes,
    )


def _torchvision_entry(name: str, weights: str | None) -> Any:
    """The published weights that are named, or whose file it is; else the default ones.

    Some ViTs have default weights for larger images than the network's own default of 224: the first for 224 then.
    """
    from torchvision import models

    entries = models.get_model_weights(name)
    for known, entry in entries.__members__.items():
        if weights == known or (weights and Path(weights).name == entry.url.rpartition("/")[2]):
            return entry
    if name.startswith("vit_"):
        return next((e for e in entries if e.transforms().crop_size == [224]), entries.DEFAULT)
    return entries.DEFAULT


def torchvision_network(spec: Spec, shape: tuple[int, ...], num_classes: int | None) -> nn.Module:
    """A torchvision network with fresh weights for images of `shape` (C, H, W)."""
    from torchvision import models

    name = _torchvision_name(spec.name)
    extra: dict[str, Any] = dict(spec.build_options)
    if num_classes is not None:
        extra["num_classes"] = num_classes
    if name.startswith("vit_"):
        extra.setdefault("image_size", shape[-1])
    if name in ("googlenet", "inception_v3"):  # their auxiliary heads need inputs of 224 and 299
        extra = {"aux_logits": False, "init_weights": False, **extra}
    return guarded_build(f"torchvision:{name}", lambda: models.get_model(name, weights=None, **extra))


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("a timm model", "timm") from error
    return timm


def _timm_name(name: str) -> str:
    timm = _timm()
    if not timm.is_model(name):
        raise UsageError(nearest("timm model", name, timm.list_models()))
    try:
        timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:  # the network is known, the weights behind the point are not
        known = timm.list_pretrained(f"{name.partition('.')[0]}.*")
        raise UsageError(nearest("timm model", name, known or timm.list_models())) from error
    return name


def timm_convention(name: str, config: Mapping[str, Any] | None = None) -> Convention:
    """What timm does to images before the weights of an architecture.

    `config`: the pretrained_cfg of a folder, which wins over timm's own for the name.
    """
    timm = _timm()
    base, _, tag = _timm_name(name).partition(".")
    own = timm.get_pretrained_cfg(base if not tag else name, allow_unregistered=True)
    settings = {**(own.to_dict() if own else {}), **(config or {})}
    try:
        data = timm.data.resolve_data_config(pretrained_cfg=settings or {"input_size": (3, 224, 224)})
        channels, height, width = map(int, data["input_size"])
        mean, std = ([float(v) for v in data[key]] for key in ("mean", "std"))
        numbers = [*mean, *std, float(data["crop_pct"])]
        if not all(map(math.isfinite, numbers)) or min(std) <= 0 or len(mean) != len(std):
            raise ValueError("mean and std")
        if not (0.1 <= data["crop_pct"] <= 4 and 1 <= channels <= 64 and min(height, width) >= 1):
            raise ValueError("crop_pct and input_size")
        if max(height, width) / min(data["crop_pct"], 1) > MOST_PIXELS:
            raise ValueError("input_size")
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ModelError(
            f"pretrained_cfg of {shown(name, 60)} says nothing usable of its inputs ({shown(one_line(error), 80)}): "
            "correct its mean, std, input_size and crop_pct"
        ) from error
    edges = (math.floor(height / data["crop_pct"]), math.floor(width / data["crop_pct"]))
    fit: Fit = {"squash": "stretch", "border": "contain"}.get(data["crop_mode"], "cover")  # type: ignore[assignment]
    interpolation, notes = interpolation_of(str(data["interpolation"]))
    named = f"the folder's pretrained_cfg ({name})" if config else f"timm's configuration of {name}"
    return Convention(
        "image",
        channels,
        (height, width),
        tuple(mean),
        tuple(std),
        fixed=bool(settings.get("fixed_input_size", False)),
        fit=fit,
        resize=edges,
        crop_start="round",
        interpolation=interpolation,
        origin=named,
        notes=notes,
    )


def timm_network(spec: Spec, shape: tuple[int, ...], num_classes: int | None) -> nn.Module:
    """A timm network with fresh weights for images of `shape` (C, H, W)."""
    timm = _timm()
    name = _timm_name(spec.name)
    extra: dict[str, Any] = dict(spec.build_options)
    if num_classes is not None:
        extra["num_classes"] = num_classes
    extra["in_chans"] = shape[0]
    if timm_convention(name).fixed:
        extra.setdefault("img_size", tuple(shape[-2:]))
    return guarded_build(f"timm:{name}", lambda: timm.create_model(name, pretrained=False, **extra))


def timm_renamed(spec: Spec, state: dict[str, Tensor], num_classes: int) -> dict[str, Tensor] | None:
    """A state dict under its authors' original names, converted by timm to its own; None where it cannot.

    timm gets tensors, not a file, so it reads nothing by itself.
    """
    try:
        network = _timm().create_model(
            spec.name,
            pretrained=True,
            num_classes=num_classes,
            pretrained_cfg_overlay={"state_dict": dict(state), "num_classes": num_classes},
        )
    except (
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
    ):  # its converters expect known names
        return None
    converted: dict[str, Tensor] = network.state_dict()
    return converted
