"""An update in the life of a model: what it would cost, carrying it out, the gate, and the switch.

An update is claimed in the ledger before it begins: of two watchers one makes it. Its result is written beside the
model before the link is switched, and the event last, so that a process that is killed at any moment leaves either the
old model or the new one, and the next call (`recover`) brings to an end what was judged already.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import torch

from foretoll.atomic import replacing
from foretoll.data.taskdata import TaskData
from foretoll.decide.offers import UNKNOWN_END
from foretoll.decide.policies.base import recent_lead
from foretoll.errors import DataError, ForetollError, UsageError, one_line, shown
from foretoll.indices.shadow import lead
from foretoll.measure import SelfCostMeter
from foretoll.models import Trust, save_checkpoint
from foretoll.models.spec import parse_spec
from foretoll.options import get_option
from foretoll.process import Liveness, ProcessStamp, life_of, this_process
from foretoll.quality import evaluate
from foretoll.records import Decision, Estimate, LifeEvent, Offer, Run, ServedMetric, Toll
from foretoll.training.guard import Guard
from foretoll.workflows.carry_out import RunMetadata, carry_out
from foretoll.workflows.context import Data, Update
from foretoll.workflows.estimate import estimate
from foretoll.workflows.life_folder import START
from foretoll.workflows.life_watch import WatchedModel
from foretoll.workflows.life_window import labelled_window, quality_on_earlier, scores_of, truth_of
from foretoll.workflows.look import look_at

if TYPE_CHECKING:
    from pathlib import Path

    from foretoll.models import Model

MOST_TARGET = 0.999
HOURS = 24
LEASE = timedelta(
    hours=HOURS
)  # for which a claim of a process that cannot be seen from here keeps others out


def estimate_offers(life: WatchedModel, events: Sequence[LifeEvent]) -> tuple[tuple[Offer, ...], Toll, str]:
    """What each option would cost now, what finding out cost, and the reason where an option has no offer."""
    window = labelled_window(life, events)
    options = life.card.options
    with SelfCostMeter(life.runtime.meter()) as meter:
        found = estimate(
            base_model(life),
            life.card.source.uri if not life.card.source.uri.startswith("python:") else window,
            window,
            option=options[0],
            also=options[1:],
            until=update_target(life, events, window, life.model()),
            task=False,
            settings=life.card.settings,
            device=str(life.runtime.device),
            accounting=life.runtime.accounting,
            ledger=life.runtime.ledger,
            watcher=life.runtime.watcher,
        )
    offers, without = [], []
    for option in options:
        offer = _offer(found, option, life.card.cost)
        if offer is None:
            without.append(option)
        else:
            offers.append(offer)
    note = f"no cost is known for {', '.join(without)}" if without else ""
    return tuple(offers), life.toll(meter.record()), note


def base_model(life: WatchedModel) -> Model:
    """The model that an update of this life trains."""
    return life.model(START if life.card.continual.update_from == "first" else None)


def check_code(life: WatchedModel, options: Sequence[str]) -> None:
    """Raise ModelError where an option names code that may not be run: a life's card comes from a ledger, a file."""
    trust, where = Trust(everything=life.trust_code), f"the life {shown(life.card.name, 40)}"
    for option in options:
        for architecture in get_option(option).architectures():
            trust.check(parse_spec(architecture), where, way="")


def _offer(found: Estimate, option: str, cost: str) -> Offer | None:
    forecast = found.forecast if option == found.option else found.alternatives.get(option)
    interval = getattr(forecast, cost) if forecast is not None else None
    if forecast is None or interval is None or interval.median is None:
        return None
    reach = found.reach_probability if option == found.option else found.alternatives_reach.get(option)
    high = UNKNOWN_END if interval.high is None else max(interval.high, interval.median)
    energy, duration = (
        None if each is None else each.median for each in (forecast.energy_kwh, forecast.duration_s)
    )
    return Offer(
        option=option,
        cost=interval.median,
        cost_high=high,
        share=1.0 if reach is None else reach,
        energy_kwh=energy,
        duration_s=duration,
    )


