"""The base of the accumulators: named states that are added to, batch by batch, and merged exactly.

Laws of every accumulator here: the value of `compute` is the same for any batch size, order of the batches,
and split of the data over accumulators that are merged afterwards. A distributed run is such a split: `compute`
merges the accumulators of all its processes first.

The interface is that of `torchmetrics.Metric` (update, compute, merge_state, reset, to), without the import:
torchmetrics loads torchvision, torch._dynamo and transformers, which took longer than most estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Generic, Literal, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from foretoll.errors import DataError, UsageError

Value = TypeVar("Value")
Reduction = Literal["sum", "min", "max", "cat"]  # how the states of two accumulators become one
_JOINED: dict[Reduction, Callable[[Tensor, Tensor], Tensor]] = {
    "sum": torch.add,
    "min": torch.minimum,
    "max": torch.maximum,
}


class Accumulator(Generic[Value]):
    """States whose sizes the first batch shows, and what is computed from them.

    A subclass has `update`, which calls `_size(key, …)` before it touches such states, and `_value`. `key` is what
    two accumulators must have in common to be merged: widths, layer names.
    """

    def __init__(self) -> None:
        self._reductions: dict[str, Reduction] = {}
        self._initial: dict[str, Tensor | None] = {}  # None for a list
        self._sized: tuple[Any, ...] | None = None
        self._device = torch.device("cpu")

    def __init_subclass__(cls) -> None:
        if (
            "update" in cls.__dict__
        ):  # a state must never hold on to the graph of the batch that it was made from
            cls.update = torch.no_grad()(cls.update)  # type: ignore[attr-defined]

    @property
    def device(self) -> torch.device:
        """Where the states live: the device of the first batch."""
        return self._device

    def to(self, device: torch.device | str) -> Self:
        """Move the states to a device."""
        self._device = torch.device(device)
        for name, value in self._states().items():
            moved = value.to(device) if isinstance(value, Tensor) else [part.to(device) for part in value]
            setattr(self, name, moved)
        return self

    def compute(self) -> Value:
        """The value of all that was seen, by every process of a distributed run.

        Raises:
            DataError: nothing was seen, or the processes were fed different layers or widths; on all of them alike.

        """
        return self._of_all_processes()._value()

    def merge_state(self, other: Self) -> None:
        """Take in what another accumulator of the same kind and settings has seen."""
        self._check_kin(other)
        if other._sized is None:
            return
        self._size(other._sized, self.device if self._sized else other.device)
        for name, value in other._states().items():
            if isinstance(value, Tensor):
                join = _JOINED[self._reductions[name]]
                setattr(self, name, join(getattr(self, name), self._at_home(value)))
            else:
                getattr(self, name).extend(self._at_home(part) for part in value)

    def reset(self) -> None:
        """Forget what was seen."""
        for name, initial in self._initial.items():
            setattr(self, name, [] if initial is None else initial.clone().to(self.device))

    def _value(self) -> Value:
        """What `compute` gives, from the states as they are. For subclasses."""
        raise NotImplementedError

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        """Add the states whose shapes follow from `key`. A hook for subclasses."""
        raise NotImplementedError

    def _settings(self) -> tuple[Any, ...]:
        """The settings that two accumulators must share to be merged."""
        return ()

    def _add_state(self, name: str, initial: Tensor | None, reduction: Reduction) -> None:
        """Add a state: a tensor, or a list of tensors to be concatenated (`initial` None)."""
        self._reductions[name], self._initial[name] = reduction, initial
        setattr(self, name, [] if initial is None else initial.clone())

    def _add_zeros(self, name: str, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        self._add_state(name, torch.zeros(shape, dtype=dtype, device=device), "sum")

    def _states(self) -> dict[str, Tensor | list[Tensor]]:
        return {name: getattr(self, name) for name in self._reductions}

    def _size(self, key: tuple[Any, ...], device: torch.device) -> None:
        """Make the states on first use; refuse a batch of another shape than the first."""
        if self._sized is None:
            # Apple's GPU has no float64: the sums live on the CPU there
            self._device = torch.device("cpu") if device.type == "mps" else device
            self._make_states(key, self._device)
            self._sized = key
        elif self._sized != key:
            raise DataError(
                f"{type(self).__name__} was fed {key} after {self._sized}: "
                "record all batches with the same model and layers"
            )

    def _require_data(self) -> None:
        if self._sized is None:
            raise DataError(f"{type(self).__name__} has seen no data: call update first")

    def _at_home(self, values: Tensor) -> Tensor:
        """The tensor on the device of the states."""
        return values.to(self.device)

    def _check_kin(self, other: object) -> None:
        """Refuse an accumulator of another kind or other settings."""
        if not isinstance(other, type(self)):
            raise UsageError(
                f"cannot merge {type(other).__name__} into {type(self).__name__}: "
                "merge accumulators of one kind"
            )
        if self._settings() != other._settings():
            raise UsageError(
                f"cannot merge two {type(self).__name__} with settings {other._settings()} "
                f"and {self._settings()}: make both with the same settings"
            )

    def _of_all_processes(self) -> Self:
        """What all processes of a distributed run have seen, merged in the order of their ranks; itself without one."""
        if not (dist.is_available() and dist.is_initialized()):
            return self
        each: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(each, deepcopy(self).to("cpu"))  # the others have devices of their own
        merged: Self = each[0]
        for other in each[1:]:
            merged.merge_state(other)
        return merged
