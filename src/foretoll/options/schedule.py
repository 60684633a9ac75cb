"""The learning rate over a training: a rise to its full size, then as it is, or down to 0.

::

    rise        (t + 1) / w                              in step t = 0 … w − 1
    constant    1                                        afterwards
    linear      (T − t) / (T − w)                        from 1 in step w, towards 0 in step T
    cosine      (1 + cos(π · (t − w) / (T − w))) / 2     from 1 in step w, towards 0 in step T

T is the number of steps of the whole budget (`max_epochs`, or fewer by `max_steps`), which need not be spent: a
training that reaches its target earlier ends at a higher rate. The cosine is SGDR's without restarts (Loshchilov and
Hutter 2017, arXiv 1608.03983).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foretoll.records import TrainingSettings

_ROUNDING = 1e-9  # 1.1 epochs of 10 steps are 11 steps


def planned_steps(settings: TrainingSettings, steps_per_epoch: int) -> int:
    """Steps of the whole budget, at least one."""
    return max(math.ceil(settings.epoch_budget(steps_per_epoch) * steps_per_epoch - _ROUNDING), 1)


def warmup_steps(settings: TrainingSettings, planned: int) -> int:
    """Steps of the rise; a share of the budget where `warmup` is below 1."""
    return int(settings.warmup) if settings.warmup >= 1 else round(settings.warmup * planned)


def lr_share(step: int, settings: TrainingSettings, planned: int) -> float:
    """The share of the learning rate in step `step` (from 0) of `planned`; 1 throughout for the defaults."""
    rise = warmup_steps(settings, planned)
    if step < rise:
        return (step + 1) / rise
    if settings.schedule == "constant":
        return 1.0
    left = min(max((planned - step) / max(planned - rise, 1), 0.0), 1.0)
    return left if settings.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2
