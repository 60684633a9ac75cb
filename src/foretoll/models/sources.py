"""Where architectures come from: foretoll's own, torchvision, timm, transformers, or the user's function."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from foretoll.errors import UsageError
from foretoll.models.architectures import build_architecture
from foretoll.models.factory import factory_network
from foretoll.models.hf import hf_convention, hf_network
from foretoll.models.libraries import (
    timm_convention,
    timm_network,
    torchvision_convention,
    torchvision_network,
)
from foretoll.models.spec import Convention, Kind, Spec
from foretoll.models.trust import Trust, check_build_options


def convention(spec: Spec, weights: str | None = None) -> Convention | None:
    """The conventional input of a torchvision, timm or transformers architecture; None for others.

    `weights`: the name or the file of the weights, where they decide it.
    """
    if spec.scheme == "torchvision":
        return torchvision_convention(spec.name, weights)
    if spec.scheme == "timm":
        return timm_convention(spec.name)
    return hf_convention(spec.name) if spec.scheme == "hf" else None


def build_network(
    spec: Spec,
    *,
    shape: tuple[int, ...],
    num_classes: int | None,
    kind: Kind = "image",
    config_folder: Path | None = None,
    trust: Trust,
    where: str = "the model",
) -> nn.Module:
    """Build with fresh weights for preprocessed samples of `shape`. `num_classes` None: the architecture's default.

    `config_folder` overrides where an hf: configuration is read from (a checkpoint keeps its own copy). `trust`
    says whether a factory may be imported; `where` is what names it.
    """
    check_build_options(spec)
    if spec.scheme == "foretoll":
        if num_classes is None:
            raise UsageError(f"{spec.arch} needs data or class names, to know its number of outputs")
        return build_architecture(spec.name, shape, num_classes, spec.build_options)
    if spec.scheme == "torchvision":
        return torchvision_network(spec, shape, num_classes)
    if spec.scheme == "timm":
        return timm_network(spec, shape, num_classes)
    if spec.scheme == "hf":
        return hf_network(spec, kind, shape, num_classes, config_folder)
    return factory_network(spec, num_classes, trust, where)
