"""What an estimate or a run says, as sentences and as rows: headline, toll, why, instead, what it rests on.

Both the terminal and the page are laid out from these, so that they never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

from foretoll.records import Estimate, Forecast, Interval, Outcome, Run
from foretoll.report.words import (
    COST_LABELS,
    MISSING,
    cost_text,
    data_name,
    energy_basis_text,
    grid_text,
    interval_text,
    model_name,
    model_with_size,
    option_phrase,
    percent,
    plain,
    two_digits,
    unit_of,
)
from foretoll.units import human_number


@dataclass(frozen=True)
class CostRow:
    """One line of the toll: forecast, interval and measurement as text, and as numbers for the picture."""

    cost: str
    label: str
    forecast: str
    interval: str
    measured: str
    note: str = ""
    expected: Interval | None = None
    value: float | None = None
    reached: bool = (
        True  # False: the value was spent without meeting the target, and is no cost of meeting it
    )


# --- what is asked -------------------------------------------------------------------------------


def task_text(record: Estimate | Run, *, size: bool = False) -> str:
    """What is done to what, to which quality; with the model's size if asked."""
    name = model_with_size(record.model) if size else model_name(record.model)
    subject = option_phrase(record.option, name)
    target = record.target
    task = record.task_shift if isinstance(record, Run) else record.shift == "task"
    if record.option == "train" or record.source is None:
        subject, place = f"Training {name} from scratch", f"on {data_name(target)}"
    elif task:
        place = f"for {data_name(target)} ({len(target.classes)} classes, from {data_name(record.source)})"
    else:
        place = f"on {data_name(target)}"
    until = record.until if isinstance(record, Estimate) else record.settings.until
    goal = "" if until is None else f" to {plain(record.settings.metric)} {human_level(until)}"
    return f"{subject} {place}{goal}"


def human_level(value: float) -> str:
    """A quality level: as many digits as it has, two at least."""
    short = f"{value:.2f}"
    return short if abs(float(short) - value) < 1e-9 else f"{value:.3f}"


def headline(estimate: Estimate) -> str:
    """The answer in one sentence."""
    task = task_text(estimate)
    forecast = estimate.forecast
    reach = estimate.reach_probability
    epochs = forecast.epochs
    budget = f"{estimate.settings.max_epochs:g} epochs"
    parts = []
    if epochs is not None and epochs.median is not None:
        ends = interval_text("epochs", epochs)
        parts.append(f"about {two_digits(epochs.median)} epochs ({ends})")
    for cost in ("duration_s", "energy_kwh", "emissions_kg"):
        if (value := median(forecast, cost)) is not None:
            parts.append(cost_text(cost, value))
    if not parts:
        return f"{task} {_without_medians(epochs, reach, budget)}."
    toll = _and(parts)
    if epochs is not None and epochs.high == 0 and reach is not None:
        ends = "meets the target" if reach >= 0.5 else "probably misses the target"
        return (
            f"{task} takes no training step and {ends} (probability {_chance(reach)}), at {_and(parts[1:])}."
        )
    if reach is None:
        return f"{task} will take {toll}."
    if reach < 0.5:
        return (
            f"{task} will probably not succeed within {budget} (probability {_chance(reach)}); "
            f"the attempt takes {toll}."
        )
    return f"{task} will take {toll}; it gets there within {budget} with probability {_chance(reach)}."


def _chance(reach: float) -> str:
    """A probability beside a sentence that says whether it is more or less than one half."""
    return percent(reach, apart_from=0.5)


def _without_medians(epochs: Interval | None, reach: float | None, budget: str) -> str:
    if reach is not None and reach < 0.5:
        return f"will probably not succeed within {budget} (probability {_chance(reach)})"
    if epochs is not None and epochs.low:
        return f"will take more than {two_digits(epochs.low)} epochs; how many more cannot be foretold"
    if reach is not None:
        return f"gets there within {budget} with probability {percent(reach)}; its cost cannot be foretold"
    return "has a cost that cannot be foretold"


def run_headline(run: Run) -> str:
    """What a run was and what it took, in one sentence; never a success that it was not."""
    task = task_text(run)
    if run.outcome is Outcome.REACHED:
        return f"{task} took {_spent(run)}."
    ended = {
        Outcome.CENSORED: "did not get there",
        Outcome.FAILED: "failed",
        Outcome.INTERRUPTED: "was interrupted",
        Outcome.RUNNING: "is still running",
    }[run.outcome]
    return f"{task} {ended} and spent {_spent(run)}."


def _spent(run: Run) -> str:
    toll = run.toll
    parts = [f"{human_number(toll.epochs)} epochs" if toll.epochs is not None else ""]
    for cost in ("duration_s", "energy_kwh", "emissions_kg"):
        parts.append(cost_text(cost, getattr(toll, cost), digits=3))
    return _and(parts) or "an unmeasured amount"


