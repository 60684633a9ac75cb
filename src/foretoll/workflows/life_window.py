"""What an update in the life of a model is made on: the labelled window, and samples of what came before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from foretoll.data.partition import in_order
from foretoll.data.stream import LEAST_ROWS, JoinedSplit, digest_of, open_batch
from foretoll.data.taskdata import TaskData
from foretoll.errors import DataError, LedgerError, shown
from foretoll.records import EarlierQuality, LifeEvent
from foretoll.workflows.context import Data
from foretoll.workflows.life_terms import said_task
from foretoll.workflows.life_watch import WatchedModel, place_of
from foretoll.workflows.look import look_at
from foretoll.workflows.scoring import Scores, Targets

if TYPE_CHECKING:
    from foretoll.data import Split
    from foretoll.models import Model


def labelled_window(life: WatchedModel, events: Sequence[LifeEvent], data: Sequence[Data] = ()) -> TaskData:
    """The last labelled batches as data for an update: the last of their samples are its validation and test data.

    Batches are opened again by their URI; those that were handed in as arrays come in `data`, in any order. Raises
    DataError where there are too few, or one cannot be opened again.
    """
    handed = {}
    for each in data:
        _, rows = open_batch(each, layout=life.card.model.layout, task=said_task(life.card.model))
        handed[digest_of(rows)] = each
    looks = {event.key: event for event in events if event.kind == "look"}
    labelled = [event for event in events if event.kind == "labels" and event.key in looks]
    labelled.sort(key=lambda event: looks[event.key].number)
    parts = []
    for event in labelled[-life.card.window :]:
        look = looks[event.key]
        source = handed.get(event.key, event.uri or look.uri)
        number = look.served.number if look.served is not None else "?"
        if source is None:
            raise DataError(
                f"batch {number} was handed in as arrays and no batch is kept: give it again, with its labels, as data="
            )
        _, rows, labels = life.opened(source)
        if digest_of(rows) != event.key:
            raise DataError(f"{shown(str(source), 80)} is not what batch {number} was: give the data of then")
        if labels is None:
            raise DataError(
                f"batch {number} was watched as {shown(str(source), 80)}, which has no labels: give its labelled data"
            )
        rows.labels = torch.from_numpy(labels)
        parts.append(rows.take(torch.from_numpy(np.flatnonzero(life.scoring.known(labels)))))
    if sum(len(part) for part in parts) < LEAST_ROWS:
        raise DataError(f"an update needs at least {LEAST_ROWS} labelled samples: wait for more labels")
    whole = JoinedSplit(parts)
    train, validation, test = (whole.take(torch.from_numpy(rows)) for rows in in_order(np.arange(len(whole))))
    reading = f"the last {len(parts)} labelled batches, splits in time order"
    rehearsed = rehearsed_samples(life, events, len(train))
    if rehearsed is not None:
        train = JoinedSplit([train, rehearsed])
        reading += f", and {len(rehearsed)} samples of earlier ones"
    card = life.card.source.model_copy(
        update={
            "uri": f"life:{life.card.name}",
            "name": life.card.name,
            "classes": life.card.model.classes,
            "train": len(train),
            "validation": len(validation),
            "test": len(test),
            "shift": (),
            "labelled": True,
            "reading": reading,
            "notes": (),
        }
    )
    return TaskData(card, train, validation, test)


def _place_of_window(life: WatchedModel, events: Sequence[LifeEvent]) -> int:
    """How many samples were served before the window of an update that is made now."""
    looks = {event.key: event for event in events if event.kind == "look"}
    labelled = [looks[event.key].served for event in events if event.kind == "labels" and event.key in looks]
    numbers = sorted(batch.number for batch in labelled if batch is not None)[-life.card.window :]
    return place_of(events, numbers[0]) if numbers else 0


def rehearsed_samples(life: WatchedModel, events: Sequence[LifeEvent], new: int) -> Split | None:
    """Samples from before the window that an update trains on besides `new` ones; None where it rehearses none.

    They are of one half of what is kept: what an update forgets is measured on the other half. Where fewer are kept
    than the share asks for, each is taken more than once.
    """
    share = life.card.continual.rehearse
    if not share:
        return None
    parts = life.folder.earlier(life.card.continual.remember).before(_place_of_window(life, events), half=0)
    wanted = round(new * share / (1 - share))
    if not parts or not wanted:
        return None
    kept = JoinedSplit(parts)
    order = np.random.default_rng([life.card.settings.seed, len(kept)]).permutation(len(kept))
    return kept.take(torch.from_numpy(np.resize(order, wanted)))


def quality_on_earlier(
    life: WatchedModel, events: Sequence[LifeEvent], models: Sequence[Model], place: torch.device
) -> EarlierQuality | None:
    """What the served and the updated model make of samples from before the window; None where none are kept.

    The served model may have been trained on them, which is what can be forgotten; the update was not.
    """
    continual = life.card.continual
    if not continual.remember:
        return None
    half = 1 if continual.rehearse else None
    parts = life.folder.earlier(continual.remember).before(_place_of_window(life, events), half=half)
    count = sum(len(part) for part in parts)
    if not count:
        return None
    before, after = (
        life.scoring.served.metric.of_mean(
            sum(float(scores_of(life, model, part, place).sum()) for part in parts) / count
        )
        for model in models
    )
    return EarlierQuality(samples=count, before=before, after=after)


def scores_of(life: WatchedModel, model: Model, rows: Split, place: torch.device) -> Scores:
    """The score of each answer of a model to labelled rows (n,)."""
    return life.scoring.scores(look_at(model, rows, device=place).outputs, truth_of(rows))


def truth_of(rows: Split) -> Targets:
    """The targets of labelled rows."""
    if rows.labels is None:
        raise LedgerError("the window of an update has no labels")
    truth: Targets = rows.labels.numpy()
    return truth
