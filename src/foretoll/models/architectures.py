"""The small architectures of our own by name: what each takes. Their networks are loaded when one is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foretoll.errors import ModelError, UsageError, shown, unknown_name

if TYPE_CHECKING:
    from torch import nn

Scalar = int | float | str | bool
_NORMS = ("batch", "group", "none")


@dataclass(frozen=True)
class Architecture:
    """One entry of ARCHITECTURES: how to build it, what it takes, and its family for the forecaster."""

    network: str  # class of `foretoll.models.networks`, or of `dense_networks` where each place has outputs
    family: str
    defaults: Mapping[str, Scalar]
    dims: tuple[int, ...]  # how many axes a sample may have
    about: str
    task: str = (
        "classification"  # the kind of outputs; others than those of places serve any task without places
    )


_ANY = (1, 2, 3)
ARCHITECTURES: dict[str, Architecture] = {
    "mlp": Architecture("MLP", "mlp", {"width": 128, "depth": 2}, _ANY, "multilayer perceptron, any input"),
    "cnn": Architecture("ConvNet", "cnn", {"width": 24, "norm": "batch"}, (3,), "4 convolution blocks"),
    "resnet": Architecture("ResNet", "resnet", {"width": 16, "norm": "batch"}, (3,), "CIFAR-style ResNet-18"),
    "vit": Architecture(
        "ViT", "vit", {"patch": 0, "dim": 64, "depth": 4, "heads": 4}, (3,), "small vision transformer"
    ),
    "cnn1d": Architecture(
        "ConvNet", "cnn1d", {"width": 24, "norm": "batch"}, (2,), "4 convolution blocks for series"
    ),
    "gpt": Architecture(
        "CausalTransformer",
        "causal-transformer",
        {"dim": 64, "depth": 3, "heads": 4, "context": 256},
        (0,),
        "small causal transformer of tokens",
        task="language",
    ),
    "unet": Architecture(
        "UNet", "unet", {"width": 16, "norm": "batch"}, (3,), "small U-Net of pixels", task="segmentation"
    ),
}


def architecture_family(name: str, options: Mapping[str, Scalar]) -> str:
    """The family of a foretoll architecture; another normalisation than batch norm retrains differently."""
    family = ARCHITECTURES[name].family
    return {"group": f"{family}-groupnorm", "none": f"{family}-nonorm"}.get(str(options.get("norm")), family)


def check_architecture(name: str, options: Mapping[str, Scalar]) -> Architecture:
    """The architecture of a name, if it has these options. Raises UsageError otherwise; loads no torch."""
    if name not in ARCHITECTURES:
        raise UsageError(unknown_name("foretoll architecture", name, ARCHITECTURES))
    architecture = ARCHITECTURES[name]
    for option, value in options.items():
        if option not in architecture.defaults:
            raise UsageError(unknown_name(f"option of foretoll:{name}", option, architecture.defaults))
        if option == "norm" and value not in _NORMS:
            raise UsageError(unknown_name("norm", str(value), _NORMS))
        least, most = 0 if option in ("depth", "patch") else 1, 1_000 if option == "depth" else 100_000
        whole = isinstance(value, int) and not isinstance(value, bool)
        if option != "norm" and not (whole and least <= int(value) <= most):
            raise UsageError(
                f"foretoll:{name} needs a whole number from {least} to {most:,} for {option}, got {shown(value)}"
            )
    return architecture


def build_architecture(
    name: str, shape: tuple[int, ...], num_classes: int, options: Mapping[str, Scalar]
) -> nn.Module:
    """Build a foretoll architecture with fresh weights from torch's global generator (the caller seeds it).

    Raises UsageError for an unknown name or option and ModelError where the input's shape cannot be taken.
    """
    from foretoll.models import dense_networks, networks

    architecture = check_architecture(name, options)
    if len(shape) not in architecture.dims:
        fits = [f"foretoll:{n}" for n, a in ARCHITECTURES.items() if len(shape) in a.dims]
        raise ModelError(
            f"foretoll:{name} cannot take samples of shape {shape}; architectures that can: {', '.join(fits)}"
        )
    home = networks if architecture.task == "classification" else dense_networks
    network: nn.Module = getattr(home, architecture.network)(shape, num_classes, **options)
    return network
