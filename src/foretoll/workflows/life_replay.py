"""A life lived over on a recorded stream: what each policy would have done, and the best schedule in hindsight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from foretoll.data.stream import open_stream
from foretoll.decide.policies import POLICIES, get_policy
from foretoll.decide.policies.base import WINDOW
from foretoll.decide.replay import RecordedLife, Replay, last_label, oracle, replay, worth_at
from foretoll.errors import UsageError
from foretoll.models import Loading, check_fits
from foretoll.options.table import DEFAULT
from foretoll.quality import evaluate
from foretoll.records import LifeCard, TrainingSettings
from foretoll.workflows.classes import served_targets
from foretoll.workflows.context import (
    Accounting,
    Data,
    ModelLike,
    Runtime,
    Watcher,
    choose_device,
    open_update,
)
from foretoll.workflows.life_recording import record_life
from foretoll.workflows.life_terms import said_task, scored_settings
from foretoll.workflows.scoring import check_scores

DUMMIES = ("keep", "every", "periodic")  # always in the table: a rule that does not beat them is none
PRICE = 30.0  # points of one batch (`Replay`) that an update is taken to cost, where nothing is said


@dataclass(frozen=True)
class PolicyReplays:
    """A life under each policy, at one price and label delay; `best`: the least loss of all, in points a batch.

    worth: of one more right answer, or of one unit of the metric on one sample, in joules (in seconds where no energy
    was measured), which the price stands for.
    """

    life: RecordedLife
    price: float
    delay: int
    worth: float
    best: float
    replays: tuple[Replay, ...]


def replay_policies(
    model: ModelLike,
    source: Data,
    stream: Data,
    *,
    every: int | None = None,
    policies: Sequence[str] = ("rent",),
    options: Sequence[str] = (DEFAULT,),
    price: float = PRICE,
    delay: int = 0,
    window: int = WINDOW,
    budget: float | None = None,
    settings: TrainingSettings | None = None,
    folder: str | Path | None = None,
    weights: str | Path | None = None,
    accounting: Accounting | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
    trust_code: bool = False,
) -> PolicyReplays:
    """Record the life of `model` on a labelled stream, and replay policies on it.

    stream: as `foretoll.data.stream.open_stream` takes it. price: what a mean update costs, in points of one batch
    (`Replay`). delay: batches until labels arrive. "all" in `policies` means every policy. Each update is trained once,
    whatever is replayed; with `folder` a recording that was interrupted goes on.
    """
    if delay < 0:
        raise UsageError(f"labels cannot arrive {-delay} batches early: give a delay of 0 or more")
    names = tuple(dict.fromkeys((*(tuple(POLICIES) if "all" in policies else policies), *DUMMIES)))
    for name in names:
        get_policy(name, None)
    settings = settings or TrainingSettings(max_epochs=5)
    runtime = Runtime(choose_device(device), accounting or Accounting(), watcher=watcher or Watcher())
    opened = open_update(
        model,
        source,
        source,
        loading=Loading(weights, trust_code=trust_code),
        device=runtime.device,
        seed=settings.seed,
    )
    check_scores(opened.model.card.task, settings.metric)
    known = opened.source_for("a life")
    settings = scored_settings(settings, known, opened.model.card)
    served = LifeCard.served_by(opened.model.card, settings)
    made = [get_policy(name, served) for name in names]
    start = evaluate(opened.model, known.validation, metric=settings.metric, device=opened.device).quality
    batches = open_stream(
        stream,
        every=every,
        seed=settings.seed,
        layout=opened.model.card.layout,
        task=said_task(opened.model.card),
    )
    check_fits(opened.model, batches.data)
    if batches.rows.labels is not None:
        truth = served_targets(opened.model.card, batches.data.card, batches.rows.labels.numpy())
        batches.rows.labels = torch.from_numpy(truth)
    life = record_life(
        opened.model,
        batches,
        settings,
        runtime,
        options=options,
        window=window,
        folder=None if folder is None else Path(folder),
    )
    life = replace(life, start=start)
    worth = worth_at(life, price)
    replays = [replay(life, each, price=price, delay=delay, window=window, budget=budget) for each in made]
    dummy = last_label(life)
    if dummy is not None:
        replays.append(dummy)
    return PolicyReplays(
        life,
        price,
        delay,
        worth,
        oracle(life, price=price, delay=delay),
        tuple(sorted(replays, key=lambda each: each.loss)),
    )
