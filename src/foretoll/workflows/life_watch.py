"""What a deployed model serves: looks at batches, labels as they arrive, and all that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import torch

from foretoll.data.stream import digest_of, open_batch
from foretoll.decide.looking import samples_to_look_at
from foretoll.decide.offers import HANDED_IN, looked_at
from foretoll.decide.policies import Spending, View
from foretoll.errors import DataError, LedgerError, UsageError, shown
from foretoll.ledger import LifeBook
from foretoll.measure import SelfCostMeter
from foretoll.models import Loading, load_model, save_checkpoint
from foretoll.models.copies import deep_copy
from foretoll.models.spec import in_memory
from foretoll.options.table import DEFAULT
from foretoll.quality import evaluate
from foretoll.random_states import keeps_random_states
from foretoll.records import (
    Continual,
    LifeCard,
    LifeEvent,
    Looking,
    Offer,
    SelfCost,
    ServedBatch,
    Toll,
    TrainingSettings,
)
from foretoll.units import emissions_kg
from foretoll.workflows.classes import served_targets
from foretoll.workflows.context import Accounting, Data, ModelLike, Runtime, Watcher, open_update
from foretoll.workflows.life_folder import START, LifeFolder
from foretoll.workflows.life_terms import check_policy_fits, life_terms, said_task, scored_settings
from foretoll.workflows.look import Look, look_at, served_batch, with_labels
from foretoll.workflows.rates import default_rate
from foretoll.workflows.scoring import Scoring, Targets, check_scores

if TYPE_CHECKING:
    from torch import nn

    from foretoll.data import Split
    from foretoll.models import Model
    from foretoll.records import DataCard
    from foretoll.workflows.start_time import Patience

LEFT_OUT = "not looked at: watching would take more than its share of what updates take"
# Of the first sample of the source in the sample of what came before; batches begin at 0.
SOURCE_PLACE = -(2**40)


@dataclass
class WatchedModel:
    """A deployed model that is watched: what it served, and what is known of that. See `foretoll.Life`.

    All that a decision needs is read from the ledger's database and the life's folder each time: a process that was
    killed loses nothing, and two of them see the same.
    """

    card: LifeCard
    book: LifeBook
    runtime: Runtime
    trust_code: bool = False  # whether the function that the model's card names may be imported
    patience: Patience | None = None  # how long an update may wait for a greener hour; set on an open life
    network: nn.Module | None = None  # what weights are read into, where a module in memory began the life
    _loaded: tuple[str, Model] | None = field(default=None, repr=False)  # of the last look, by its name
    _read: list[LifeEvent] = field(default_factory=list, repr=False)  # events, as of the last time

    @classmethod
    @keeps_random_states
    def start(
        cls,
        name: str,
        model: ModelLike,
        source: Data,
        *,
        worth: str | None = None,
        floor: float | None = None,
        budget: str | None = None,
        options: Sequence[str] = (DEFAULT,),
        policy: str = "rent",
        window: int = 8,
        look: int | Looking | None = None,
        settings: TrainingSettings | None = None,
        continual: Continual | None = None,
        folder: str | Path | None = None,
        weights: str | Path | None = None,
        embedding_layer: str | None = None,
        head: str | None = None,
        ledger: str | None = None,
        accounting: Accounting | None = None,
        device: str = "auto",
        watcher: Watcher | None = None,
        trust_code: bool = False,
    ) -> Self:
        """Begin a life: the model is saved into the life's folder and looked at on its source.

        worth: what one more right answer is worth, as energy, time or emissions (`0.2J`, `5s`, `1mg`), and of a metric
        with a unit what it is worth that one sample is served better by one of it; or `floor`, the least quality that
        may be served, in the metric's unit (of an error the largest one). budget: what updates may cost, within days or
        batches (`2kWh/90d`, `50g/52`).
        look: how much the life looks at (`foretoll.records.Looking`): 1,000 samples of a batch at the most, and fewer
        where watching would take more than 5 % of what updates take; a number in its place is that of the samples.
        continual: from which model updates go on, and what they rehearse of earlier batches.
        Raises UsageError where both or neither of worth and floor are given, or they cannot be read.
        """
        terms = life_terms(worth=worth, floor=floor, budget=budget, options=options, policy=policy, look=look)
        settings, continual = settings or TrainingSettings(), continual or Continual()
        book = LifeBook(ledger)
        if name in book.names():
            raise UsageError(
                f"there is a life {shown(name, 40)} in the ledger {book.where}: give the new one another name"
            )
        place = Path(folder) if folder is not None else Path(f"foretoll-life-{name}")
        if not place.parts or any(sign in name for sign in "/\\\0"):
            raise UsageError(f"{shown(name, 40)} is no name for a life: leave slashes out")
        runtime = Runtime.of(device, accounting, ledger, watcher)
        opened = open_update(
            model,
            source,
            source,
            loading=Loading(weights, embedding_layer, head, trust_code),
            device=runtime.device,
            seed=settings.seed,
        )
        check_scores(opened.model.card.task, settings.metric)
        known = opened.source_for("a life")
        settings = scored_settings(settings, known, opened.model.card)
        quality = evaluate(
            opened.model, known.validation, metric=settings.metric, device=opened.device
        ).quality
        if "lr" not in settings.model_fields_set:  # the first option's own, where none was named
            rate = default_rate(options[0], opened.model.card, settings.optimizer)
            settings = settings.model_copy(update={"lr": rate.lr})
        served = LifeCard.served_by(opened.model.card, settings)
        if floor is not None:
            served.check_floor(floor)
        check_policy_fits(policy, opened.model.card, served)
        files = LifeFolder(place.resolve())
        files.path.mkdir(parents=True, exist_ok=True)
        save_checkpoint(opened.model, files.model(START))
        files.keep_reference(START, look_at(opened.model, known.validation, device=opened.device))
        files.serve(START)
        scoring = Scoring.of(opened.model.card, settings.metric)
        if continual.remember and known.validation.labels is not None:
            sample = files.earlier(continual.remember)
            labels = known.validation.labels.numpy()
            sample.add("source", SOURCE_PLACE, known.validation, labels, scoring.known(labels))
            files.keep_earlier(sample)
        card = LifeCard(
            name=name,
            started_at=datetime.now(UTC),
            model=opened.model.card,
            source=known.card,
            window=window,
            **terms,
            settings=settings,
            continual=continual,
            start_quality=quality,
            folder=str(files.path),
        )
        book.start(card)
        network = opened.model.network if in_memory(opened.model.card.arch) else None
        # what the model is built by was named, or trusted, in this call
        # a model that was opened here is what was saved; one that was handed in may go on changing
        loaded = (START, opened.model) if isinstance(model, str | Path) else None
        return cls(card, book, runtime, trust_code=True, network=network, _loaded=loaded)

    @classmethod
    def open(
        cls,
        name: str,
        *,
        ledger: str | None = None,
        accounting: Accounting | None = None,
        device: str = "auto",
        watcher: Watcher | None = None,
        trust_code: bool = False,
        network: nn.Module | None = None,
    ) -> Self:
        """The life of this name; LedgerError where there is none.

        `trust_code`: import the function that the model was built by, where that is one of your own. `network`: a
        module like the one that the life was begun with, where that was a module in memory: a file cannot rebuild it.
        """
        book = LifeBook(ledger)
        runtime = Runtime.of(device, accounting, ledger, watcher)
        return cls(book.card(name), book, runtime, trust_code=trust_code, network=network)

    # --- looking -----------------------------------------------------------------------------------

    @keeps_random_states
    def look(
        self,
        batch: Data,
        *,
        at: datetime | None = None,
        representations: npt.ArrayLike | None = None,
        outputs: npt.ArrayLike | None = None,
    ) -> str:
        """Look at a batch that was served, and take its labels where it has any. Returns the batch's name.

        A batch that was seen before is not counted again. With `representations` (n, d) and `outputs` (n, C), which a
        serving process kept, the look costs no forward pass. Raises DataError for a batch that the model cannot take or
        that has a class without an output, UsageError for a batch that is older than the last one.
        """
        with self.book.held():
            return self._look(batch, aware(at), representations, outputs)

    def _look(
        self,
        batch: Data,
        now: datetime,
        representations: npt.ArrayLike | None,
        outputs: npt.ArrayLike | None,
    ) -> str:
        """The same, on one connection to the ledger."""
        card, rows, labels = self.opened(batch)
        name = digest_of(rows)
        events = self.events()
        handed = self._handed(rows, representations, outputs)
        known = labels is not None and bool(self.scoring.known(labels).any())
        if not any(event.kind == "look" and event.key == name for event in events):
            last = max((event.at for event in events if event.kind == "look"), default=None)
            if last is not None and now < last:
                raise UsageError(
                    f"the batch is of {now:%Y-%m-%d %H:%M} and the last one of {last:%Y-%m-%d %H:%M}: give "
                    "batches in the order in which they were served"
                )
            seen = self._pass(card, rows, name, now, events, handed, waits=not known)
        else:
            seen = handed
        if labels is not None and known:
            self._take_labels(name, rows, labels, card, seen)
        return name

    @keeps_random_states
    def label(self, batch: Data) -> ServedBatch:
        """Take the labels of a batch that was seen earlier: the same samples in the same order, now with labels.

        Raises DataError where the batch was never seen, or has no labels.
        """
        card, rows, labels = self.opened(batch)
        if labels is None or not self.scoring.known(labels).any():
            raise DataError(
                "the batch has no labels: give the data with them, and for a table their column with label="
            )
        with self.book.held():
            return self._take_labels(digest_of(rows), rows, labels, card)

    def events(self) -> list[LifeEvent]:
        """What happened, oldest first."""
        self._read = self.book.events(self.card.name, self._read)
        return list(self._read)

    @cached_property
    def folder(self) -> LifeFolder:
        """Where sums, outputs that wait for labels, and models are kept."""
        return LifeFolder(self.card.folder)

    @cached_property
    def scoring(self) -> Scoring:
        """By what answers are compared."""
        return Scoring.of(self.card.model, self.card.settings.metric)

    @property
    def serving(self) -> str:
        """Which of the life's models is served: "start", or the decision that made it."""
        name = self.folder.served_name
        if name is None or not (self.folder.model(name) / "model.json").exists():
            raise LedgerError(
                f"the model that the life {shown(self.card.name, 40)} serves is gone from "
                f"{shown(self.card.folder, 120)}: bring the folder back, or begin a new life"
            )
        return name

    def model(self, name: str | None = None) -> Model:
        """The model of this name on its device; without one the model that is served."""
        folder = self.folder.model(name or self.serving)
        if not (folder / "model.json").exists():
            raise LedgerError(
                f"the model {shown(folder.name, 40)} of the life {shown(self.card.name, 40)} is gone from "
                f"{shown(self.card.folder, 120)}: bring the folder back, or begin a new life"
            )
        if self.network is None and in_memory(self.card.model.arch):
            raise UsageError(
                f"the life {shown(self.card.name, 40)} was begun with a module in memory, which no file can rebuild: "
                "give one like it, Life.open(name, network=MODULE)"
            )
        found = (
            load_model(folder, trust_code=self.trust_code)
            if self.network is None
            else load_model(deep_copy(self.network), weights=folder)
        )
        return found.to(self.runtime.device)

    def _served(self, serving: str) -> Model:
        """The served model, loaded once for all looks at what it serves."""
        if self._loaded is None or self._loaded[0] != serving:
            self._loaded = (serving, self.model(serving))
        return self._loaded[1]

    def _handed(
        self, rows: Split, representations: npt.ArrayLike | None, outputs: npt.ArrayLike | None
    ) -> Look | None:
        """What a serving process kept of a batch; None where it handed in nothing."""
        if representations is None or outputs is None:
            return None
        look = Look.of_outputs(representations, outputs, probabilities=self.scoring.task.has_probabilities)
        if len(look) != len(rows):
            raise DataError(
                f"the batch has {len(rows)} samples and {len(look)} outputs: give those of this batch"
            )
        if look.outputs.shape[1] != self.card.model.num_classes:
            raise DataError(
                f"the outputs that were handed in are {look.outputs.shape[1]} a sample, and the model gives "
                f"{self.card.model.num_classes}: give them as the model does"
            )
        return look

    def _pass(
        self,
        card: DataCard,
        rows: Split,
        name: str,
        at: datetime,
        events: Sequence[LifeEvent],
        handed: Look | None,
        *,
        waits: bool,
    ) -> Look | None:
        """Look at a batch that is new, and say what was seen; None where it is left out. `waits`: for its labels."""
        serving = self.serving
        count = len(rows) if handed is not None else samples_to_look_at(self.card, events, len(rows))
        number = sum(event.kind == "look" for event in events)
        look, spent, note = handed, None, HANDED_IN
        if not count:
            found, note = ServedBatch(name=name, number=number, samples=len(rows), looked=0), LEFT_OUT
        else:
            with SelfCostMeter(self.runtime.meter()) as meter:
                if look is None:
                    look, note = self._seen(self._served(serving), rows, name, count), ""
                found = served_batch(
                    name, number, look, self.scoring, reference=self.folder.reference(serving)
                )
                if count < len(rows):
                    found = found.model_copy(update={"samples": len(rows), "looked": count})
                if waits:
                    self.folder.keep_waiting(serving, name, look)
            spent = self.toll(meter.record())
        self.append("look", name, at=at, model=serving, served=found, uri=_uri(card), note=note, spent=spent)
        return look

    def _seen(self, model: Model, rows: Split, name: str, count: int) -> Look:
        """What a model makes of `count` samples of a batch."""
        some = some_rows(name, len(rows), count)
        looked = rows if some is None else rows.take(torch.from_numpy(some))
        return look_at(model, looked, device=self.runtime.device)

    def _take_labels(
        self, name: str, rows: Split, labels: Targets, card: DataCard, look: Look | None = None
    ) -> ServedBatch:
        """Learn from the labels of a batch; `look`: what the model made of it, where that is known here."""
        events = self.events()
        done = next((e.served for e in events if e.kind == "labels" and e.key == name), None)
        if done is not None:
            return done
        seen = next((e for e in events if e.kind == "look" and e.key == name), None)
        if seen is None or seen.served is None:
            raise DataError(
                f"the life {shown(self.card.name, 40)} has never seen this batch: give it to foretoll life "
                "watch first, the same samples in the same order"
            )
        last_label = self.scoring.last_label(labels)
        if seen.served.looked == 0:
            found, spent = seen.served.model_copy(update={"last_label": last_label}), None
        else:
            with SelfCostMeter(self.runtime.meter()) as meter:
                if look is None:
                    look = self.folder.waiting(seen.model, name)
                if look is None:  # a process was killed between look and labels, which had come together
                    count = looked_at(self.card, seen.served)
                    look = self._seen(self.model(seen.model), rows, name, count)
                if len(look) > len(labels):
                    raise DataError(
                        f"batch {seen.served.number} has {len(labels)} labels, and {len(look)} samples were looked at: "
                        "give the same samples"
                    )
                some = some_rows(name, len(labels), len(look))
                looked = labels if some is None else labels[some]
                shadow = self.folder.shadow(seen.model, self.card.window)
                if name in shadow.known:  # a process was killed between the sums and the event: once more
                    shadow = shadow.without(name)
                found = with_labels(seen.served, look, self.scoring, looked, shadow, last_label)
                self.scoring.add(shadow, name, look.representations, looked)
                self.folder.keep_shadow(seen.model, shadow)
                self._remember(events, seen.served, rows, labels)
            spent = self.toll(meter.record())
        self.append(
            "labels",
            name,
            at=datetime.now(UTC),
            model=seen.model,
            served=found,
            uri=_uri(card),
            spent=spent,
        )
        self.folder.forget_waiting(seen.model, name)
        return found

    def _remember(
        self, events: Sequence[LifeEvent], batch: ServedBatch, rows: Split, labels: Targets
    ) -> None:
        """Add a labelled batch to the sample of what came before, where the life keeps one."""
        if not self.card.continual.remember:
            return
        sample = self.folder.earlier(self.card.continual.remember)
        there = self.scoring.known(labels)
        if sample.add(batch.name, place_of(events, batch.number), rows, labels, there):
            self.folder.keep_earlier(sample)

    def opened(self, batch: Data) -> tuple[DataCard, Split, Targets | None]:
        """A batch with its labels in the model's numbers; None where it has none."""
        card, rows = open_batch(batch, layout=self.card.model.layout, task=said_task(self.card.model))
        if not len(rows):
            raise DataError("the batch is empty: give what was served")
        plan = self.card.source
        if (card.kind, card.shape) != (plan.kind, plan.shape) and card.kind != "image":
            raise DataError(
                f"the batch holds {card.kind} samples of shape {card.shape}, and the life's model takes "
                f"{plan.kind} samples of shape {plan.shape}"
            )
        if rows.labels is None:
            return card, rows, None
        return card, rows, served_targets(self.card.model, card, rows.labels.numpy())

    def toll(self, spent: SelfCost) -> Toll:
        """What was measured, with its emissions."""
        kwh = spent.energy_kwh
        grid = self.runtime.accounting.grid
        emitted = None if kwh is None else emissions_kg(kwh, grid.intensity_kg_per_kwh, grid.pue)
        return Toll(energy_kwh=kwh, emissions_kg=emitted, duration_s=spent.duration_s)

    def view(self, events: Sequence[LifeEvent], offers: Sequence[Offer]) -> View:
        """What may be known now, from the events."""
        labelled = {e.key: e.served for e in events if e.kind == "labels" and e.served is not None}
        looks = [e for e in events if e.kind == "look" and e.served is not None]
        batches = tuple(labelled.get(e.key, e.served) for e in looks)
        updates = [e for e in events if e.kind == "update"]

        def after(event: LifeEvent) -> int:
            return sum(look.number < event.number for look in looks) - 1

        return View(
            batches=tuple(batch for batch in batches if batch is not None),
            offers=tuple(offers),
            worth=self.card.worth,
            floor=self.card.floor,
            updated=tuple(after(e) for e in updates if e.promoted),
            tried=tuple(after(e) for e in updates),
            start=self.card.start_quality,
            spending=self._spending(events, len(looks)),
            window=self.card.window,
            served=self.card.served,
        )

    def spent(self, events: Sequence[LifeEvent]) -> float:
        """What all of it cost so far: looks, estimates and updates, in the unit of the worth and the budget."""
        return sum(getattr(event.spent, self.card.cost) or 0.0 for event in events if event.spent is not None)

    def _spending(self, events: Sequence[LifeEvent], looks: int) -> Spending | None:
        card = self.card
        if card.budget is None:
            return None
        if card.budget_batches is not None:
            gone = (looks or 1) / card.budget_batches
        else:
            newest = max((event.at for event in events), default=card.started_at)
            days = (newest - card.started_at).total_seconds() / 86400
            gone = max(days, 1e-6) / (card.budget_days or 1.0)
        return Spending(card.budget, self.spent(events), gone)

    def append(self, kind: str, key: str, *, at: datetime, **known: object) -> LifeEvent | None:
        """Write an event of this life; None where one of its kind and key is there already."""
        event = LifeEvent.model_validate({"number": 0, "kind": kind, "key": key, "at": at, **known})
        return self.book.append(self.card.name, event)


def some_rows(name: str, count: int, most: int) -> npt.NDArray[np.int64] | None:
    """Which of a batch's samples are looked at, `most` of them: one by chance from each of so many equal times.

    They follow from the batch's name, so that labels that come later are those of the same samples. None: all, where
    there are no more, or `most` is 0.
    """
    if not 0 < most < count:
        return None
    edges = np.linspace(0, count, most + 1).astype(np.int64)
    draw = np.random.default_rng(int(name, 16)).random(most)
    return edges[:-1] + (draw * np.diff(edges)).astype(np.int64)


def place_of(events: Sequence[LifeEvent], number: int) -> int:
    """How many samples were served before the batch of this number."""
    looks = [e.served for e in events if e.kind == "look" and e.served is not None]
    return sum(batch.samples for batch in looks if batch.number < number)


def _uri(card: DataCard) -> str | None:
    """Where a batch can be opened again; None where it was handed in."""
    return None if card.uri.startswith("python:") else card.uri


def aware(moment: datetime | None) -> datetime:
    """The moment with its zone, UTC where it names none; None is now."""
    if moment is None:
        return datetime.now(UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
