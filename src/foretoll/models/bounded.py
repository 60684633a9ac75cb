"""How large a network may become: counted before its memory is taken.

A few numbers in a file or in a spec decide how large a network is, and they may lie. So memory is counted where torch
is asked for it, whatever builds the network: against the weights that lie beside the card, which must fit the network
anyway, or against the memory that is left. Samples, too, have a largest size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from foretoll.data.limits import SHARE, memory_left
from foretoll.errors import ModelError
from foretoll.records import Preprocessing

MOST_TENSORS = 50_000  # that a build asks for: hundreds of layers ask for thousands
SLACK_BYTES = 256 * 2**20  # masks and tables that a network has beside its weights
TIMES = 4  # a network in float32 against weights in half precision, and as much for what initialisation takes
MOST_ELEMENTS = 2**25  # of one sample: a colour image of 3,344 × 3,344
_FROM_SIZE = frozenset(
    ("empty", "zeros", "ones", "full", "rand", "randn", "randint", "normal", "empty_strided", "new_empty", "new_zeros",
     "new_ones", "new_full", "new_empty_strided", "expand_copy")
)  # fmt: skip
_FROM_NUMBERS = frozenset(
    ("arange", "linspace", "logspace", "eye", "randperm", "tril_indices", "triu_indices")
)


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not say its types
    """Sums what is asked for, and raises before more is taken than may be."""

    def __init__(self, most_bytes: int, most_tensors: int, error: ModelError) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left_bytes, self.left_tensors, self.error = most_bytes, most_tensors, error

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: otherwise torch wraps this mode so that the first tensor imports its compiler (2 s of CPU)."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        elements = _asked(func.overloadpacket.__name__, args, kwargs)
        if elements is not None:
            kind = kwargs.get("dtype") or next((a.dtype for a in args if isinstance(a, Tensor)), None)
            self.left_bytes -= elements * (kind.itemsize if kind is not None else 4)
            self.left_tensors -= 1
            if self.left_bytes < 0 or self.left_tensors < 0:
                raise self.error
        elif len(args) > 1 and _spread(args) * 4 > self.left_bytes + SLACK_BYTES:
            raise self.error
        return func(*args, **kwargs)


def _asked(name: str, args: Any, kwargs: Mapping[str, Any]) -> int | None:
    """The elements of a new tensor, where a call says how many; None for other calls."""
    if name in _FROM_SIZE:
        size = next((a for a in (*args, *kwargs.values()) if isinstance(a, list | tuple | torch.Size)), ())
        return math.prod(int(side) for side in size)
    if name in _FROM_NUMBERS:
        numbers = [abs(a) for a in args if isinstance(a, int | float) and math.isfinite(a)]
        if name == "eye":
            return int(math.prod(numbers)) if len(numbers) > 1 else int(sum(numbers) ** 2)
        return int(sum(numbers))
    if name == "repeat":
        return int(args[0].numel() * math.prod(int(times) for times in args[1]))
    return None


def _spread(args: Any) -> int:
    """The elements of what the tensors of a call spread to together; 0 where they do not."""
    shapes = [tuple(a.shape) for a in args if isinstance(a, Tensor)]
    if len(shapes) < 2:
        return 0
    try:
        return math.prod(np.broadcast_shapes(*shapes))  # torch's own imports its compiler
    except ValueError:
        return 0


@contextmanager
def within_memory(what: str) -> Iterator[None]:
    """Build no network that takes more than a share of the memory that is left. Raises ModelError."""
    most = int(SHARE * memory_left())
    error = ModelError(
        f"{what} takes more memory than there is for it ({most / 1e9:.1f} GB), or more layers than a network has; give "
        "it smaller options or a smaller input"
    )
    with _Counting(most, MOST_TENSORS, error):
        yield


@contextmanager
def within_weights(state: Mapping[str, Tensor], where: str) -> Iterator[None]:
    """Build no network that the weights beside its card cannot fill. Raises ModelError."""
    held = sum(min(v.numel() * v.dtype.itemsize, v.untyped_storage().nbytes()) for v in state.values())
    with _Counting(TIMES * held + SLACK_BYTES, 20 * len(state) + 5_000, _far_larger(where, held)):
        yield


@contextmanager
def within_folder(folder: Path, where: str) -> Iterator[None]:
    """Build no network that the weights in a transformers folder cannot fill; of a hub's, none beyond memory.

    Raises ModelError.
    """
    if not folder.is_dir():
        with within_memory(where):
            yield
        return
    held = sum(file.stat().st_size for file in folder.glob("*.safetensors") if file.is_file())
    with _Counting(TIMES * held + SLACK_BYTES, MOST_TENSORS, _far_larger(where, held)):
        yield


def _far_larger(where: str, held: int) -> ModelError:
    return ModelError(
        f"{where} describes a network that is far larger than its weights ({held / 1e6:.1f} MB); save the model again"
    )


def check_plan(plan: Preprocessing, where: str) -> None:
    """Raise ModelError where a sample's sizes or statistics are impossible or beyond all use.

    `where` says which model: for the sentence.
    """
    size, channels = plan.size or (), plan.channels
    sides = [side for side in (*size, *(plan.resize or ()), channels, plan.max_length) if side is not None]
    if any(side < 1 for side in sides):
        raise ModelError(f"{where} takes samples of an impossible size, {_sides(sides)}; {_AGAIN}")
    for shape in (size, plan.resize or ()):
        if math.prod(shape) * (channels or 1) > MOST_ELEMENTS:
            raise ModelError(
                f"{where} takes samples of {_sides([channels or 1, *shape])}, more than {MOST_ELEMENTS:,} values: give "
                "it a smaller input (input_size)"
            )
    if plan.parts and (plan.kind != "vector" or sum(part.width for part in plan.parts) != math.prod(size)):
        raise ModelError(f"{where} has inputs that do not make up its samples; {_AGAIN}")
    want = channels if plan.kind in ("image", "series") else (size[0] if size else None)
    for name, values in (("mean", plan.mean), ("std", plan.std)):
        if any(abs(value) > LARGEST or not math.isfinite(value) for value in values):
            raise ModelError(f"{where} has a {name} that is no number of a float; {_AGAIN}")
        if values and want is not None and len(values) != want:
            raise ModelError(
                f"{where} has {len(values)} numbers as {name} for {want} channels or columns; {_AGAIN}"
            )
    if plan.mean and plan.std and len(plan.mean) != len(plan.std):
        raise ModelError(f"{where} has {len(plan.mean)} means and {len(plan.std)} deviations; {_AGAIN}")


LARGEST = 1e30  # of a mean or deviation: a float32 holds it, and its reciprocal
_AGAIN = "save the model again, or name its architecture and weights"


def _sides(sides: list[int]) -> str:
    return " × ".join(f"{side:,}" for side in sides[:4])
