"""Model specs such as ``foretoll:cnn?width=32&norm=group``: parsing, families, and how inputs usually look."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from foretoll.errors import MissingExtraError, ModelError, UsageError
from foretoll.errors import one_line as one_line_of
from foretoll.models.architectures import architecture_family
from foretoll.models.named import LOADING_OPTIONS, SCHEMES, Spec, parse_spec
from foretoll.models.preprocess import IMAGENET_MEAN, IMAGENET_STD
from foretoll.records import Spectrogram

__all__ = ["LOADING_OPTIONS", "SCHEMES", "Convention", "Spec", "family_label", "family_of", "guarded_build",
           "interpolation_of", "nearest", "one_line", "parse_spec"]  # fmt: skip
Kind = Literal["image", "vector", "series", "text"]
Fit = Literal["stretch", "cover", "contain", "none"]
Interpolation = Literal["bilinear", "bicubic", "nearest-exact"]
MOST_PIXELS = 4096  # a side that a network of today's may take; a file that says more is damaged or hostile
# first match wins: the more particular names stand first
_FAMILIES = (
    ("mobilenet", "mobilenet"), ("mobile_vit", "other"), ("mobilevit", "other"), ("efficientnet", "efficientnet"),
    ("densenet", "densenet"), ("convnext", "convnext"), ("squeezenet", "other"), ("vgg", "vgg"),
    ("maxvit", "other"), ("deit", "vit"), ("beit", "vit"), ("vit", "vit"), ("resnext", "resnet"), ("resnet", "resnet"),
)  # fmt: skip


@dataclass(frozen=True)
class Convention:
    """How inputs of an architecture usually look. `fixed`: another size needs another network.

    `fit`, `resize`, `crop_start`, `interpolation`, `bgr` and `origin` are those of `Preprocessing`.
    """

    kind: Kind
    channels: int | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    fixed: bool = False
    max_length: int | None = None
    tokenizer: str | None = None
    fit: Fit = "stretch"
    resize: tuple[int, int] | None = None
    crop_start: Literal["floor", "round"] = "floor"
    interpolation: Interpolation = "bilinear"
    bgr: bool = False
    origin: str = ""
    waveform: Literal["", "as it is", "standardised"] = ""
    spectrogram: Spectrogram | None = None
    pooling: str = ""  # of a text model's tokens; empty: as the library's own classifier does it
    notes: tuple[str, ...] = ()  # what the origin does and foretoll does not


def interpolation_of(name: str) -> tuple[Interpolation, tuple[str, ...]]:
    """The filter of torch that is nearest to one of Pillow's, and what is said where it is another one."""
    known: dict[str, Interpolation] = {
        "nearest": "nearest-exact", "nearest-exact": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic",
    }  # fmt: skip
    if name in known:
        return known[name], ()
    taken: Interpolation = "bicubic" if name == "lanczos" else "bilinear"
    if name not in ("lanczos", "box", "hamming"):
        return taken, ()
    return taken, (
        f"the model's pictures are resized by {name}, which torch lacks: {taken} is taken instead",
    )


def family_of(spec: Spec, network: nn.Module) -> str:
    """The family label by which a forecaster groups architectures."""
    if spec.scheme == "foretoll":
        return architecture_family(spec.name, spec.build_options)
    if spec.scheme == "hf":
        config = getattr(network, "config", None)
        if type(network).__name__.endswith("ForSequenceClassification"):
            return "text-transformer"
        if spec.options.get("task") == "language":
            return "causal-transformer"
        return family_label(str(getattr(config, "model_type", "")))
    return family_label(spec.name if spec.scheme in ("torchvision", "timm") else type(network).__name__)


def family_label(name: str) -> str:
    """The family that an architecture's name tells."""
    low = name.lower()
    return next((family for part, family in _FAMILIES if part in low), "other")


def guarded_build(what: str, make: Callable[[], Any]) -> nn.Module:
    """Call a builder that is somebody else's code; whatever it raises becomes one sentence, a ModelError."""
    try:
        with warnings.catch_warnings():
            # how a library's builder initialises or names things is not the user's concern
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            network = make()
    except (ModelError, UsageError, MissingExtraError):
        raise
    except (
        Exception,
        SystemExit,
    ) as error:  # the builder is somebody else's code: one sentence with its words
        raise ModelError(
            f"{what} cannot be built: {type(error).__name__}: {one_line(error)}; check its options and input size"
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{what} returns {type(network).__name__}, not a torch.nn.Module")
    return network


def nearest(kind: str, name: str, names: Iterable[str]) -> str:
    """Say that `name` is no known `kind`: the nearest of very many valid names, or a few of them."""
    valid = sorted(names)
    near = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    if near:
        return f"unknown {kind} {name!r}: did you mean {' or '.join(map(repr, near))}?"
    return f"unknown {kind} {name!r}: there are {len(valid)}, among them {', '.join(valid[:5])}"


def one_line(error: BaseException) -> str:
    """The message of another's error on one printable line, cut to a readable length."""
    return one_line_of(str(error), 200)


def in_memory(arch: str) -> bool:
    """Whether a card's architecture is a module that Python handed in, which no file can rebuild."""
    return arch.startswith("module:")
