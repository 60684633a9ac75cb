"""A pilot that went on, kept in a folder so that `retrain` goes on from it: its steps are taken, and paid for, once.

One file of tensors, whose header says whose they are: nothing is unpickled, and no code is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict, Field, ValidationError
from torch import Tensor

from foretoll.atomic import replacing
from foretoll.errors import ForetollError, UsageError, one_line, shown
from foretoll.models import weights_digest
from foretoll.models.weights import read_metadata, read_weights
from foretoll.options.part import TrainingState
from foretoll.records import EvalPoint, PhaseCost, Record, TrainingSettings
from foretoll.training import Recorded
from foretoll.workflows.context import Update

FILE = "pilot.safetensors"
_HEADER_KEY = "foretoll"


class PilotCard(Record):
    """Whose steps they are, and what of them is no tensor. A pilot is continued by the very same training alone."""

    schema_: Literal["foretoll.pilot/1"] = Field("foretoll.pilot/1", alias="schema")
    option: str
    settings: TrainingSettings
    model: str  # digest of the source model's weights
    target: str  # digest of the target's labels in their order, and of what its card says of it
    task_shift: bool
    epoch: int
    position: int
    steps: int
    evaluations: int
    curve: tuple[EvalPoint, ...]
    phases: dict[str, PhaseCost]
    scaler: Mapping[str, float]
    optimizer: Mapping[str, float | bool | None]  # numbers of its state, by parameter and name

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


def keep_pilot(
    folder: str | Path, update: Update, option: str, settings: TrainingSettings, state: TrainingState
) -> Path:
    """Write a pilot to a folder and return its path; ForetollError where it cannot be written."""
    from safetensors.torch import save

    recorded = state.recorded
    tensors = {f"weights.{name}": value for name, value in state.weights.items()}
    numbers: dict[str, Any] = {}
    for parameter, values in state.optimizer.items():
        for name, value in values.items():
            place = tensors if isinstance(value, Tensor) else numbers
            place[f"optimizer.{parameter}.{name}"] = value
    tensors |= {f"random.{number}": value for number, value in enumerate(state.random)}
    tensors |= {"norms": recorded.norms, "skips": recorded.skips, "losses": recorded.losses}
    card = PilotCard(
        **_whose(update, option, settings),
        epoch=state.epoch,
        position=state.position,
        steps=recorded.steps,
        evaluations=recorded.evaluations,
        curve=recorded.curve,
        phases=dict(recorded.phases),
        scaler=dict(state.scaler),
        optimizer=numbers,
    )
    path = Path(folder).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        whole = {name: value.contiguous() for name, value in tensors.items()}
        with replacing(path / FILE, ".part") as stream:
            stream.write(save(whole, {_HEADER_KEY: card.model_dump_json(by_alias=True)}))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ForetollError(
            f"the pilot cannot be kept in {shown(path)} ({reason}): name another folder with --keep-pilot"
        ) from error
    return path.resolve()


def kept_pilot(folder: str | Path, update: Update, option: str, settings: TrainingSettings) -> TrainingState:
    """The state that a training goes on from.

    Raises UsageError where the folder holds no pilot, or one of another training; ModelError where it is damaged.
    """
    path = Path(folder).expanduser() / FILE
    if not path.is_file():
        raise UsageError(
            f"--from-pilot {shown(folder)} holds no pilot: name the folder that estimate --keep-pilot wrote"
        )
    tensors, text = read_weights(path), read_metadata(path).get(_HEADER_KEY, "")
    try:
        card = PilotCard.model_validate_json(text)
        found = _state(card, tensors)
    except (ValidationError, KeyError, ValueError) as error:
        raise UsageError(
            f"--from-pilot {shown(folder)} holds no pilot that can be read ({one_line(str(error), 80)}): make it "
            "again with estimate --keep-pilot"
        ) from error
    asked = _whose(update, option, settings)
    others = [_NAMES[name] for name, value in asked.items() if getattr(card, name) != value]
    if others:
        raise UsageError(
            f"--from-pilot {shown(folder)} is the pilot of another training ({', '.join(others)} differ): retrain "
            "without it, or with what the estimate was made with"
        )
    return found


_NAMES = {
    "option": "option",
    "settings": "settings",
    "model": "model",
    "target": "target",
    "task_shift": "task",
}


def _whose(update: Update, option: str, settings: TrainingSettings) -> dict[str, Any]:
    return {
        "option": option,
        # when a run is given up changes none of its steps; as read from a record, with transforms by their names
        "settings": _as_read(settings.model_copy(update={"give_up": None})),
        "model": weights_digest(update.model.network),
        "target": _told_apart(update),
        "task_shift": update.task_shift,
    }


def _as_read(settings: TrainingSettings) -> TrainingSettings:
    return TrainingSettings.model_validate_json(settings.model_dump_json())


def _told_apart(update: Update) -> str:
    found = hashlib.sha256(update.target.card.model_dump_json().encode())
    for split in (update.target.train, update.target.validation):
        labels = split.labels
        if labels is not None:
            found.update(labels.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:32]


def _state(card: PilotCard, tensors: dict[str, Tensor]) -> TrainingState:
    optimizer: dict[int, dict[str, Any]] = {}
    values = {name: value for name, value in tensors.items() if name.startswith("optimizer.")}
    for place, value in (*values.items(), *card.optimizer.items()):
        _, parameter, name = place.split(".", 2)
        optimizer.setdefault(int(parameter), {})[name] = value
    weights = {
        name.removeprefix("weights."): value for name, value in tensors.items() if name.startswith("weights.")
    }
    random = tuple(tensors[f"random.{number}"] for number in range(2) if f"random.{number}" in tensors)
    if not random or random[0].dtype is not torch.uint8:
        raise ValueError("it lacks the state of the random numbers")
    recorded = Recorded(
        card.steps,
        card.evaluations,
        card.curve,
        tensors["norms"],
        tensors["skips"],
        tensors["losses"],
        card.phases,
    )
    return TrainingState(card.epoch, card.position, recorded, weights, optimizer, random, card.scaler)