def wanted_quality(life: WatchedModel, events: Sequence[LifeEvent]) -> float:
    """The quality that an update is to reach: the floor, or what the shadow has on the newest labelled batches."""
    if life.card.floor is not None:
        return life.card.floor
    view, served, task = life.view(events, ()), life.card.served, life.scoring.task
    recent = view.labelled[-life.card.window :]
    quality = served.pooled((batch.quality or 0.0, batch.labelled) for batch in recent)
    if quality is None:
        raise DataError("no labels have arrived: an update cannot be planned without them")
    guessed = 1 / len(life.card.model.classes) if task.has_probabilities else served.scale.trivial
    wanted = served.best_of(served.better(quality, max(recent_lead(recent), 0.0)), guessed)
    return _rounded(served, wanted)


def _rounded(served: ServedMetric, value: float) -> float:
    """A target that can be met: no better than nearly perfect, with as many digits as tell it apart."""
    value = served.worse(value, served.scale.value(MOST_TARGET))
    return round(value, 3) if served.metric.share else float(f"{value:.4g}")


def update_target(life: WatchedModel, events: Sequence[LifeEvent], window: TaskData, served: Model) -> float:
    """The quality on the window's validation data at which an update stops.

    What is wanted (`wanted_quality`), and in any case better than what the served model has there by the lead that the
    update is made for: the validation data are older than the newest batch, and where drift is fast the served model
    may still be good enough on them, so that training would end before its first step.
    """
    settings, of = life.card.settings, life.card.served
    there = evaluate(served, window.validation, metric=settings.metric, device=life.runtime.device).quality
    lead = recent_lead(life.view(events, ()).labelled[-life.card.window :])
    one = (1.0 if of.metric.share else of.loss(there)) / len(window.validation)  # what one sample may decide
    return _rounded(of, of.best_of(wanted_quality(life, events), of.better(there, max(lead, one))))


def carry_out_update(life: WatchedModel, decision: Decision, data: Sequence[Data] = ()) -> Run:
    """Train by the option of a decision on the labelled window, and serve the new model if it is no worse.

    The gate: on the window's last samples, which training never saw, the new model must be no worse than the served
    one: of classes, right at least as often. A model that is not promoted is paid for all the same. Raises UsageError
    where the decision is to keep, or another process makes an update of this life.
    """
    if decision.action != "update" or decision.option is None:
        raise UsageError("the decision is to keep the served model: there is nothing to run")
    check_code(life, (decision.option,))
    recover(life)
    events = life.events()
    window = labelled_window(life, events, data)
    key = _claimed(life, events, decision)
    served = life.model()
    place = life.runtime.device
    run: Run | None = None
    try:
        until = update_target(life, events, window, served)
        settings = life.card.settings.model_copy(update={"until": until})
        result = carry_out(
            get_option(decision.option),
            Update(base_model(life), None, window, False, place),
            settings,
            replace(life.runtime, guard=Guard(strict=True)),  # a life is read back from its ledger
            RunMetadata(tags=("life", f"life:{life.card.name}")),
        )
        run = result.run
        if result.model is None or not run.outcome.complete:
            _ended(life, key, run=run, note=run.reason or f"the training {run.outcome}")
            return run
        with SelfCostMeter(life.runtime.meter()) as meter:
            promoted, note = _gate(life, served, result.model, window, place)
            earlier = quality_on_earlier(life, events, (served, result.model), place)
            if promoted:
                save_checkpoint(result.model, life.folder.model(key))
                _look_back(life, key, result.model, window, place)
    except BaseException as error:  # a claim without an end would keep every later update out
        with suppress(ForetollError):
            _ended(life, key, run=run, note=one_line(f"{type(error).__name__}: {error}", 300))
        raise
    judged = life.toll(meter.record())
    spent = Toll(
        **{
            name: _sum(getattr(run.toll, name), getattr(judged, name))
            for name in ("energy_kwh", "emissions_kg", "duration_s")
        }
    )
    _write_result(
        life,
        key,
        {
            "promoted": promoted,
            "note": note,
            "run_id": run.id,
            "spent": spent.model_dump(),
            "earlier": None if earlier is None else earlier.model_dump(),
        },
    )
    recover(life)
    return run


