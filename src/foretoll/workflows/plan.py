"""`foretoll plan`: a year of updates in advance, from one comparison of the options."""

from __future__ import annotations

from typing import Any

from foretoll.decide.plan import Aims, plan_of
from foretoll.records import LifePlan
from foretoll.workflows.compare import compare
from foretoll.workflows.context import Accounting, Data, ModelLike


def plan(
    model: ModelLike,
    source: Data = None,
    target: Data = None,
    *,
    updates: int = 12,
    budget: str | None = None,
    floor: float | None = None,
    **comparing: Any,
) -> LifePlan:
    """Plan the updates of a year or another time: how often, by which option, at which cost. Nothing is retrained.

    >>> found = foretoll.plan("model-dir", "npz:old.npz", "npz:new.npz", updates=12, budget="2kWh")  # doctest: +SKIP

    Args:
        model: as in `foretoll.estimate`.
        source: what the model was trained on, as in `foretoll.estimate`.
        target: data after one period; each period is taken to drift as from `source` to `target`.
        updates: the number of periods, after each of which an update may be made.
        budget: what all updates may cost: "2kWh", "50g", "3h", or "5EUR" where `accounting` has a price. The upper end
            of the chosen schedule's cost keeps to it.
        floor: the least quality that a served model may have, in the metric's unit. At least one of `budget` and
            `floor` must be given.
        comparing: what `foretoll.compare` takes, such as `options`, `until`, `settings` and `accounting`.

    Returns:
        The plan: the schedules that were compared, the chosen one, and what it costs and serves.

    Raises:
        UsageError: an argument is no name or number that can be used; the sentence names the nearest valid ones.
            Also where neither budget nor floor is given, or the case cannot say how far a model falls behind.
        DataError: data that cannot be read or do not fit the model.
        ModelError: a model that cannot be loaded or trained.
    """
    accounting = comparing.get("accounting") or Accounting()
    aims = Aims.of(updates, budget, floor, accounting.prices)  # refused before anything is looked at
    return plan_of(compare(model, source, target, **comparing), aims)
