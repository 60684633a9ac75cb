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
    """Plan the updates of `updates` periods, each of which drifts as from `source` to `target`; nothing is retrained.

    budget: what all of them may cost ("2kWh", "50g", "3h", or "5EUR" where `accounting` has a price), which the upper
    end of the chosen schedule's cost keeps to. floor: the least quality that may be served. At least one of the two.
    `comparing`: what `foretoll.compare` takes, such as `options`, `until`, `settings`, `weights` and `accounting`;
    nothing is carried out.

    Raises UsageError where neither or an unreadable one is given, or the case cannot say how far a model falls behind,
    and what `foretoll.compare` raises.
    """
    accounting = comparing.get("accounting") or Accounting()
    aims = Aims.of(updates, budget, floor, accounting.prices)  # refused before anything is looked at
    return plan_of(compare(model, source, target, **comparing), aims)
