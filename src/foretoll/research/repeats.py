"""How well another seed of the very same setting predicts a run: the ceiling for single runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import decided
from foretoll.research import metrics
from foretoll.research.leave_out import Row, outcomes
from foretoll.research.open_runs import open_measures


def repeat_scores(rows: Sequence[Row], tested: Sequence[int]) -> dict[str, float | None]:
    """How well another seed of the same setting predicts a run, over the tested rows that have one."""
    pairs, other = _repeats(rows, tested)
    if not pairs:
        return {"runs": 0.0}
    seen = outcomes([rows[i] for i in pairs])
    reached = np.isfinite(other).astype(float)
    open_ = np.flatnonzero([not decided(rows[i].case) for i in pairs])
    left = seen.take(open_)
    return {
        "runs": float(len(pairs)),
        "auc": metrics.auc(reached, seen),
        "auc_open": metrics.auc(reached[open_], left),
        "spearman": metrics.spearman(np.minimum(other, seen.limit), seen),
        "concordance": metrics.harrell(other, seen),
        "median_factor": metrics.median_factor(other, seen),
        "open_runs": float(len(open_)),
        "spearman_open": metrics.spearman(np.minimum(other[open_], left.limit), left),
        "median_factor_open": metrics.median_factor(other[open_], left),
    }


def _repeats(rows: Sequence[Row], tested: Sequence[int]) -> tuple[list[int], NDArray[np.float64]]:
    """The tested rows of which another seed was tested too, and its epochs: infinite where it missed the target."""
    by_setting: dict[str, list[int]] = defaultdict(list)
    for i in tested:
        by_setting[rows[i].setting].append(i)
    pairs = [
        (group[k], group[k - 1]) for group in by_setting.values() if len(group) > 1 for k in range(len(group))
    ]
    other = [math.inf if rows[j].censored else rows[j].epochs for _, j in pairs]
    return [i for i, _ in pairs], np.array(other)


def open_repeat(rows: Sequence[Row], tested: Sequence[int]) -> dict[str, float]:
    """Measures of another seed as a forecast, over runs that are open and reached their target."""
    pairs, other = _repeats(rows, tested)
    return open_measures(rows, pairs, other)
