"""Checks of the inputs of indices, in one place: one sentence that names the offending thing and the way out.

Inputs are torch tensors or numpy arrays. What comes back is a detached torch tensor, float64 unless asked
otherwise, on the device of the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

import numpy as np
import torch
from torch import Tensor

from foretoll.errors import DataError, UsageError, unknown_name

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

Array: TypeAlias = Union[Tensor, "NDArray[Any]"]
Layers: TypeAlias = Mapping[str, Array]
Mode: TypeAlias = Literal["corrected", "released"]
Pooling: TypeAlias = Literal["average", "flatten"]

MODES: tuple[Mode, ...] = ("corrected", "released")
UNKNOWN_LABEL = -1


def as_tensor(values: Array) -> Tensor:
    """A detached tensor of the same dtype; numpy arrays that are read-only are copied."""
    if isinstance(values, Tensor):
        return values.detach()
    array = np.asarray(values)
    if array.dtype == object or array.dtype.kind in "USO":
        raise DataError(f"an array of dtype {array.dtype} holds no numbers: pass a numeric array or tensor")
    return torch.from_numpy(array if array.flags.writeable and array.dtype.isnative else array.copy())


def check_choice(kind: str, value: str, valid: tuple[str, ...]) -> None:
    """Refuse a name that is not among `valid`, naming the nearest."""
    if value not in valid:
        raise UsageError(unknown_name(kind, value, valid))


def check_representations(
    values: Array,
    name: str = "representations",
    *,
    pooling: Pooling = "average",
    dtype: torch.dtype | None = torch.float64,
    allow_constant: bool = True,
) -> Tensor:
    """A finite (n, d) matrix out of (n, d) or (n, channels, …): positions are averaged, or flattened.

    Raises `DataError` for an empty or one-dimensional array, for NaN and infinities, and, unless
    `allow_constant`, where all rows are the same.
    """
    check_choice("pooling", pooling, ("average", "flatten"))
    x = as_tensor(values)
    if x.ndim < 2 or x.shape[0] == 0 or x.numel() == 0:
        raise DataError(f"{name} has shape {tuple(x.shape)}: needed is (samples, channels), both at least 1")
    if x.is_complex():
        raise DataError(f"{name} is complex: pass real activations, for example their absolute values")
    if dtype is not None:
        x = x.to(dtype)
    elif not x.is_floating_point():
        x = x.to(torch.float64)
    if x.ndim > 2:
        x = x.flatten(2).mean(2) if pooling == "average" else x.flatten(1)
    if not bool(torch.isfinite(x.sum())):  # one sum is much cheaper than a look at every value
        bad = int((~torch.isfinite(x)).any(1).sum())
        if bad:
            raise DataError(
                f"{name} has NaN or infinite values in {bad} of {x.shape[0]} rows: "
                "check the model's weights and the scale of its inputs"
            )
    if not allow_constant:
        check_not_constant(x.amin(0), x.amax(0), x.shape[0], name)
    return x


def check_not_constant(low: Tensor, high: Tensor, samples: int, name: str) -> None:
    """Refuse activations that are the same for every sample; `low`, `high`: the extremes per channel."""
    if samples > 1 and bool((low == high).all()):
        raise DataError(
            f"{name} is the same for all {samples} samples: the model does not tell these inputs apart; "
            "choose another embedding layer or check the data"
        )


def check_labels(labels: Array, samples: int, name: str = "labels") -> Tensor:
    """Class indices as int64 (samples,); -1 stands for unknown.

    Raises `DataError` for another length, for labels that are no integers, and for values below -1.
    """
    y = as_tensor(labels)
    if y.ndim != 1 or y.shape[0] != samples:
        raise DataError(
            f"{name} has shape {tuple(y.shape)} for {samples} samples: needed is one label a sample"
        )
    if y.is_floating_point() or y.is_complex():
        real = y.real if y.is_complex() else y
        if y.is_complex() or not bool((torch.isfinite(real) & (real == real.round())).all()):
            raise DataError(
                f"{name} holds values that are no class indices: encode the classes as 0, 1, 2, …"
            )
    y = y.to(torch.int64)
    if samples and int(y.min()) < UNKNOWN_LABEL:
        raise DataError(
            f"{name} holds {int(y.min())}: class indices start at 0, and -1 stands for an unknown class"
        )
    return y


def check_known_labels(
    x: Tensor, y: Tensor, name: str = "labels", *, classes: int = 2
) -> tuple[Tensor, Tensor]:
    """Leave out rows of unknown class; refuse what has fewer than `classes` classes then."""
    known = y >= 0
    if not bool(known.all()):
        x, y = x[known], y[known]
    found = int(torch.unique(y).numel())
    if found < classes:
        raise DataError(
            f"{name} holds {found} known class{'' if found == 1 else 'es'}, needed are {classes} or more: "
            "pass samples of more classes"
        )
    return x, y


def check_ids(ids: Array, samples: int, name: str = "ids") -> Tensor:
    """Sample ids as int64 (samples,)."""
    out = as_tensor(ids)
    if out.ndim != 1 or out.shape[0] != samples or out.is_floating_point() or out.is_complex():
        raise DataError(
            f"{name} has shape {tuple(out.shape)} and dtype {out.dtype} for {samples} samples: "
            "needed is one integer a sample, the same whenever the sample is read"
        )
    return out.to(torch.int64)


def check_layers(
    source: Layers,
    target: Layers,
    *,
    paired: bool,
    num_classes: int | None = None,
    dtype: torch.dtype | None = torch.float64,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Layers in the source's order, each as two (n, channels) matrices of the same width.

    `paired`: row i of both sides is the same sample, so the numbers of rows agree. `num_classes`: layers
    that are not wider than that are left out.
    """
    if not source:
        raise DataError("no layers were given: pass a dict of layer name to activations (n, channels)")
    if set(source) != set(target):
        odd = sorted(set(source) ^ set(target))
        raise DataError(
            f"layer {odd[0]!r} is on one side only ({len(odd)} such): record the same layers on both sides"
        )
    out: dict[str, tuple[Tensor, Tensor]] = {}
    for name in source:
        x = check_representations(source[name], f"source layer {name!r}", dtype=dtype)
        t = check_representations(target[name], f"target layer {name!r}", dtype=dtype)
        if x.shape[1] != t.shape[1]:
            raise DataError(
                f"layer {name!r} has {x.shape[1]} channels in the source and {t.shape[1]} in the target: "
                "record both sides with the same model"
            )
        if paired and x.shape[0] != t.shape[0]:
            raise DataError(
                f"layer {name!r} has {x.shape[0]} source and {t.shape[0]} target samples: needed are pairs, "
                "row i of both sides being the same sample clean and shifted"
            )
        if num_classes is None or x.shape[1] > num_classes:
            out[name] = (x, t)
    if not out:
        raise DataError(
            f"no layer is wider than the number of classes ({num_classes}): pass hidden layers as well"
        )
    if paired and len({x.shape[0] for x, _ in out.values()}) > 1:
        raise DataError("the layers have different numbers of samples: record all of them in the same passes")
    return out
