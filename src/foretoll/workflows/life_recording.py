"""Record a life: every update that could have been made is carried out once, and looked at on all later batches.

From such a record any policy, price and label delay is replayed without training again (`foretoll.decide.replay`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foretoll.atomic import replacing
from foretoll.data.partition import in_order
from foretoll.data.stream import Stream
from foretoll.decide.policies.base import WINDOW
from foretoll.decide.replay import FIRST, Possible, RecordedLife
from foretoll.errors import DataError, UsageError
from foretoll.indices.shadow import Shadow
from foretoll.options import get_option
from foretoll.options.table import DEFAULT
from foretoll.records import LifeCard, ServedBatch, TrainingSettings
from foretoll.units import joules_from_kwh
from foretoll.workflows.carry_out import carry_out
from foretoll.workflows.context import Runtime, Update
from foretoll.workflows.look import Look, look_at, served_batch
from foretoll.workflows.scoring import Scores, Scoring

if TYPE_CHECKING:
    from foretoll.models import Model


@dataclass(frozen=True)
class _Row:
    """One model on its batches: what was served, and the score of each answer of each batch."""

    option: str
    last: int
    cost: float
    served: dict[int, ServedBatch]
    hits: dict[int, Scores] = field(default_factory=dict)

    def text(self) -> str:
        """The row as JSON."""
        return json.dumps(
            {
                "option": self.option,
                "last": self.last,
                "cost": self.cost,
                "served": [batch.model_dump(mode="json") for batch in self.served.values()],
                "hits": {str(j): [len(h), _packed(h)] for j, h in self.hits.items()},
            }
        )

    @classmethod
    def of_text(cls, text: str) -> _Row:
        """A row that `text` wrote."""
        data = json.loads(text)
        hits = {int(j): _unpacked(n, packed) for j, (n, packed) in data["hits"].items()}
        served = [ServedBatch.model_validate(batch) for batch in data["served"]]
        return cls(
            data["option"], data["last"], data["cost"], {batch.number: batch for batch in served}, hits
        )


def _packed(scores: Scores) -> str | list[float]:
    """Right and wrong answers a bit each, other scores as they are."""
    if scores.dtype == bool:
        return np.packbits(scores.astype(bool)).tobytes().hex()
    return [float(f"{score:.9g}") for score in scores]


def _unpacked(count: int, packed: str | list[float]) -> Scores:
    if isinstance(packed, list):
        return np.array(packed, dtype=np.float64)
    return np.unpackbits(np.frombuffer(bytes.fromhex(packed), dtype=np.uint8))[:count].astype(bool)


def record_life(
    model: Model,
    stream: Stream,
    settings: TrainingSettings,
    runtime: Runtime,
    *,
    options: Sequence[str] = (DEFAULT,),
    window: int = WINDOW,
    folder: Path | None = None,
) -> RecordedLife:
    """Carry out every possible update of `model` on a labelled stream, each from the model as it was deployed.

    An update after batch m is trained on the last `window` batches up to m, its validation and test data being the last
    of them. Costs are in joules, or in seconds where no energy is measured. With `folder` each update is kept there
    as it ends, and a recording that was interrupted goes on; the folder is for one life with one set of settings.

    Raises UsageError for an unlabelled stream, or one of fewer than two batches.
    """
    if stream.rows.labels is None:
        raise UsageError("a life is recorded on a labelled stream: give labels, or watch the batches instead")
    if len(stream) < 2:
        raise UsageError(
            "a life of one batch has nothing to decide: give a longer stream, or a smaller every="
        )
    name, recorder = (
        model.card.arch,
        _Recorder(model, stream, settings, window, replace(runtime, ledger=None)),
    )
    rows: list[_Row] = []
    scoring = Scoring.of(model.card, settings.metric)
    for option in ("", *options):
        for last in (FIRST,) if not option else range(len(stream) - 1):
            kept = folder / f"{option or 'first'}-{last + 1:05d}.json" if folder is not None else None
            if kept is not None and kept.exists():
                rows.append(_Row.of_text(kept.read_text()))
                continue
            runtime.watcher.stage(
                f"{name}: {option or 'the model as deployed'}, batch {last + 1} of {len(stream)}"
            )
            row = recorder.row(option, last)
            if row is None:
                continue
            rows.append(row)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                with replacing(kept, ".part") as part:
                    part.write(row.text().encode())
    first, updates = rows[0], rows[1:]
    by = {(row.option, row.last): row for row in rows}
    return RecordedLife(
        name,
        Possible(FIRST, "", 0.0, first.served),
        tuple(
            Possible(
                row.last, row.option, row.cost, row.served, _gates(row, first, by, stream, window, scoring)
            )
            for row in updates
        ),
        metric=LifeCard.served_by(model.card, settings),
    )


@dataclass(frozen=True)
class _Recorder:
    """Makes the rows of a life: each update on its own, from the model as it was deployed."""

    model: Model
    stream: Stream
    settings: TrainingSettings
    window: int
    runtime: Runtime

    def row(self, option: str, last: int) -> _Row | None:
        """One model on all batches that it could have served; None where it could not be trained."""
        cost, model, stream = 0.0, self.model, self.stream
        scoring = Scoring.of(model.card, self.settings.metric)
        if option:
            try:
                cost, updated = self._updated(option, last)
            except DataError:  # a window of one class, for example: there was no update to be made
                return None
            if updated is None:
                return None
            model = updated
        shadow = Shadow(window=self.window)
        reference: Look | None = None
        served: dict[int, ServedBatch] = {}
        hits: dict[int, Scores] = {}
        for j in range(max(0, last + 1 - self.window), len(stream)):
            batch = stream.batch(j)
            labels = batch.rows.labels
            assert labels is not None  # noqa: S101  (the stream is labelled)
            truth = labels.numpy()
            look = look_at(model, batch.rows, device=self.runtime.device)
            if j > last:
                served[j] = served_batch(
                    batch.name, j, look, scoring, reference=reference, labels=truth, shadow=shadow
                )
            if j >= last:
                hits[j] = scoring.scores(look.outputs, truth)
            if reference is None or j <= last:
                reference = look
            scoring.add(shadow, batch.name, look.representations, truth)
        return _Row(option, last, cost, served, hits)

    def _updated(self, option: str, last: int) -> tuple[float, Model | None]:
        """What the update cost, and its model; None where its training failed."""
        update = Update(self.model, None, self.stream.window(last, self.window), False, self.runtime.device)
        found = carry_out(get_option(option), update, self.settings, self.runtime)
        toll, outcome = found.run.toll, found.run.outcome
        cost = toll.duration_s or 0.0 if toll.energy_kwh is None else joules_from_kwh(toll.energy_kwh)
        return cost, found.model if outcome.complete else None


def _gates(
    row: _Row,
    first: _Row,
    by: dict[tuple[str, int], _Row],
    stream: Stream,
    window: int,
    scoring: Scoring,
) -> dict[int, bool]:
    """Whether the update beats the first model, and each earlier one of its option, on its window's test rows.

    Of those the ones in the newest batch, which all earlier models were looked at on, and no one was trained on.
    """
    newest = stream.edges[row.last], stream.edges[row.last + 1]
    begin = stream.edges[max(0, row.last + 1 - window)]
    tested = in_order(np.arange(begin, newest[1], dtype=np.int64))[2]
    rows = tested[tested >= newest[0]] - newest[0]
    gates = {}
    for other in (first, *(each for (option, _), each in by.items() if option == row.option)):
        if other.last < row.last and row.last in other.hits:
            gates[other.last] = scoring.no_worse(row.hits[row.last][rows], other.hits[row.last][rows])
    return gates
