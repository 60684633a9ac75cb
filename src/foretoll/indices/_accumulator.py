"""The base of the accumulators: torchmetrics metrics whose states take their size from the first batch.

Laws of every accumulator here: the value of `compute` is the same for any batch size, order of the batches,
and split of the data over accumulators that are merged afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torchmetrics import Metric

from foretoll.errors import DataError, UsageError


class Accumulator(Metric):
    """A metric whose tensor states are made when the first batch shows their shapes.

    A subclass calls `_size(key, …)` before it touches such states. `key` is what two accumulators must
    have in common to be merged: widths, layer names.
    """

    full_state_update = False

    def __init__(self) -> None:
        super().__init__(sync_on_compute=True)
        self._sized: tuple[Any, ...] | None = None

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        """Add the states whose shapes follow from `key`. A hook for subclasses."""
        raise NotImplementedError

    def _size(self, key: tuple[Any, ...], device: torch.device) -> None:
        """Make the states on first use; refuse a batch of another shape than the first."""
        if self._sized is None:
            # Apple's GPU has no float64: the sums live on the CPU there
            home = torch.device("cpu") if device.type == "mps" else device
            self._device = home
            self._make_states(key, home)
            self._sized = key
        elif self._sized != key:
            raise DataError(
                f"{type(self).__name__} was fed {key} after {self._sized}: "
                "record all batches with the same model and layers"
            )

    @property
    def update_called(self) -> bool:
        """Always true: compute says in its own words that no data were seen, without torchmetrics' warning."""
        return True

    def _require_data(self) -> None:
        if self._sized is None:
            raise DataError(f"{type(self).__name__} has seen no data: call update first")

    def sync(
        self,
        dist_sync_fn: Callable[..., Any] | None = None,
        process_group: Any | None = None,
        should_sync: bool = True,
        distributed_available: Callable[[], bool] | None = None,
    ) -> None:
        """Gather the states of all processes of a distributed run, also of those that saw no data.

        Raises:
            DataError: the processes were fed different layers or widths; on all of them alike.

        """
        if should_sync and not self._is_synced and dist.is_available() and dist.is_initialized():
            self._agree(process_group or self.process_group)
        super().sync(dist_sync_fn, process_group, should_sync, distributed_available)

    def _agree(self, group: Any) -> None:
        """Bring the states of all processes into one form: a gather of unequal ones would hang or mix them up."""
        lists = {name: value for name, value in self.metric_state.items() if isinstance(value, list)}
        forms = {name: (value[0].dtype, value[0].shape[1:]) for name, value in lists.items() if value}
        found: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(found, (self._sized, forms, self._reference()), group=group)
        keys = [key for key, _, _ in found if key is not None]
        if not keys:
            return
        if any(key != keys[0] for key in keys):
            raise DataError(
                f"{type(self).__name__} was fed {keys[0]} in one process and another form in a second: "
                "record all batches with the same model and layers"
            )
        self._size(keys[0], self.device)
        for name, (dtype, shape) in {n: form for _, each, _ in found for n, form in each.items()}.items():
            if not getattr(self, name):
                setattr(self, name, [torch.empty((0, *shape), dtype=dtype, device=self.device)])
        reference = next((each for _, _, each in found if each is not None), None)
        if reference is not None:
            self._refer_to(reference)

    def _reference(self) -> Tensor | None:
        """The point, on the CPU, about which the sums are taken; None where they are taken as they are."""
        return None

    def _refer_to(self, reference: Tensor) -> None:
        """Take the sums about this point from now on. A hook for accumulators with such a point."""

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Take in what another accumulator of the same kind and settings has seen."""
        incoming_state = self._check_kin(incoming_state)
        if incoming_state._sized is None:
            return
        self._size(incoming_state._sized, self.device if self._sized else incoming_state.device)
        state = {
            name: [part.to(self.device) for part in value]
            if isinstance(value, list)
            else value.to(self.device)
            for name, value in incoming_state.metric_state.items()
        }
        self._reduce_states(state)
        self._update_count += incoming_state._update_count
        self._computed = None

    def _check_kin(self, incoming_state: object) -> Accumulator:
        """The incoming accumulator, if it is of the same kind and settings."""
        if not isinstance(incoming_state, type(self)):
            raise UsageError(
                f"cannot merge {type(incoming_state).__name__} into {type(self).__name__}: "
                "merge accumulators of one kind"
            )
        if self._settings() != incoming_state._settings():
            raise UsageError(
                f"cannot merge two {type(self).__name__} with settings {incoming_state._settings()} "
                f"and {self._settings()}: make both with the same settings"
            )
        return incoming_state

    def _settings(self) -> tuple[Any, ...]:
        """The settings that two accumulators must share to be merged."""
        return ()

    def _add_zeros(self, name: str, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> None:
        self.add_state(name, torch.zeros(shape, dtype=dtype, device=device), dist_reduce_fx="sum")

    def _at_home(self, values: Tensor) -> Tensor:
        """The tensor on the device of the states."""
        return values.to(self.device)
