"""The pilots of a comparison's candidates: begun, shared out by halving, and the recommended one kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from foretoll.decide.choose import LIKELIER_THAN_NOT
from foretoll.decide.pilot_budget import PilotBudget
from foretoll.decide.price import kind_of_price, price
from foretoll.forecast import Forecaster
from foretoll.options.spelling import in_words
from foretoll.records import Candidate
from foretoll.workflows.anytime import GrowingPilot
from foretoll.workflows.candidates import Prospect
from foretoll.workflows.context import Runtime
from foretoll.workflows.halving import Contender, share_out


def share_pilots(
    found: Sequence[Candidate],
    looked: Mapping[str, Prospect],
    budget: PilotBudget,
    forecaster: Forecaster,
    runtime: Runtime,
) -> list[Candidate]:
    """The candidates by what their pilots showed, which spent the share together; each stays with its model."""
    own = replace(budget, keep=None)
    contenders: dict[int, Contender] = {}
    for position, candidate in enumerate(found):
        if candidate.why_not:
            continue
        prospect, name = looked[candidate.model], candidate.option
        known = prospect.known[name]
        pilot = GrowingPilot(prospect.update, name, known.settings, known.option, own, forecaster, runtime)
        spoken = f"{in_words(name)} of {candidate.model}" if len(looked) > 1 else in_words(name)
        contenders[position] = prospect.pilots[name] = Contender(spoken, pilot)
    without = [found[position] for position, one in contenders.items() if one.stages is None]
    share_out(list(contenders.values()), budget.spend, cheapest=_cheapest(without), say=runtime.watcher.stage)
    told = list(found)
    for position, one in contenders.items():
        told[position] = looked[found[position].model].grown(found[position], one.told)
    return told


def kept_beside(candidate: Candidate, looked: Mapping[str, Prospect], folder: str | Path) -> Candidate:
    """The candidate with the folder that its pilot is kept in, or with a warning where none is."""
    one = looked[candidate.model].pilots[candidate.option]
    kept: str | None = None
    warning: str | None = f"no pilot is kept ({one.told.record.ended}): retrain begins anew"
    if one.stages is not None:
        kept, warning = one.pilot.keep(one.stages, folder)
    assert candidate.pilot is not None  # noqa: S101  (for the type checker: all candidates with a forecast have one)
    pilot = candidate.pilot.model_copy(update={"kept": kept})
    warnings = candidate.warnings if kept is not None else (*candidate.warnings, warning)
    return candidate.model_copy(update={"pilot": pilot, "warnings": warnings})


def _cheapest(candidates: Sequence[Candidate]) -> float | None:
    """What the cheapest of these that is likelier than not to reach the target is forecast to take."""
    likely = [c for c in candidates if (c.reach_probability or 0.0) > LIKELIER_THAN_NOT]
    costs = [price(candidate, kind_of_price(likely)) for candidate in likely]
    return min((cost for cost in costs if cost is not None), default=None)
