"""Self-calibration: short graded retrainings of the user's own model, to rest a forecast on.

Distribution shift: samples of the source that its training did not see, under synthetic shifts of graded strength.
Task shift: the target's own data, in graded small parts. Every calibration run is a real run, measured and written
to the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from foretoll.data import SHIFTS, ArraySplit, Split, TaskData, stratified_sample
from foretoll.decide.spending import Budget
from foretoll.errors import UsageError
from foretoll.options.table import DEFAULT, SCRATCH
from foretoll.records import Outcome, Run, Shift, TrainingSettings
from foretoll.workflows.carry_out import RunMetadata
from foretoll.workflows.context import Runtime, Update, Watcher
from foretoll.workflows.retrain import retrain_update

TAG = "calibration"
FEWEST_SAMPLES = 400
# Kinds that differ in what they do to the model: noise hides detail, contrast rescales, blur removes edges.
KINDS = ("gaussian_noise", "contrast", "gaussian_blur", "salt_and_pepper", "brightness", "pixelate")


def calibrate(
    update: Update,
    settings: TrainingSettings,
    budget: Budget,
    runtime: Runtime,
    *,
    option: str = DEFAULT,
    from_scratch: TrainingSettings | None = None,
    samples: int = 2000,
) -> list[Run]:
    """Carry out graded retrainings until the budget is spent; return their runs.

    They train by `option`, which is the one that is asked about: others may not fit this machine. Beside `finetune`,
    which trains all weights as well, every fourth run trains from scratch, so that reuse can be compared with it. A run
    under way when the time is up is finished. `from_scratch`: the settings of those (another learning rate).
    """
    began, runs = time.monotonic(), []
    quiet = replace(runtime, watcher=Watcher())  # of the runs themselves nothing is said
    plan = _graded_tasks(update, samples) if update.task_shift else _graded_shifts(update, samples)
    for number, case in enumerate(plan):
        if number >= budget.runs or time.monotonic() - began >= budget.duration_s:
            break
        name = SCRATCH if option == DEFAULT and number % 4 == 3 else option
        runtime.watcher.note(f"calibration run {number + 1}: {name} under {_shift_text(case)}")
        own = settings if name == option else from_scratch or settings
        done = retrain_update(
            case,
            name,
            own.model_copy(update={"seed": settings.seed + number, "give_up": None}),  # whole runs teach more
            quiet,
            RunMetadata(tags=(TAG,)),
        )
        runs.append(done.run)
        if done.run.outcome is Outcome.INTERRUPTED:  # Ctrl-C means all of it, not this run
            raise KeyboardInterrupt
    return runs


def _graded_shifts(update: Update, samples: int) -> Iterator[Update]:
    """Unseen samples of the source under synthetic shifts, from middling to mild and strong, kinds in turn."""
    source = update.source_for("--calibrate, which retrains under graded shifts of the source,")
    kinds = [k for k in KINDS if k in SHIFTS and source.kind in SHIFTS[k].kinds]
    if not kinds:
        raise UsageError(
            f"--calibrate has no graded shifts for {source.kind} data: forecast from the ledger instead"
        )
    small = unseen_part(source, samples)
    for level in (1, 3, 0, 2):
        for kind in kinds:
            grade = SHIFTS[kind].levels_for(source.kind)[level]
            yield replace(
                update, target=small.shifted(Shift(kind=kind, level=grade), seed=level), clean=small
            )


def _graded_tasks(update: Update, samples: int) -> Iterator[Update]:
    """Parts of the target of growing size; a small part cannot always reach the target, and says so."""
    total = len(update.target.train)
    for share in (0.25, 0.5, 0.125, 0.35) * 6:
        count = min(max(int(total * share), FEWEST_SAMPLES), total, samples)
        yield replace(update, target=part_of(update.target, count), clean=None)


def unseen_part(source: TaskData, samples: int) -> TaskData:
    """Up to `samples` training samples, of data that the source model was not trained on, and as many to judge by.

    A model is better on what it was trained on than it will be on any target, so that runs on those data would be
    too short. They are taken from the validation and test parts, three of five to train on; where these hold fewer
    than `FEWEST_SAMPLES`, from the training part after all.
    """
    parts = [part for part in (source.validation, source.test) if len(part)]
    if sum(map(len, parts)) < FEWEST_SAMPLES:
        return part_of(source, samples)
    batches = [part.all() for part in parts]
    inputs = [batch.inputs for batch in batches]
    texts = isinstance(inputs[0], list)
    pool = ArraySplit(
        [text for part in inputs for text in part] if texts else torch.cat(inputs),
        torch.cat([batch.labels for batch in batches]),
        ids=torch.cat([part.ids for part in parts]),
    )
    train = stratified_sample(pool, min(samples, 3 * len(pool) // 5), seed=0)
    rest = _without(pool, train)
    validation = stratified_sample(rest, len(rest) // 2, seed=1)
    test = _without(rest, validation)
    card = source.card.model_copy(
        update={"train": len(train), "validation": len(validation), "test": len(test)}
    )
    return replace(source, card=card, train=train, validation=validation, test=test)


def _without(split: Split, taken: Split) -> Split:
    return split.take(torch.nonzero(~torch.isin(split.ids, taken.ids)).flatten())


def _shift_text(update: Update) -> str:
    shifts = update.target.card.shift
    return (
        ", ".join(f"{s.kind} {s.level:g}" for s in shifts)
        or f"{len(update.target.train)} samples of the target"
    )


def part_of(data: TaskData, samples: int, *, held_out: int = 200) -> TaskData:
    """A stratified part of a data set with `samples` for training; validation and test in proportion.

    Validation and test keep at least `held_out` samples each where they have as many.
    """
    share = min(samples / max(len(data.train), 1), 1.0)

    def cut(split: Split, least: int) -> Split:
        return stratified_sample(split, max(int(len(split) * share), min(len(split), least)), seed=0)

    train, validation, test = cut(data.train, 1), cut(data.validation, held_out), cut(data.test, held_out)
    card = data.card.model_copy(
        update={"train": len(train), "validation": len(validation), "test": len(test)}
    )
    return replace(data, card=card, train=train, validation=validation, test=test)
