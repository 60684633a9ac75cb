"""What a comparison says, as sentences and as the cells of its candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foretoll.decide import kind_of_price
from foretoll.records import Candidate, Comparison, Interval, Toll
from foretoll.report.document import Column, Line
from foretoll.report.elsewhere import money_text
from foretoll.report.story import validation_quality
from foretoll.report.words import (
    MISSING,
    OUTCOME_WORDS,
    UNDER_CHANCE,
    Limit,
    cost_number,
    cost_text,
    count,
    data_name,
    energy_basis_text,
    epochs_text,
    expected_quality,
    goal_text,
    grid_text,
    interval_text,
    median_text,
    memory_text,
    metric_name,
    model_with_size,
    option_settings_text,
    option_short,
    percent,
    quality_text,
    readings,
    targets_text,
    two_digits,
    unit_of,
)
from foretoll.units import human_money

# --- the whole -----------------------------------------------------------------------------------


def task_text(comparison: Comparison) -> str:
    """What is compared for what: Reusing cnn (136 k parameters) on digits with …, to accuracy 0.91."""
    cards = list(comparison.models.values())
    subject = model_with_size(cards[0]) if len(cards) == 1 else f"{len(cards)} models"
    target = comparison.target
    place = f"on {data_name(target)}"
    if comparison.shift == "task":
        source = None if comparison.sources else comparison.source
        origin = "" if source is None else f", from {data_name(source)}"
        place = f"for {data_name(target)} ({targets_text(target)}{origin})"
    goal = goal_text(comparison.settings.metric, comparison.until)
    return f"Reusing {subject} {place}, to {goal} within {epochs_text(comparison.settings.max_epochs)}"


def headline(comparison: Comparison) -> str:
    """The answer in one sentence, to be titled by whether there is a recommendation."""
    return f"{comparison.recommendation.reason}."


def sentences(comparison: Comparison) -> list[Line]:
    """Titled groups of sentences below the table."""
    advice = comparison.recommendation
    chosen = comparison.candidates[advice.candidate] if advice.candidate is not None else None
    groups = [
        Line("Note", chosen.warnings if chosen is not None else ()),
        Line("Otherwise", advice.would_change),
        Line("Read", _readings(comparison)),
        Line("Pilots", tuple(_pilots(comparison))),
        Line("Rests on", tuple(_rests_on(comparison))),
        Line("Self-cost", (_self_cost(comparison),)),
    ]
    return [group for group in groups if group.sentences]


def _pilots(comparison: Comparison) -> list[str]:
    """How far each pilot went on and why no farther, those that ended alike in one line."""
    ended: dict[str, list[str]] = {}
    for candidate in comparison.candidates:
        pilot = candidate.pilot
        if pilot is not None and pilot.stages:
            kept = f", kept in {pilot.kept}" if pilot.kept is not None else ""
            found = f"{title(comparison, candidate)} ({pilot.steps:,} steps{kept})"
            ended.setdefault(pilot.ended, []).append(found)
    return [f"{', '.join(names)}: {why}" for why, names in ended.items()]


def _readings(comparison: Comparison) -> tuple[str, ...]:
    """How the data were read; of models with sources of their own, each."""
    if not comparison.sources:
        return readings(comparison.source, comparison.target)
    sources = [
        f"source of {name}: {card.reading}"
        for name, card in comparison.sources.items()
        if card is not None and card.reading
    ]
    return (*sources, *(f"target: {text}" for text in readings(None, comparison.target)))


def title(comparison: Comparison, candidate: Candidate) -> str:
    """The option, and the model where there are several."""
    several = len(comparison.models) > 1
    option = option_short(candidate.option)
    return f"{option}, {candidate.model}" if several else option


def unusable(comparison: Comparison) -> list[tuple[str, str]]:
    """Candidates that cannot be used, or could not be run, each with its sentence."""
    return [
        (title(comparison, candidate), candidate.why_not or f"running it failed: {candidate.failure}")
        for candidate in comparison.candidates
        if candidate.why_not or candidate.failure
    ]


def usable(comparison: Comparison) -> list[tuple[int, Candidate]]:
    """Candidates with a forecast, by their position."""
    return [(i, candidate) for i, candidate in enumerate(comparison.candidates) if not candidate.why_not]


def was_measured(comparison: Comparison) -> bool:
    """Whether any candidate was run."""
    return any(candidate.run is not None for candidate in comparison.candidates)


def measured(comparison: Comparison) -> str:
    """What the runs say of the recommendation; empty where nothing was run."""
    if not was_measured(comparison):
        return ""
    goal = goal_text(comparison.settings.metric, comparison.until)
    best, advised = comparison.measured_best, comparison.recommendation.candidate
    within = " within the budget" if comparison.budget else ""
    if best is None:
        return f"No candidate reached {goal}{within}."
    found = [f"The cheapest that reached {goal}{within} is {title(comparison, comparison.candidates[best])}"]
    if advised is None:
        found.append("none was recommended")
    elif best == advised:
        found.append("it is the recommended one")
    elif comparison.regret is not None:
        mine = title(comparison, comparison.candidates[advised])
        found.append(f"the recommended {mine} took {two_digits(comparison.regret)} times as much (regret)")
    else:
        mine = title(comparison, comparison.candidates[advised])
        found.append(f"the recommended {mine} did not reach it{within}")
    return f"{'; '.join(found)}."


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
    goal = goal_text(comparison.settings.metric, comparison.until)
    said = [
        f"chance: the forecast probability of reaching {goal} "
        f"on validation data within {epochs_text(comparison.settings.max_epochs)}"
    ]
    if levels:
        said += [
            f"{metric_name(comparison.settings.metric)}: expected on test data that the update never sees; one "
            "that only just reaches the target on the validation data may miss it there",
            f"in brackets: {percent(min(levels))} intervals; ≥: at the budget of epochs, or beyond",
        ]
    said += (
        ["under chance: what the runs suggest is no better than guessing, and no forecast"]
        if _any_under_chance(comparison)
        else []
    )
    said.append(f"energy: {basis or 'no energy meter was used'}")
    said += [f"learning rate: {rates}"] if (rates := rates_text(comparison)) else []
    if comparison.grid is not None:
        said.append(f"emissions: {grid_text(comparison.grid)}")
    if comparison.budget:
        said.append(f"budget: {comparison.budget} for the update, held against the medians")
    if comparison.price:
        said.append(f"money: by the price {comparison.price}")
    if comparison.requests:
        served = f"{comparison.requests:,} served samples"
        known = kind_of_price(comparison.candidates) == "energy_with_serving_kwh"
        said.append(
            f"energy with serving: the update and {served}"
            if known
            else f"{served} are not counted: no energy is known"
        )
    return said


def _self_cost(comparison: Comparison) -> str:
    own = comparison.self_cost
    text = f"comparing took {cost_text('duration_s', own.duration_s)}"
    if own.energy_kwh is not None:
        text += f" and {cost_text('energy_kwh', own.energy_kwh)}"
    steps = sum(candidate.pilot.steps for candidate in comparison.candidates if candidate.pilot is not None)
    if steps:
        text += f"; the {steps:,} further steps of all pilots took {cost_text('duration_s', own.pilot_duration_s)} more"
        if own.pilot_energy_kwh is not None:
            text += f" and {cost_text('energy_kwh', own.pilot_energy_kwh)}"
    return f"{text}, not counting the runs that were measured" if was_measured(comparison) else text


def _any_under_chance(comparison: Comparison) -> bool:
    return any(quality_of(comparison, c) == UNDER_CHANCE for c in comparison.candidates)


# --- the cells of a candidate --------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """One column: its head (a line end may stand in it), and what it says of a candidate."""

    head: str
    cell: Callable[[Candidate], str]
    number: bool = True

    @property
    def column(self) -> Column:
        """The column of a table."""
        return Column(self.head, number=self.number)


def main_facts(comparison: Comparison) -> list[Fact]:
    """What a choice rests on, forecast beside measurement where something was measured."""
    name, run = metric_name(comparison.settings.metric), was_measured(comparison)
    after = "\nforecast" if run else ""
    found = [
        Fact("chance", lambda c: percent(c.reach_probability)),
        *([Fact("outcome", _outcome, number=False)] if run else []),
        Fact(f"{name}{after}", lambda c: quality_of(comparison, c)),
        *([Fact(f"{name}\nmeasured", lambda c: _after(comparison, c))] if run else []),
        *([] if run else [_expected("epochs", comparison)]),
        *_both("energy_kwh", comparison, ends=True),
        *_both("duration_s", comparison),
        *([] if run else [_expected("emissions_kg", comparison)]),
        *_money_facts(comparison),
    ]
    if comparison.requests:
        unit = common_unit("energy_kwh", [c.energy_with_serving_kwh for c in comparison.candidates])
        found.append(
            Fact(
                "energy with serving",
                lambda c: with_ends("energy_kwh", c.energy_with_serving_kwh, ends=False, unit=unit),
            )
        )
    return found


def _money_facts(comparison: Comparison) -> list[Fact]:
    """What each candidate costs, and cost, by the price that was named."""
    if not comparison.price:
        return []
    found = [Fact("money", lambda c: money_text(c.money))]
    return found + (
        [Fact("money\nmeasured", lambda c: money_spent_text(c))] if was_measured(comparison) else []
    )


def money_spent_text(candidate: Candidate) -> str:
    """What a candidate cost, where it was carried out."""
    currency = candidate.money.currency if candidate.money is not None else ""
    return MISSING if candidate.money_spent is None else human_money(candidate.money_spent, currency)


def measured_facts(comparison: Comparison) -> list[Fact]:
    """What else was measured, beside its forecast; nothing where nothing was."""
    if not was_measured(comparison):
        return []
    return [
        Fact("validation\nmeasured", lambda c: _validation(comparison, c)),
        *_both("epochs", comparison, ends=True),
        *_both("emissions_kg", comparison),
    ]


def other_facts(comparison: Comparison) -> list[Fact]:
    """What else each candidate takes."""
    particular = any(candidate.option_settings for candidate in comparison.candidates)
    return [
        Fact("Pareto", lambda c: "optimal" if c.on_front else MISSING, number=False),
        Fact("trains", lambda c: size(c.trainable_parameters)),
        Fact("memory", lambda c: memory_text(c.training_state_bytes)),
        Fact("weights", lambda c: weights_text(c.changes_weights), number=False),
        *([Fact("details", lambda c: _particulars(c), number=False)] if particular else []),
        Fact(
            "time per\n1,000",
            lambda c: cost_text("duration_s", c.inference.seconds_per_1000 if c.inference else None),
        ),
        Fact(
            "energy per\n1,000",
            lambda c: cost_text("energy_kwh", c.inference.energy_kwh_per_1000 if c.inference else None),
        ),
    ]


_NAMES = {
    "epochs": "epochs",
    "duration_s": "duration",
    "energy_kwh": "energy",
    "emissions_kg": "emissions (CO2e)",
}


def _both(cost: str, comparison: Comparison, *, ends: bool = False) -> list[Fact]:
    """The forecast of a cost and, where something was measured, the measurement, in one unit."""
    found = [_expected(cost, comparison, ends=ends)]
    if was_measured(comparison):
        unit = _unit(cost, comparison)
        text: Callable[[Candidate], str] = lambda c: cost_text(  # noqa: E731
            cost, getattr(_toll(c), cost), unit=unit
        ).removesuffix(" CO2e")
        found.append(Fact(f"{_NAMES[cost]}\nmeasured", text))
    return found


def _expected(cost: str, comparison: Comparison, *, ends: bool = False) -> Fact:
    unit = _unit(cost, comparison)

    def cell(candidate: Candidate) -> str:
        limit = Limit.of(candidate.forecast.epochs, comparison.settings.max_epochs)
        interval: Interval | None = getattr(candidate.forecast, cost)
        return with_ends(cost, interval, ends=ends, unit=unit, limit=limit)

    name = f"{_NAMES[cost]}\nforecast" if was_measured(comparison) else _NAMES[cost].replace(" ", "\n")
    return Fact(name, cell)


def _unit(cost: str, comparison: Comparison) -> str:
    return common_unit(cost, [getattr(c.forecast, cost) for c in comparison.candidates])


def common_unit(cost: str, intervals: Sequence[Interval | None]) -> str:
    """One unit for all, so that they can be compared by eye: that in which most are easy to read."""
    medians = sorted(i.median for i in intervals if i is not None and i.median)
    if not medians:
        return ""
    unit = unit_of(cost, medians[len(medians) // 2])
    too_long = unit and len(cost_number(cost, medians[-1], unit)) > len("10,000")
    return unit_of(cost, medians[-1]) if too_long else unit


def with_ends(
    cost: str, interval: Interval | None, *, ends: bool = True, unit: str = "", limit: Limit | None = None
) -> str:
    """Median and ends in one unit: 2.1 mWh (1.3…6.8)."""
    if interval is None or interval.median is None:
        return MISSING
    limit = limit or Limit()
    unit = unit or unit_of(cost, interval.median)
    text = median_text(cost, interval, unit=unit, limit=limit).removesuffix(" CO2e")
    if not ends or interval.low == interval.high:
        return text
    return f"{text} ({interval_text(cost, interval, unit=unit, between='…', limit=limit, words='')})"


def quality_of(comparison: Comparison, candidate: Candidate) -> str:
    """The forecast quality with its ends."""
    classes = len(comparison.target.classes)
    return expected_quality(comparison.settings, candidate.quality, classes)


def _after(comparison: Comparison, candidate: Candidate) -> str:
    run = candidate.run
    return quality_text(comparison.settings.metric, run.quality.after if run and run.quality else None)


def _validation(comparison: Comparison, candidate: Candidate) -> str:
    run = candidate.run
    return quality_text(comparison.settings.metric, validation_quality(run) if run else None)


def _particulars(candidate: Candidate) -> str:
    return option_settings_text(candidate.option_settings) or MISSING


def _toll(candidate: Candidate) -> Toll:
    return candidate.run.toll if candidate.run is not None else Toll()


def _outcome(candidate: Candidate) -> str:
    if candidate.run is None:
        return "failed" if candidate.failure else MISSING
    return OUTCOME_WORDS[candidate.run.outcome]


def size(number: int | None) -> str:
    """A number of parameters, short."""
    return MISSING if number is None else count(number)


def weights_text(changes: bool | None) -> str:
    """Whether the source's own weights are served."""
    return MISSING if changes is None else "changed" if changes else "kept"
