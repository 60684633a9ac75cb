"""How many labelled samples are needed: the forecast for parts of the target's training data, from the same look.

Each part is forecast as a target of that size would be: with the steps of its epochs, and with what probes and scores
read in so many of the samples that were looked at. No sweep, no training step is added. Probabilities and qualities are
then made not to fall with the samples, away from the forecast for all of them, which stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from foretoll.forecast import Case, Forecaster, Prediction, compose_costs
from foretoll.forecast.early import schedule_of
from foretoll.forecast.quality_curve import rising_from
from foretoll.records import Forecast, GridIntensity, SamplesForecast, StepProbe, TrainingSettings
from foretoll.workflows.context import Update
from foretoll.workflows.goal import in_unit
from foretoll.workflows.whole_curve import NamedOption

SHARES = (1 / 8, 1 / 4, 1 / 2)  # of the training data at hand, beside all of them
TOO_FEW = "too few samples for a linear probe"
Signals = dict[str, float | None]


def parts_of(samples: int) -> tuple[int, ...]:
    """The sizes below `samples` that are forecast, rising."""
    return tuple(sorted({size for share in SHARES if (size := round(share * samples)) > 0} - {samples}))


def why_no_samples(update: Update) -> list[str]:
    """Why no part of the target's samples can be forecast, as a warning; empty where they can."""
    if update.target.train.labels is not None:
        return []
    return [f"{update.target.name} has no labels: how many are needed could not be forecast"]


def forecast_samples(
    asked: NamedOption,
    of_fewer: Mapping[int, Signals | None],
    forecaster: Forecaster,
    settings: TrainingSettings,
    grid: GridIntensity | None,
) -> tuple[SamplesForecast, ...]:
    """The forecast by number of training samples, rising, all of them last. `of_fewer`: as `Survey` has it."""
    whole = asked.case
    cases = {
        size: case_of_part(whole, size, of_fewer.get(size), settings)
        for size in parts_of(whole.train_samples)
    }
    known = {size: case for size, case in cases.items() if case is not None} | {whole.train_samples: whole}
    made = agreed([asked.made if case is whole else forecaster.foretell(case) for case in known.values()])
    rows = {
        case.train_samples: SamplesForecast(
            samples=case.train_samples,
            steps_per_epoch=case.steps_per_epoch,
            forecast=_costs(told, case, asked.probe, grid, case.train_samples / whole.train_samples),
            quality=in_unit(told.quality, settings),
            reach_probability=told.reach_probability,
            served_probability=told.served_probability,
        )
        for case, told in zip(known.values(), made, strict=True)
    }
    return tuple(
        rows.get(size)
        or SamplesForecast(samples=size, steps_per_epoch=settings.steps_per_epoch(size), why_not=TOO_FEW)
        for size in (*cases, whole.train_samples)
    )


def case_of_part(whole: Case, size: int, fewer: Signals | None, settings: TrainingSettings) -> Case | None:
    """The same update with `size` training samples; None where so few allow no probe. Validation and test data stay.

    Only signals that the whole case has are taken anew, so that both are forecast from the same ones.
    """
    if fewer is None:
        return None
    steps = settings.steps_per_epoch(size)
    seen = {
        name: value
        for name, value in fewer.items()
        if value is not None and whole.signals.get(name) is not None
    }
    return whole.model_copy(
        update={
            "train_samples": size,
            "steps_per_epoch": steps,
            "max_epochs": settings.epoch_budget(steps),
            "looked_at": min(whole.looked_at, size),
            "signals": whole.signals | seen,
        }
    )


def agreed(made: Sequence[Prediction]) -> list[Prediction]:
    """Forecasts for rising numbers of samples with probabilities and quantiles of quality that do not fall.

    Away from the last one, which stays as it is, the running minimum is taken: a step that is isotonic, not learned.
    """
    reach = _risen([told.reach_probability for told in made])
    served = _risen([told.served_probability for told in made])
    qualities = [told.quality for told in made]
    ends = [
        _risen([None if quality is None else getattr(quality, end) for quality in qualities])
        for end in ("low", "median", "high")
    ]
    return [
        replace(
            told,
            reach_probability=reach[i],
            served_probability=served[i],
            quality=told.quality
            and told.quality.model_copy(
                update={name: row[i] for name, row in zip(("low", "median", "high"), ends, strict=True)}
            ),
        )
        for i, told in enumerate(made)
    ]


def _risen(values: Sequence[float | None]) -> list[float | None]:
    """The values made to rise to the last one; as they are where one is not known."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return list(values)
    return list(rising_from(np.array(known), len(known) - 1).tolist())


def _costs(
    told: Prediction, case: Case, probe: StepProbe | None, grid: GridIntensity | None, share: float
) -> Forecast:
    """Epochs, time and energy; passes before the first step are over so much fewer samples."""
    if told.forecast.epochs is None:
        return Forecast()
    if probe is not None:
        share = 0.0 if told.already_met else share
        joules = probe.joules_of_preparation
        probe = probe.model_copy(
            update={
                "seconds_of_preparation": share * probe.seconds_of_preparation,
                "joules_of_preparation": None if joules is None else share * joules,
            }
        )
    return compose_costs(
        told.forecast.epochs,
        schedule=schedule_of(case),
        probe=probe,
        grid=grid,
    )
