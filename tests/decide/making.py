"""Candidates with the figures that a decision looks at."""

from __future__ import annotations

from datetime import UTC, datetime

from foretoll.records import (
    Candidate,
    DataCard,
    Forecast,
    InferenceCost,
    Interval,
    ModelCard,
    Outcome,
    Preprocessing,
    Quality,
    Run,
    Toll,
    TrainingSettings,
)

DATA = DataCard(
    uri="npz:new.npz", name="new", kind="vector", shape=(6,), classes=("a", "b"), train=60, validation=20, test=20
)  # fmt: skip
CARD = ModelCard(
    arch="foretoll:mlp",
    family="mlp",
    num_classes=2,
    classes=("a", "b"),
    preprocessing=Preprocessing(kind="vector"),
    head="head",
    parameters=100,
    has_batch_norm=False,
)


def exactly(value: float | None) -> Interval | None:
    return None if value is None else Interval(median=value, low=value, high=value)


def serving(kwh_per_1000: float | None = 1e-6) -> InferenceCost:
    return InferenceCost(
        batch_size=64,
        samples=640,
        repeats=3,
        seconds_per_1000=0.1,
        seconds_per_1000_low=0.08,
        seconds_per_1000_high=0.15,
        energy_kwh_per_1000=kwh_per_1000,
    )


def candidate(
    option: str = "finetune",
    *,
    kwh: float | None = 1e-5,
    seconds: float | None = 1.0,
    kg: float | None = None,
    quality: float | None = 0.9,
    reach: float | None = 0.9,
    model: str = "m",
    over_budget: str = "",
    why_not: str = "",
    with_serving: float | None = None,
    run: Run | None = None,
) -> Candidate:
    return Candidate(
        model=model,
        option=option,
        why_not=why_not,
        forecast=Forecast(
            epochs=exactly(1.0),
            energy_kwh=exactly(kwh),
            duration_s=exactly(seconds),
            emissions_kg=exactly(kg),
        ),
        quality=exactly(quality),
        reach_probability=reach,
        energy_with_serving_kwh=exactly(with_serving),
        inference=serving(),
        over_budget=over_budget,
        run=run,
    )


def run(
    outcome: Outcome = Outcome.REACHED,
    *,
    kwh: float | None = 1e-5,
    seconds: float | None = 1.0,
    quality: float | None = 0.9,
    option: str = "finetune",
) -> Run:
    return Run(
        id="r",
        option=option,
        outcome=outcome,
        started_at=datetime(2026, 3, 14, tzinfo=UTC),
        model=CARD,
        target=DATA,
        settings=TrainingSettings(until=0.9),
        toll=Toll(energy_kwh=kwh, duration_s=seconds),
        quality=Quality(metric="accuracy", after=quality),
    )
