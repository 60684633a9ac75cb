"""A training in parts: where it stands between two of its steps, and a part that pauses there or goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from foretoll.errors import ModelError, one_line
from foretoll.models.on_disk import in_memory, on_disk
from foretoll.training import Recorded

if TYPE_CHECKING:
    from foretoll.options.base import Training
    from foretoll.options.stepper import Stepper

_Place = tuple[int | str, str]  # of a weight, or of a number of the optimiser's for a parameter
OptimizerState = Mapping[int, Mapping[str, Any]]  # by parameter: tensors and numbers by name


@dataclass(frozen=True)
class TrainingState:
    """All that the next step of a training follows from, on the CPU.

    epoch, position: passes over the data that are whole, and the steps taken of the one after them. weights: of the
    network, buffers included. scaler: of fp16's losses. random: states of torch's generators, the CPU's first.
    """

    epoch: int
    position: int
    recorded: Recorded
    weights: Mapping[str, Tensor]
    optimizer: OptimizerState
    random: tuple[Tensor, ...]
    scaler: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, training: Training, stepper: Stepper, recorded: Recorded, at: tuple[int, int]
    ) -> TrainingState:
        """The state now, after step `at[1]` of epoch `at[0]`."""
        state: dict[int, dict[str, Any]] = stepper.optimizer.state_dict()["state"]
        every: dict[_Place, Any] = {
            ("weights", name): value for name, value in training.model.network.state_dict().items()
        }
        every |= {(number, name): value for number, of in state.items() for name, value in of.items()}
        kept = _kept(every)
        weights = {name: value for (place, name), value in kept.items() if place == "weights"}
        optimizer = {number: {name: kept[number, name] for name in of} for number, of in state.items()}
        random = [torch.get_rng_state()]
        if stepper.device.type == "cuda":
            random.append(torch.cuda.get_rng_state(stepper.device))
        return cls(*at, recorded, weights, optimizer, tuple(random), stepper.scaler_state())

    def restore(self, training: Training, stepper: Stepper) -> None:
        """Put a training that has begun anew, with its stepper, where this one was.

        Raises ModelError where its network or its optimiser are others.
        """
        whole = stepper.optimizer.state_dict()
        state = {
            number: {name: in_memory(v) if isinstance(v, Tensor) else v for name, v in values.items()}
            for number, values in self.optimizer.items()
        }
        try:
            training.model.network.load_state_dict(self.weights)
            stepper.optimizer.load_state_dict({**whole, "state": state})
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelError(
                f"the training to go on with is of another network or optimiser ({one_line(str(error), 80)}): "
                "begin anew"
            ) from error
        stepper.go_on_from(self.recorded.steps_tried, self.scaler)
        torch.set_rng_state(self.random[0])
        if stepper.device.type == "cuda" and len(self.random) > 1:
            torch.cuda.set_rng_state(self.random[1], stepper.device)


class Part:
    """A part of a training; this one is the whole of it.

    begun: where it goes on from; None: from the start. paused: where it stands, once it has paused.
    """

    paused: TrainingState | None = None

    def __init__(self, begun: TrainingState | None = None) -> None:
        self.begun = begun

    @property
    def over(self) -> bool:
        """Whether to pause after the step, or the evaluation, that was just taken."""
        return False

    def due(self, step: int) -> bool:
        """Whether to look at the model after this step, beside the training's own evaluations."""
        return False

    def looked(self, step: int, quality: float) -> None:
        """The model was looked at, on the validation data; the training knows nothing of it."""


def _kept(values: Mapping[_Place, Any]) -> dict[_Place, Any]:
    """Copies on the CPU, large ones on disk; what is no tensor as it is."""
    tensors = [name for name, value in values.items() if isinstance(value, Tensor)]
    copies = on_disk([values[name] for name in tensors])
    return {**values, **dict(zip(tensors, copies, strict=True))}
