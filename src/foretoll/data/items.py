"""Reading a user's Dataset: whatever its own code raises becomes one sentence that names the item.

A Dataset says how many items it has and gives each; both are somebody else's code, which may fail for one item of
thousands, lie about its length, or give nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset

from foretoll.data.limits import BOMB_BYTES, BOMB_RATIO
from foretoll.errors import DataError, ForetollError, is_out_of_memory, one_line

MOST_ITEMS = 10**11  # more would not even fit as row numbers


class Joined(ConcatDataset[Any]):
    """Data sets one after the other, of which messages say the user's class and not this one."""


class KeptDataset(Dataset[Any]):
    """Items of somebody's data set, in files that go with this process; `owner` is that one's class."""

    owner: str


def class_name(dataset: Any) -> str:
    """The class of a Dataset as its owner knows it; of joined ones that of the first."""
    one = dataset.datasets[0] if isinstance(dataset, Joined) else dataset
    return one.owner if isinstance(one, KeptDataset) else type(one).__name__


def size_of(dataset: Any) -> int:
    """How many items a Dataset says it has; DataError where it cannot say, or says what cannot be."""
    name = class_name(dataset)
    try:
        size = len(dataset)
    except Exception as error:
        raise DataError(
            f"{name} does not say how many items it has ({reason(error)}): let its __len__ return their number"
        ) from error
    if size > MOST_ITEMS:
        raise DataError(
            f"{name} says that it has {size:,} items, which nothing can hold: correct its __len__"
        )
    return size


def item_of(dataset: Any, row: int) -> Any:
    """One item of a Dataset; DataError where it cannot be read."""
    try:
        return dataset[row]
    except ForetollError:
        raise
    except Exception as error:
        name = class_name(dataset)
        if is_out_of_memory(error):
            raise DataError(
                f"item {row} of {name} takes more memory than there is: make its items smaller"
            ) from error
        raise DataError(
            f"item {row} of {name} cannot be read ({reason(error)}): correct its __getitem__, or leave that item out"
        ) from error


def reason(error: BaseException) -> str:
    """What an error of somebody else's code says, in a few words."""
    text = one_line(str(error), 100)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def array_of(value: Any, name: str) -> npt.NDArray[Any]:
    """An array or a tensor of any device and precision, or a list, as a numpy array.

    Raises:
        DataError: it is ragged, holds objects or no values at all, or repeats a few of them very often.

    """
    try:
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        array = np.asarray(value)
    except Exception as error:
        raise DataError(
            f"{name} is ragged or no plain array ({reason(error)}): give plain arrays of numbers"
        ) from error
    if array.dtype.kind == "O":
        raise DataError(f"{name} is ragged or holds Python objects: give plain arrays of numbers")
    check_repeated(array, name)
    return array


def check_repeated(array: npt.NDArray[Any], name: str) -> None:
    """Refuse an array that repeats a few values (`np.broadcast_to`, `expand`) to far more than data are."""
    pairs = zip(array.shape, array.strides, strict=True)
    held = math.prod(size for size, stride in pairs if stride) * array.itemsize
    if array.nbytes > BOMB_BYTES and array.nbytes > BOMB_RATIO * held:
        raise DataError(
            f"{name} of shape {array.shape} repeats {held:,} bytes to {array.nbytes:,}, which no data do: give a copy "
            "of it if it is meant"
        )
