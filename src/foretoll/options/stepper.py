"""One optimisation step as the settings ask for it: the same one in a training, in its pilot and in a step probe.

A step is a step of the optimiser, whatever the number of batches behind it. The gradient norm that it gives is that of
the whole gradient, before clipping, and without the factor that fp16 needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from foretoll.errors import UsageError, is_out_of_memory, one_line
from foretoll.options.augment import Augmentation
from foretoll.options.objective import Objective
from foretoll.options.optimizer import make_optimizer
from foretoll.options.schedule import lr_share, planned_steps
from foretoll.quality import backward, check_batch_of_one

if TYPE_CHECKING:
    from foretoll.data import Batch
    from foretoll.options.base import Option, Training
    from foretoll.records import TrainingSettings

LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}


def check_precision(precision: str, device: torch.device | str) -> None:
    """Refuse a precision that the device has not (UsageError)."""
    kind = torch.device(device).type
    if precision == "fp16" and kind == "cpu":
        raise UsageError("fp16 needs a GPU: use --precision bf16, which a CPU can do, or fp32")
    if precision == "bf16" and kind == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UsageError("this GPU has no bf16: use --precision fp16 or fp32")


class Stepper:
    """Takes the steps of one training, which is open and has begun. `samples`: of an epoch, by which schedules are
    planned; those of the training itself unless it is a part of the whole.
    """

    def __init__(
        self,
        training: Training,
        option: Option,
        settings: TrainingSettings,
        *,
        device: torch.device | str = "cpu",
        samples: int | None = None,
    ) -> None:
        self.training, self.settings, self.device = training, settings, torch.device(device)
        check_precision(settings.precision, self.device)
        self.steps = 0
        self.optimizer = make_optimizer(training, option, settings)
        self.objective = Objective(training, settings)
        self.augment = Augmentation(settings.augment)
        per_epoch = settings.steps_per_epoch(len(training.train) if samples is None else samples)
        self.planned = planned_steps(settings, per_epoch)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._scaler = torch.amp.GradScaler(self.device.type) if settings.precision == "fp16" else None
        self._compiled: nn.Module | None = None
        self.skipped: Tensor | None = None  # not 0 where fp16 left the last step out, its gradient too large

    def scaler_state(self) -> dict[str, float]:
        """What fp16 scales its losses by, to go on from; empty without it."""
        return {} if self._scaler is None else dict(self._scaler.state_dict())

    def go_on_from(self, steps: int, scaler: Mapping[str, float]) -> None:
        """Take the next step as one that follows on so many."""
        self.steps = steps
        if self._scaler is not None and scaler:
            self._scaler.load_state_dict(dict(scaler))

    def take(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """One step on one or more batches; returns their mean loss and the global gradient norm, on the device.

        Under fp16 a step whose gradient overflows is taken without effect, and its norm is infinite or NaN.
        """
        self._set_rates()
        own = self.training.own_step(batches, self.optimizer.param_groups[0]["lr"])
        if own is not None:
            self.steps += 1
            return own
        self.optimizer.zero_grad(set_to_none=True)
        shares = self._shares(batches)
        with self._compiling():
            losses = [
                self._backward(batch, share) for batch, share in zip(batches[:-1], shares, strict=False)
            ]
            losses.append(self._backward(batches[-1], shares[-1], last=True))
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)
        trained = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
        if self.settings.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(trained, self.settings.clip_norm, norm)
        if self._scaler is None:
            self.optimizer.step()
        else:
            self._scaler.step(self.optimizer)
            self._scaler.update()
            self.skipped = ~torch.isfinite(norm)
        self.steps += 1
        self.training.after_batch(batches[-1].labels.to(self.device))
        return losses[0] if len(losses) == 1 else torch.stack(losses).sum(), norm.detach()

    def _backward(self, batch: Batch, share: float, *, last: bool = False) -> Tensor:
        """Add a batch's part of the gradient; its part of the loss."""
        inputs = self.augment(batch.inputs)
        inputs = inputs.to(self.device) if isinstance(inputs, Tensor) else inputs
        labels = batch.labels.to(self.device)
        model = self.training.model
        if len(labels) == 1:
            check_batch_of_one(model)
        with self._autocast():
            outputs = model(inputs)
            loss = self.training.step_loss(self.objective.loss(model, outputs, labels), inputs, outputs)
        if share != 1:
            loss = loss * share
        backward(loss, self._scaler)
        if not last:
            self.training.after_batch(labels)
        return loss.detach()

    def _shares(self, batches: Sequence[Batch]) -> list[float]:
        if len(batches) == 1:
            return [1.0]
        masses = [self.objective.mass(batch.labels) for batch in batches]
        return [mass / sum(masses) for mass in masses]

    def _set_rates(self) -> None:
        share = lr_share(self.steps, self.settings, self.planned)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share

    def _autocast(self) -> AbstractContextManager[object]:
        if self.settings.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, LOW[self.settings.precision])

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        """Call the network compiled, within steps alone: evaluations and whoever is served have it as it is."""
        if not self.settings.compile:
            yield
            return
        network = self.training.model.network
        if self._compiled is not network:
            network.compile()
            self._call, self._compiled = network._compiled_call_impl, network
        network._compiled_call_impl = self._call
        try:
            yield
        except Exception as error:
            if self.steps or is_out_of_memory(error) or not type(error).__module__.startswith("torch._"):
                raise
            raise UsageError(
                f"the network cannot be compiled ({one_line(str(error), 120)}): leave out --compile"
            ) from error
        finally:
            network._compiled_call_impl = None
