"""What of the training settings a study varies: any of the record, drawn per setting from the values of its file."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, create_model, model_validator

from foretoll.errors import UsageError, shown
from foretoll.records import Record, TrainingSettings
from foretoll.records.settings import setting_fields

DRAWN = ("lr", "batch_size", "optimizer")  # first, so that the draws of studies that vary nothing else stay
MORE = tuple(name for name in setting_fields() if name not in (*DRAWN, "until", "metric", "seed"))


class _Vary(Record):
    """Training settings drawn per setting from these values: any of the record but its target, metric and seed."""

    lr: tuple[float, ...] = ()
    batch_size: tuple[int, ...] = ()
    optimizer: tuple[str, ...] = ()
    train_samples: tuple[int, ...] = ()
    held_out: tuple[int, ...] = ()  # validation and test samples that are kept at least
    until_share: tuple[float, ...] = (0.95,)

    @model_validator(mode="after")
    def _possible(self) -> _Vary:
        for name in ("optimizer", *MORE):
            for value in getattr(self, name):
                try:
                    TrainingSettings.model_validate({name: value})
                except ValidationError as error:
                    for problem in error.errors():
                        if problem["loc"]:  # what concerns several settings at once depends on the others
                            told = problem["msg"].removeprefix("Value error, ")
                            raise ValueError(
                                f"{name} {shown(value, 40)}: {told[:1].lower()}{told[1:]}"
                            ) from None
        return self

    def draw(self, settings: TrainingSettings, rng: random.Random) -> TrainingSettings:
        """The settings with one of the values of each that varies. UsageError where they contradict each other."""
        drawn = {name: rng.choice(values) for name in (*DRAWN, *MORE) if (values := getattr(self, name))}
        if not drawn:
            return settings
        given = {name: getattr(settings, name) for name in settings.model_fields_set}
        try:
            return TrainingSettings.model_validate({**given, **drawn})
        except ValidationError as error:
            raise UsageError(f"vary: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


if TYPE_CHECKING:
    Vary = _Vary
else:
    Vary = create_model("Vary", __base__=_Vary, **dict.fromkeys(MORE, (tuple[Any, ...], ())))