def recover(life: WatchedModel) -> None:
    """Bring to an end what a process left that was killed: an update that was judged, or one that never will be."""
    events = life.events()
    life.folder.tidy({event.key for event in events if event.kind == "labels"})
    ended = {event.key for event in events if event.kind == "update"}
    for event in events:
        path = _result_path(life, event.key)
        if event.kind != "claim" or event.key in ended:
            if event.kind == "claim":
                path.unlink(missing_ok=True)  # of a process that came back after its claim had run out
            continue
        if path.exists():
            found = json.loads(path.read_text())
            if found["promoted"]:
                life.folder.serve(event.key)
            life.append(
                "update",
                event.key,
                at=datetime.now(UTC),
                promoted=found["promoted"],
                note=found["note"],
                run_id=found["run_id"],
                spent=Toll.model_validate(found["spent"]),
                earlier=found.get("earlier"),
            )
            path.unlink(missing_ok=True)
        elif _state_of(event) is Liveness.DEAD:
            _ended(life, event.key, note="the process that made this update was killed")
        elif _state_of(event) is Liveness.UNKNOWN and datetime.now(UTC) - event.at > LEASE:
            _ended(
                life, event.key, note=f"its process, on another machine, did not end it within {HOURS} hours"
            )


def _claimed(life: WatchedModel, events: Sequence[LifeEvent], decision: Decision) -> str:
    """The name of this update, which no other process has: one update is made at a time."""
    ended = {event.key for event in events if event.kind == "update"}
    for event in events:
        if event.kind == "claim" and event.key not in ended:
            until = (
                f", or until {event.at + LEASE:%Y-%m-%d %H:%M} UTC"
                if _state_of(event) is Liveness.UNKNOWN
                else ""
            )
            raise UsageError(
                f"another process makes an update of the life {shown(life.card.name, 40)}: wait for it{until}"
            )
    stamp = this_process()
    attempt = sum(event.kind == "claim" for event in events) + 1
    key = f"update-{attempt:04d}"
    note = json.dumps(
        {
            "host": stamp.host,
            "boot_id": stamp.boot_id,
            "pid_namespace": stamp.pid_namespace,
            "pid": stamp.pid,
            "started": stamp.started,
        }
    )
    if life.append("claim", key, at=datetime.now(UTC), decision=decision, note=note) is None:
        raise UsageError(
            f"another process makes an update of the life {shown(life.card.name, 40)}: wait for it"
        )
    return key


def _state_of(event: LifeEvent) -> Liveness:
    try:
        return life_of(ProcessStamp(**json.loads(event.note)))[0]
    except (ValueError, TypeError):
        return Liveness.UNKNOWN


def _gate(
    life: WatchedModel, served: Model, updated: Model, window: TaskData, place: torch.device
) -> tuple[bool, str]:
    """Whether the new answers to samples that training never saw are no worse, pair by pair summed, and in words."""
    old, new = (scores_of(life, model, window.test, place) for model in (served, updated))
    passed, metric = life.scoring.no_worse(new, old), life.scoring.served.metric
    if new.dtype == bool:
        said = f"{int(new.sum())} of {len(new)} answers right, the served model {int(old.sum())}"
    else:
        found = lead(new, old, metric)
        said = (
            f"{metric.title} {found.shadow:.4g} on {len(new)} samples, the served model {found.served:.4g} "
            f"(better by {found.value:.2g} ± {found.standard_error:.2g})"
        )
    return passed, said if passed else f"rejected: {said}"


def _look_back(life: WatchedModel, key: str, model: Model, window: TaskData, place: torch.device) -> None:
    """The new model's own sums over the window, and the outputs that its drift is measured against."""
    shadow = life.folder.shadow(key, life.card.window)
    for role, rows in (("train", window.train), ("validation", window.validation), ("test", window.test)):
        look = look_at(model, rows, device=place)
        life.scoring.add(shadow, f"{key}-{role}", look.representations, truth_of(rows))
    life.folder.keep_reference(key, look)
    life.folder.keep_shadow(key, shadow)


def _ended(life: WatchedModel, key: str, *, run: Run | None = None, note: str) -> None:
    """An update that serves no new model; what it took stands on the bill."""
    life.append(
        "update",
        key,
        at=datetime.now(UTC),
        promoted=False,
        run_id=None if run is None else run.id,
        note=note,
        spent=None
        if run is None
        else Toll(
            energy_kwh=run.toll.energy_kwh, emissions_kg=run.toll.emissions_kg, duration_s=run.toll.duration_s
        ),
    )


def _result_path(life: WatchedModel, key: str) -> Path:
    return life.folder.path / f"result-{key}.json"


def _write_result(life: WatchedModel, key: str, result: dict[str, object]) -> None:
    with replacing(_result_path(life, key), ".part") as part:
        part.write(json.dumps(result).encode())


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None else a + (b or 0.0)
