"""The learning rate of an update: the one that was named, the option's own, or the best of a short range test.

One rate cannot serve all: what trains a network from nothing undoes one whose weights others brought to their place
with a falling rate. The numbers that the defaults rest on stand in docs/options.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from foretoll.errors import UsageError, shown
from foretoll.options import get_option
from foretoll.options.optimizer import KEPT_RATE, usual_rate
from foretoll.records import ModelCard, TrainingSettings
from foretoll.workflows.context import Update, Watcher
from foretoll.workflows.pilot import STEPS, pilot_signals

SPAN = (1 / 10, 1 / 3, 1.0, 3.0, 10.0)  # of the default: what a range test tries, from the lowest
WORSE = 1.02  # a loss within this factor of the lowest counts as equal: the lower rate is taken
RISES = 1.05  # a loss on a few hundred samples may rise by less without a meaning
Named = float | Literal["auto"] | None


@dataclass(frozen=True)
class Rate:
    """A learning rate, and how it came about, in words."""

    lr: float
    how: str


def default_rate(option: str, card: ModelCard, optimizer: str) -> Rate:
    """The rate of an option where none is named; the option's own factor comes on top (`Option.lr_factor`)."""
    rate = usual_rate(get_option(option), card.arch, optimizer)
    where = " where the weights were trained elsewhere" if rate == KEPT_RATE else ""
    return Rate(rate, f"the default of {get_option(option).name}{where}")


def settled(
    update: Update,
    option: str,
    settings: TrainingSettings,
    lr: Named = None,
    *,
    watcher: Watcher | None = None,
) -> tuple[TrainingSettings, Rate]:
    """The settings with the learning rate that this option trains with for this update, and how it came about.

    `lr`: a number, "auto" for a range test, or None: then a rate that the settings were made with counts as named.
    Raises UsageError for anything else.
    """
    if lr is None and "lr" in settings.model_fields_set:
        lr = settings.lr
    rate = default_rate(option, update.model.card, settings.optimizer)
    if lr == "auto":
        if get_option(option).takes_steps and update.target.train.labels is not None:
            (watcher or Watcher()).stage(f"look for a learning rate of {option} (range test)")
            rate = range_test(update, option, settings, around=rate.lr)
    elif lr is not None:
        if not isinstance(lr, int | float) or not 0 < lr < math.inf:
            raise UsageError(f'lr={shown(lr)} is no learning rate: give a number above 0, "auto" or None')
        rate = Rate(float(lr), "named")
    factor = get_option(option).lr_factor
    if factor != 1:
        rate = Rate(rate.lr, f"{rate.how}; times {factor:g} for the few weights that {option} trains")
    return settings.model_copy(update={"lr": rate.lr}), rate


def range_test(update: Update, option: str, settings: TrainingSettings, *, around: float) -> Rate:
    """The best rate after a few steps: the lowest one whose loss on held-back samples is the lowest of `SPAN`.

    Each rate starts from the same weights with the same batches (`pilot_signals`). From the lowest rate upwards, and
    no further once the loss has become worse twice.
    """
    losses: dict[float, float] = {}
    for factor in SPAN:
        rate = float(f"{around * factor:.1g}")
        signals = pilot_signals(update, option, settings.model_copy(update={"lr": rate}))
        loss = signals.get(f"pilot{max(STEPS)}_loss")
        losses[rate] = math.inf if loss is None else loss
        *_, before, last = (math.inf, *losses.values())
        if last > before > min(losses.values()):
            break
    least = min(losses.values())
    if math.isinf(least):
        lowest = min(losses)
        return Rate(lowest, "the lowest of a range test: the loss became infinite at all of them")
    best = next(rate for rate, loss in losses.items() if loss <= least * WORSE)
    tried = f"{min(losses):g} … {max(losses):g}"
    return Rate(best, f"the best of {len(losses)} ({tried}) after {max(STEPS)} steps each")


def rising(signals: dict[str, float | None], lr: float) -> list[str]:
    """What to say where a pilot made the model worse than it began."""
    start, end = signals.get("pilot0_loss"), signals.get(f"pilot{max(STEPS)}_loss")
    if start is None or f"pilot{max(STEPS)}_loss" not in signals:
        return []
    way_out = f"try --lr {lr / 10:.1g} or --lr auto"
    if end is None:
        return [f"the loss became infinite within {max(STEPS)} steps at learning rate {lr:g}: {way_out}"]
    if end <= RISES * start:
        return []
    return [
        f"{max(STEPS)} steps at learning rate {lr:g} raised the loss on samples held back from {start:.2g} to "
        f"{end:.2g}: it undoes what the weights know; {way_out}"
    ]