def verdict(run: Run) -> str:
    """What really happened, in one sentence. Only a reached target is told as a success."""
    spent = _spent(run)
    metric = plain(run.settings.metric)
    after = run.quality.after if run.quality else None
    test = f"; on the test data it has {metric} {quality_text(after)}" if after is not None else ""
    reason = f" ({run.reason})" if run.reason else ""
    until = run.settings.until
    goal = f"{metric} {human_level(until)}" if until is not None else "the end of its budget"
    if run.outcome is Outcome.REACHED:
        done = f"reached {goal}" if until is not None else "trained for its whole budget"
        return f"It {done} and took {spent}{test}."
    if run.outcome is Outcome.CENSORED:
        return f"It did not reach {goal} within its budget and spent {spent}{test}."
    if run.outcome is Outcome.RUNNING:
        return f"It is still running; so far it took {spent}."
    word = "failed" if run.outcome is Outcome.FAILED else "was interrupted"
    return f"It {word}{reason} before it reached {goal}, after {spent}."


def outcome_short(run: Run) -> str:
    """The outcome for the "reached" line of a table."""
    if run.outcome is Outcome.REACHED:
        return "yes"
    if run.outcome is Outcome.CENSORED:
        return "no: target not reached"
    if run.outcome is Outcome.RUNNING:
        return "still running"
    return f"no: {run.outcome.value}"


def quality_text(value: float | None) -> str:
    """A measured quality with three digits, or the mark for a missing value."""
    return MISSING if value is None else f"{value:.3f}"


# --- the toll ------------------------------------------------------------------------------------


def cost_rows(estimate: Estimate | None, run: Run | None) -> list[CostRow]:
    """The six costs, forecast beside measurement, each with the basis or the reason why it is missing."""
    rows = []
    for cost, label in COST_LABELS.items():
        expected: Interval | None = getattr(estimate.forecast, cost) if estimate else None
        value: float | None = getattr(run.toll, cost) if run else None
        median = expected.median if expected else None
        reference = median if median is not None else value
        if reference is None and expected is not None:
            reference = expected.low or expected.high
        unit = unit_of(cost, reference)
        forecast = cost_text(cost, median, unit=unit)
        if expected is not None and median is None and expected.low is not None:
            forecast = f"> {cost_text(cost, expected.low, unit=unit)}"
        rows.append(
            CostRow(
                cost=cost,
                label=label,  # the label says CO2e once for the whole line
                forecast=forecast.removesuffix(" CO2e"),
                interval=interval_text(cost, expected, unit=unit),
                measured=_measured(cost, value, unit, run),
                note=_cost_note(cost, expected, value, estimate, run),
                expected=expected,
                value=value,
                reached=run is None or run.outcome is Outcome.REACHED,
            )
        )
    return rows


def _measured(cost: str, value: float | None, unit: str, run: Run | None) -> str:
    text = cost_text(cost, value, unit=unit, digits=3).removesuffix(" CO2e")
    if cost == "epochs" and value is not None and run is not None and run.outcome is not Outcome.REACHED:
        return f"{text} spent" if run.settings.until is not None else text
    return text


def _cost_note(
    cost: str, expected: Interval | None, value: float | None, estimate: Estimate | None, run: Run | None
) -> str:
    energy = (run.energy if run else None) or (estimate.basis.energy if estimate else None)
    grid = (run.grid if run else None) or (estimate.basis.grid if estimate else None)
    missing = expected is None and value is None
    if cost == "energy_kwh":
        return energy_basis_text(energy) or ("no energy meter was used" if missing else "basis not recorded")
    if cost == "emissions_kg":
        if grid is None:
            return "no grid region is known" if missing else "grid intensity not recorded"
        return f"{grid_text(grid)}{'; no energy figure to multiply' if missing else ''}"
    if expected is not None and expected.median is None and expected.high is None:
        return "may never get there" if cost == "epochs" else ""
    if missing and run is not None and run.outcome in (Outcome.FAILED, Outcome.INTERRUPTED):
        return f"the run {'failed' if run.outcome is Outcome.FAILED else 'was interrupted'}"
    if missing:
        return "no forecast" if estimate else "not measured"
    return ""


def interval_level(estimate: Estimate) -> float:
    """The level of the forecast's intervals, 0.9 unless the records say otherwise."""
    for cost in COST_LABELS:
        interval: Interval | None = getattr(estimate.forecast, cost)
        if interval is not None:
            return interval.level
    return estimate.coverage.level


def median(forecast: Forecast, cost: str) -> float | None:
    """The median of one cost, or None."""
    interval: Interval | None = getattr(forecast, cost)
    return interval.median if interval else None


def _and(parts: list[str]) -> str:
    known = [part for part in parts if part and part != MISSING]
    if len(known) < 2:
        return "".join(known)
    return f"{', '.join(known[:-1])} and {known[-1]}"
