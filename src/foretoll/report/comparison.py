"""What a comparison says, as sentences and as cells; the terminal and the page are laid out from these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foretoll.decide import kind_of_price
from foretoll.records import Candidate, Comparison, Interval, Toll
from foretoll.report.reasons import Line
from foretoll.report.story import human_level, quality_text
from foretoll.report.words import (
    MISSING,
    OUTCOME_WORDS,
    cost_text,
    count,
    data_name,
    energy_basis_text,
    grid_text,
    interval_text,
    model_with_size,
    percent,
    plain,
    readings,
    two_digits,
    unit_of,
)

# --- the whole -----------------------------------------------------------------------------------


def task_text(comparison: Comparison) -> str:
    """What is compared for what: Reusing cnn (136 k parameters) on digits with …, to accuracy 0.91."""
    cards = list(comparison.models.values())
    subject = model_with_size(cards[0]) if len(cards) == 1 else f"{len(cards)} models"
    target = comparison.target
    place = f"on {data_name(target)}"
    if comparison.shift == "task":
        place = (
            f"for {data_name(target)} ({len(target.classes)} classes, from {data_name(comparison.source)})"
        )
    goal = f"{plain(comparison.settings.metric)} {human_level(comparison.until)}"
    return f"Reusing {subject} {place}, to {goal} within {comparison.settings.max_epochs:g} epochs"


def headline(comparison: Comparison) -> str:
    """The answer in one sentence."""
    advice = comparison.recommendation
    if advice.candidate is None:
        return f"No candidate of {len(comparison.candidates)} is recommended: {advice.reason}."
    return f"Recommended: {advice.reason}."


def sentences(comparison: Comparison) -> list[Line]:
    """Titled groups of sentences below the table."""
    advice = comparison.recommendation
    chosen = comparison.candidates[advice.candidate] if advice.candidate is not None else None
    groups = [
        Line("Recommended" if chosen else "No recommendation", (advice.reason, *_notes(chosen))),
        Line("Otherwise", advice.would_change),
        Line("Measured", tuple(_measured(comparison))),
        Line("Read", readings(comparison.source, comparison.target)),
        Line("Rests on", tuple(_rests_on(comparison))),
        Line("Self-cost", (_self_cost(comparison),)),
    ]
    return [group for group in groups if group.sentences]


def title(comparison: Comparison, candidate: Candidate) -> str:
    """The option, and the model where there are several."""
    several = len(comparison.models) > 1
    return f"{candidate.option}, {candidate.model}" if several else candidate.option


def unusable(comparison: Comparison) -> list[tuple[str, str]]:
    """Candidates that cannot be used, or were not carried out, each with its sentence."""
    return [
        (title(comparison, candidate), candidate.why_not or f"carrying it out failed: {candidate.failure}")
        for candidate in comparison.candidates
        if candidate.why_not or candidate.failure
    ]


def usable(comparison: Comparison) -> list[tuple[int, Candidate]]:
    """Candidates with a forecast, by their position."""
    return [(i, candidate) for i, candidate in enumerate(comparison.candidates) if not candidate.why_not]


def was_measured(comparison: Comparison) -> bool:
    """Whether any candidate was carried out."""
    return any(candidate.run is not None for candidate in comparison.candidates)


def _notes(chosen: Candidate | None) -> list[str]:
    return list(chosen.warnings) if chosen is not None else []


def _measured(comparison: Comparison) -> list[str]:
    if not was_measured(comparison):
        return []
    goal = f"{plain(comparison.settings.metric)} {human_level(comparison.until)}"
    best, advised = comparison.measured_best, comparison.recommendation.candidate
    within = " within the budget" if comparison.budget else ""
    if best is None:
        return [f"no candidate reached {goal}{within}"]
    found = [f"the cheapest that reached {goal}{within} is {title(comparison, comparison.candidates[best])}"]
    if advised is None:
        found.append("none was recommended")
    elif best == advised:
        found.append("it is the recommended one")
    elif comparison.regret is not None:
        mine = title(comparison, comparison.candidates[advised])
        found.append(f"the recommended {mine} took {two_digits(comparison.regret)} times as much (regret)")
    else:
        found.append(
            f"the recommended {title(comparison, comparison.candidates[advised])} did not reach it{within}"
        )
    return found


def rates_text(comparison: Comparison) -> str:
    """The learning rates and the options that train with each; empty where none is known."""
    options: dict[float, list[str]] = {}
    for candidate in comparison.candidates:
        if candidate.lr is not None:
            options.setdefault(candidate.lr, []).append(title(comparison, candidate))
    if len(options) == 1:
        return f"{next(iter(options)):g}"
    return ", ".join(f"{lr:g} ({', '.join(names)})" for lr, names in sorted(options.items()))


def _rests_on(comparison: Comparison) -> list[str]:
    basis = energy_basis_text(comparison.energy)
    levels = {c.quality.level for c in comparison.candidates if c.quality is not None}
    said = [f"in brackets: {percent(min(levels))} intervals"] if levels else []
    said.append(f"energy: {basis or 'no energy meter was used'}")
    said += [f"learning rate: {rates}"] if (rates := rates_text(comparison)) else []
    if comparison.grid is not None:
        said.append(f"emissions: {grid_text(comparison.grid)}")
    if comparison.budget:
        said.append(f"budget: {comparison.budget} for the update, held against the medians")
    if comparison.requests:
        served = f"{comparison.requests:,} served samples"
        known = kind_of_price(comparison.candidates) == "life_energy_kwh"
        said.append(
            f"life energy: the update and {served}"
            if known
            else f"{served} are not counted: no energy is known"
        )
    return said


def _self_cost(comparison: Comparison) -> str:
    own = comparison.self_cost
    text = f"comparing took {cost_text('duration_s', own.duration_s)}"
    if own.energy_kwh is not None:
        text += f" and {cost_text('energy_kwh', own.energy_kwh)}"
    return f"{text}, carrying out apart" if was_measured(comparison) else text


# --- the cells of a candidate --------------------------------------------------------------------


@dataclass(frozen=True)
class ComparisonColumn:
    """One column: its head, what it says of a candidate, and the order in which columns get room."""

    head: str
    cell: Callable[[Candidate], str]
    rank: int
    right: bool = True


def _measured_quality(candidate: Candidate) -> str:
    quality = candidate.run.quality if candidate.run is not None else None
    return quality_text(quality.after if quality is not None else None)


def columns(comparison: Comparison) -> list[ComparisonColumn]:
    """All columns behind the option in the order of the page; those of low rank stay where there is little room."""
    budget = (comparison.budget or "").lower().rstrip()
    emissions = 2 if budget.endswith("g") else 11
    unit = common_unit("energy_kwh", [c.forecast.energy_kwh for c in comparison.candidates])
    found = [
        ComparisonColumn("chance", lambda c: percent(c.reach_probability), 0),
        ComparisonColumn("quality", lambda c: with_ends("", c.quality), 1),
        ComparisonColumn("epochs", lambda c: with_ends("epochs", c.forecast.epochs, ends=False), 4),
        ComparisonColumn("energy", lambda c: with_ends("energy_kwh", c.forecast.energy_kwh, unit=unit), 0),
        ComparisonColumn("duration", lambda c: with_ends("duration_s", c.forecast.duration_s, ends=False), 3),
        ComparisonColumn(
            "CO2e", lambda c: with_ends("emissions_kg", c.forecast.emissions_kg, ends=False), emissions
        ),
    ]
    if comparison.requests:
        life: Callable[[Candidate], str] = lambda c: with_ends("energy_kwh", c.life_energy_kwh, ends=False)  # noqa: E731
        found.append(ComparisonColumn("life energy", life, 2))
    if was_measured(comparison):
        found += [
            ComparisonColumn("measured", _outcome, 2, right=False),
            ComparisonColumn("quality", _measured_quality, 2),
            ComparisonColumn("energy", lambda c: cost_text("energy_kwh", _toll(c).energy_kwh, unit=unit), 2),
            ComparisonColumn("duration", lambda c: cost_text("duration_s", _toll(c).duration_s), 6),
        ]
    return [
        *found,
        ComparisonColumn("trains", lambda c: size(c.trainable_parameters), 7),
        ComparisonColumn("memory", lambda c: memory_text(c.training_state_bytes), 8),
        ComparisonColumn("weights", lambda c: weights_text(c.changes_weights), 9, right=False),
        ComparisonColumn("serves 1,000", served_text, 10),
    ]


def common_unit(cost: str, intervals: Sequence[Interval | None]) -> str:
    """The unit in which most of these are easy to read, so that a column can be compared by eye."""
    medians = sorted(i.median for i in intervals if i is not None and i.median)
    return unit_of(cost, medians[len(medians) // 2]) if medians else ""


def with_ends(cost: str, interval: Interval | None, *, ends: bool = True, unit: str = "") -> str:
    """Median and ends in one unit: 2.1 mWh (1.3…6.8)."""
    if interval is None or interval.median is None:
        return MISSING
    unit = unit or unit_of(cost, interval.median)
    if cost:
        text, low_high = (
            cost_text(cost, interval.median, unit=unit),
            interval_text(cost, interval, unit=unit, between="…"),
        )
    else:
        text, low_high = f"{interval.median:.2f}", _levels(interval)
    text = text.removesuffix(" CO2e")
    return f"{text} ({low_high})" if ends and interval.low != interval.high else text


def _levels(interval: Interval) -> str:
    low, high = (MISSING if end is None else f"{end:.2f}" for end in (interval.low, interval.high))
    return f"{low}…{high}"


def _toll(candidate: Candidate) -> Toll:
    return candidate.run.toll if candidate.run is not None else Toll()


def _outcome(candidate: Candidate) -> str:
    if candidate.run is None:
        return "failed" if candidate.failure else MISSING
    return OUTCOME_WORDS[candidate.run.outcome]


def outcome_text(candidate: Candidate) -> str:
    """What came of carrying it out, for the page: yes, or why not."""
    if candidate.run is None:
        return f"not measured: {candidate.failure}" if candidate.failure else MISSING
    return OUTCOME_WORDS[candidate.run.outcome]


def size(number: int | None) -> str:
    """A number of parameters, short."""
    return MISSING if number is None else count(number)


def memory_text(size_bytes: int | None) -> str:
    """Bytes in kB, MB or GB, of 1,000 each."""
    if size_bytes is None:
        return MISSING
    for factor, unit in ((1e9, "GB"), (1e6, "MB")):
        if size_bytes >= factor:
            return f"{two_digits(size_bytes / factor)} {unit}"
    return f"{two_digits(size_bytes / 1e3)} kB"


def weights_text(changes: bool | None) -> str:
    """Whether the source's own weights are served."""
    return MISSING if changes is None else "changed" if changes else "kept"


def served_text(candidate: Candidate) -> str:
    """Energy of serving 1,000 samples, or seconds where there is no meter."""
    cost = candidate.inference
    if cost is None:
        return MISSING
    if cost.energy_kwh_per_1000 is not None:
        return cost_text("energy_kwh", cost.energy_kwh_per_1000)
    return cost_text("duration_s", cost.seconds_per_1000)
