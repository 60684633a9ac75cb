"""Runs whose signals and costs are given, to relate."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from foretoll.records import (
    DataCard,
    EvalPoint,
    ModelCard,
    Outcome,
    Preprocessing,
    Run,
    Shift,
    Toll,
    TrainingSettings,
)

MAX_EPOCHS = 10.0
KINDS = ("gaussian_noise", "contrast", "rotation")


def make_run(
    number: int,
    *,
    gap: float,
    epochs: float,
    kind: str | None = "gaussian_noise",
    model: str = "cnn",
    seed: int = 0,
    setting: str | None = None,
    source: str = "mnist",
    target: str | None = None,
    task: bool = False,
    energy: bool = True,
) -> Run:
    """A run whose gap and cost are given; beyond the budget it is censored."""
    spent, classes = min(epochs, MAX_EPOCHS), ("0", "1")
    began = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(minutes=number)
    card = DataCard(
        uri=f"npz:{target or source}.npz",
        name=target or source,
        kind="image",
        shape=(1, 8, 8),
        classes=classes,
        train=320,
        validation=80,
        test=80,
        shift=(Shift(kind=kind, level=0.1),) if kind else (),
    )
    return Run(
        id=f"run-{number:04d}",
        option="finetune",
        outcome=Outcome.CENSORED if epochs > MAX_EPOCHS else Outcome.REACHED,
        started_at=began,
        finished_at=began + timedelta(seconds=5),
        model=ModelCard(
            arch=f"foretoll:{model}",
            family=model,
            num_classes=2,
            classes=classes,
            preprocessing=Preprocessing(kind="image", channels=1, size=(8, 8)),
            head="head",
            parameters=1000,
            has_batch_norm=False,
            parent_run_id=f"source-{model}-{source}",
        ),
        source=card.model_copy(update={"uri": f"npz:{source}.npz", "name": source, "shift": ()}),
        target=card,
        task_shift=task,
        settings=TrainingSettings(until=0.9, max_epochs=MAX_EPOCHS, batch_size=32, seed=seed),
        toll=Toll(
            epochs=spent,
            gradient_norm=1 + gap if spent else None,
            parameter_change=0.01 * spent,
            energy_kwh=1e-5 * spent if energy else None,
            duration_s=spent,
        ),
        steps=round(spent * 10),
        steps_per_epoch=10,
        curve=(EvalPoint(step=0, epochs=0.0, quality=0.5),),
        signals={
            "recoverability_gap": gap,
            "resque": abs(gap) / 2,
            "logme": -gap,
            "initial_quality": 0.9 - gap,
            "mmd": None,
        },
        tags=("study:made", f"cell:{number}", f"setting:{setting or number}"),
    )


def made(count: int = 60, *, noise: float = 0.0, seed: int = 0) -> list[Run]:
    """Settings with two seeds each, three kinds and two models; epochs rise with the gap."""
    rng = random.Random(seed)
    runs = []
    for number in range(count):
        gap = rng.uniform(0, 1)
        for repeat in (0, 1):
            runs.append(
                make_run(
                    2 * number + repeat,
                    gap=gap,
                    epochs=12 * gap + rng.uniform(-noise, noise) + noise,
                    kind=KINDS[number % 3],
                    model=("cnn", "vit")[number % 2],
                    seed=repeat,
                    setting=f"s{number}",
                )
            )
    return runs
