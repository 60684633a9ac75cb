"""What is seen of a loop while it runs: its phases, steps, batch sizes, precision and learning rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from foretoll.tracking.rates import Rates
from foretoll.training import EVALUATION, TRAINING, Recorder


class Observer:
    """Sees every call of the model and every step of the optimiser, and passes them to the recorder.

    A call in training mode, with gradients, is training; any other is evaluation. Where a step is taken although no
    call was training (a network that is trained in evaluation mode, for its frozen batch norm), gradients alone decide
    from then on.
    """

    def __init__(self, recorder: Recorder, optimizer: torch.optim.Optimizer) -> None:
        self.recorder, self.optimizer = recorder, optimizer
        self.rates = Rates()
        self.precision: str | None = None
        self.input: tuple[tuple[int, ...], bool] | None = (
            None  # of a sample: its shape, whether it holds integers
        )
        self._sizes: Counter[int] = Counter()  # samples of a call in training
        self._calls: Counter[int] = Counter()  # calls for one step
        self._since = 0
        self._mode_counts = True
        self._told = False
        sizes = [sum(p.numel() for p in group["params"]) for group in optimizer.param_groups]
        self.main_group = sizes.index(max(sizes)) if sizes else 0

    def called(self, training: bool, args: Iterable[Any], kwargs: dict[str, Any]) -> None:
        """The model was called with these inputs, in training mode or not."""
        learns = (training or not self._mode_counts) and torch.is_grad_enabled()
        self.recorder.enter(TRAINING if learns else EVALUATION)
        if not learns:
            return
        self._since += not self._told
        tensor = first_tensor((*args, *kwargs.values()))
        if tensor is None or not tensor.ndim:
            return
        if not self._told:
            self._sizes[len(tensor)] += 1
        if self.precision is None:
            self.input = tuple(tensor.shape[1:]), not tensor.is_floating_point()
            self.precision = _precision(tensor.device.type)

    def batch(self, samples: int | None) -> None:
        """A batch is trained on; from now on calls of the model are not taken for batches."""
        if not self._told:
            self._told, self._since = True, 0
            self._sizes.clear()
        self.recorder.enter(TRAINING)
        self._since += 1
        if samples:
            self._sizes[samples] += 1

    def stepped(self, norm: Tensor | None, skipped: Tensor | None) -> None:
        """The optimiser took a step with a gradient of this norm; `skipped` is not 0 where it left it out."""
        if not self._since:
            self._mode_counts = False
        self._calls[max(self._since, 1)] += 1
        self._since = 0
        self.recorder.enter(TRAINING)
        self.recorder.step(norm, skipped=skipped)
        lr = self.optimizer.param_groups[self.main_group]["lr"]
        if not isinstance(lr, Tensor):  # one on a device is not read at every step
            self.rates.append(lr)

    @property
    def batch_size(self) -> int | None:
        """Samples of most calls in training; None where none was seen."""
        return self._sizes.most_common(1)[0][0] if self._sizes else None

    @property
    def accumulate(self) -> int:
        """Calls in training for most steps."""
        return self._calls.most_common(1)[0][0] if self._calls else 1


def parameters_of(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, nn.Parameter]:
    """What an optimiser may change, by its name in the model (by id), else by its place in the optimiser."""
    return {
        names.get(id(parameter), f"optimizer.{i}.{j}"): parameter
        for i, group in enumerate(optimizer.param_groups)
        for j, parameter in enumerate(group["params"])
        if isinstance(parameter, nn.Parameter)
    }


def epoch_length(seen: Observer, loader: DataLoader[Any] | None, samples: int, *, ranks: int) -> int | None:
    """Optimisation steps of an epoch: by the loader, else by the training samples; None where neither is known."""
    if loader is not None:
        return max(-(-len(loader) // seen.accumulate), 1)
    if not samples or not seen.batch_size:
        return None
    return max(-(-samples // (seen.batch_size * seen.accumulate * ranks)), 1)


def first_tensor(values: Iterable[Any]) -> Tensor | None:
    """The first tensor in these, also within mappings and sequences."""
    for value in values:
        if isinstance(value, Tensor):
            return value
        inside = value.values() if hasattr(value, "values") and hasattr(value, "keys") else value
        if isinstance(inside, list | tuple) or inside is not value:
            found = first_tensor(inside)
            if found is not None:
                return found
    return None


def _precision(device: str) -> str:
    """fp32, bf16 or fp16: what autocast computes in here."""
    if not torch.is_autocast_enabled(device):
        return "fp32"
    return {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(torch.get_autocast_dtype(device), "fp32")
