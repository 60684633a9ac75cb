"""What an estimate or a run says, in sentences: the headline, what became of a run, and its quality on both splits."""

from __future__ import annotations

import math

from foretoll.options.table import traits_of
from foretoll.records import Estimate, Forecast, Interval, Outcome, Run, TrainingSettings
from foretoll.report.document import Tone
from foretoll.report.words import (
    MISSING,
    OUTCOME_WORDS,
    Limit,
    cost_text,
    data_name,
    epochs_text,
    goal_text,
    interval_text,
    median_text,
    metric_name,
    model_name,
    model_with_size,
    option_phrase,
    percent,
    quality_text,
    targets_text,
    two_digits,
)
from foretoll.tasks import known_metric
from foretoll.units import human_number

ONE_SIDED_Z = 1.645  # 5 % of samples fall short of the truth by more
SAMPLING_Z = (
    1.645  # two measurements of one accuracy differ by more than this many standard errors 1 time in 10
)
EVEN = 0.05  # a probability within this of one half

TONES: dict[Outcome, Tone] = {
    Outcome.REACHED: "good",
    Outcome.CENSORED: "unsure",
    Outcome.GIVEN_UP: "unsure",
    Outcome.FAILED: "bad",
    Outcome.INTERRUPTED: "unsure",
    Outcome.RUNNING: "",
}


# --- what is asked -------------------------------------------------------------------------------


def task_text(record: Estimate | Run, *, size: bool = False) -> str:
    """What is done to what, to which quality; with the model's size if asked."""
    name = model_with_size(record.model) if size else model_name(record.model)
    subject = option_phrase(record.option, name)
    target = record.target
    task = record.task_shift if isinstance(record, Run) else record.shift == "task"
    fresh = record.source is None and not traits_of(record.option).reuses_weights
    if record.option == "train" or fresh:
        subject, place = f"Training {name} from scratch", f"on {data_name(target)}"
    elif task and record.source is not None:
        place = f"for {data_name(target)} ({targets_text(target)}, from {data_name(record.source)})"
    else:
        place = f"on {data_name(target)}"
    until = until_of(record)
    goal = "" if until is None else f" to {goal_text(record.settings.metric, until)}"
    return f"{subject} {place}{goal}"


def until_of(record: Estimate | Run) -> float | None:
    """The quality target."""
    return record.until if isinstance(record, Estimate) else record.settings.until


def budget_text(settings: TrainingSettings) -> str:
    """The budget of epochs: 20 epochs."""
    return epochs_text(settings.max_epochs)


def headline(estimate: Estimate) -> str:
    """The answer in one sentence."""
    task, settings, reach = task_text(estimate), estimate.settings, estimate.reach_probability
    forecast, epochs, budget = estimate.forecast, estimate.forecast.epochs, budget_text(estimate.settings)
    limit = Limit.of(epochs, settings.max_epochs)
    goal = "the target" if estimate.until is None else goal_text(settings.metric, estimate.until)
    parts = []
    if epochs is not None and epochs.median is not None:
        ends = interval_text("epochs", epochs, limit=limit, words=", the limit")
        most_likely = median_text("epochs", epochs, limit=limit)
        parts.append(f"{'' if most_likely.startswith('≥') else 'about '}{most_likely} epochs ({ends})")
    for cost in ("duration_s", "energy_kwh", "emissions_kg"):
        if median(forecast, cost) is not None:
            parts.append(median_text(cost, getattr(forecast, cost), limit=limit))
    if not parts:
        return f"{task} {_without_medians(epochs, reach, budget, goal)}."
    if epochs is not None and epochs.high == 0 and reach is not None:
        ends = "meets the target" if reach >= 0.5 else "probably misses the target"
        if _even(reach):
            ends = "is about as likely as not to meet the target"
        return f"{task} takes no training step and {ends} ({_chance(reach)}), at {joined(parts[1:])}."
    if reach is None:
        return f"{task} will take {joined(parts)}."
    if reach < 0.5 or _even(reach):
        return f"{task} {_doubt(reach, budget)}; the attempt takes {joined(parts)}."
    return (
        f"{task} will take {joined(parts)}; the forecast gives it a probability of {percent(reach)} to reach "
        f"{goal} within {budget}."
    )


def _even(reach: float) -> bool:
    """Whether a probability is so near to one half that neither outcome is to be called the likely one."""
    return abs(reach - 0.5) <= EVEN + 1e-9


def _doubt(reach: float, budget: str) -> str:
    """That a target may well be missed, for a probability of reaching it of little more than one half, or less."""
    says = "is about as likely as not to succeed" if _even(reach) else "will probably not succeed"
    return f"{says} within {budget} ({_chance(reach)})"


def _chance(reach: float) -> str:
    return f"forecast probability {percent(reach)}"


def _without_medians(epochs: Interval | None, reach: float | None, budget: str, goal: str) -> str:
    if reach is not None and (reach < 0.5 or _even(reach)):
        return _doubt(reach, budget)
    if epochs is not None and epochs.low:
        return f"will take more than {two_digits(epochs.low)} epochs; how many more cannot be predicted"
    if reach is not None:
        return (
            f"reaches {goal} within {budget} with a forecast probability of {percent(reach)}; "
            "its cost cannot be predicted"
        )
    return "has a cost that cannot be predicted"


# --- what happened -------------------------------------------------------------------------------


def run_headline(run: Run) -> str:
    """What a run was and what it took, in one sentence; never a success that it was not."""
    task = task_text(run)
    if run.outcome is Outcome.REACHED:
        return f"{task} took {_spent(run)}."
    ended = {
        Outcome.CENSORED: "did not reach its target",
        Outcome.GIVEN_UP: "was given up",
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
    return joined(parts) or "an unmeasured amount"


def verdict(run: Run) -> str:
    """What really happened, in one sentence or two. Only a reached target is called a success."""
    spent, metric, until = _spent(run), run.settings.metric, run.settings.until
    reason = f" ({run.reason})" if run.reason else ""
    goal = goal_text(metric, until) if until is not None else "the end of its budget"
    qualities = f". {found}" if (found := both_qualities(run)) else ""
    if run.outcome is Outcome.REACHED:
        done = f"reached {goal}" if until is not None else "trained for its whole budget"
        return f"It {done} and took {spent}{qualities}."
    if run.outcome is Outcome.CENSORED:
        return f"It did not reach {goal} within its budget and spent {spent}{qualities}."
    if run.outcome is Outcome.GIVEN_UP:
        return f"It was given up before it reached {goal}{reason}, and spent {spent}{qualities}."
    if run.outcome is Outcome.RUNNING:
        return f"It is still running; so far it took {spent}."
    word = "failed" if run.outcome is Outcome.FAILED else "was interrupted"
    return f"It {word}{reason} before it reached {goal}, after {spent}."


def validation_quality(run: Run) -> float | None:
    """The quality at the last evaluation, on the validation data that stop a run."""
    return run.curve[-1].quality if run.curve else None


def both_qualities(run: Run) -> str:
    """The quality on validation and on test data, and what their difference means; empty where neither is known."""
    metric = run.settings.metric
    seen, after = validation_quality(run), run.quality.after if run.quality else None
    name = metric_name(metric)
    if after is None:
        return (
            f"Its {name} is {quality_text(metric, seen)} on the validation data" if seen is not None else ""
        )
    if seen is None:
        return f"Its {name} is {quality_text(metric, after)} on test data that it never saw"
    text = (
        f"Its {name} is {quality_text(metric, seen)} on the validation data, by which it stops, and "
        f"{quality_text(metric, after)} on test data that it never saw"
    )
    wanted, scale = run.settings.wanted, run.settings.known_scale
    missed = run.outcome is Outcome.REACHED and wanted is not None and not scale.meets(after, wanted)
    side = "below" if scale.higher_is_better else "above"
    by = "significantly " if missed_on_test(run) else ""
    below = f", where it is {by}{side} the target" if missed else ""
    return f"{text}{below}: {_difference(run, seen, after)}"


def missed_on_test(run: Run) -> bool:
    """Whether a run reached its target by luck: on test data it misses it by more than their number leaves open.

    One-sided, at 5 %: on few validation samples the first evaluation above the target may be chance.
    """
    metric, until = known_metric(run.settings.metric), run.settings.wanted
    after = run.quality.after if run.quality else None
    if run.outcome is not Outcome.REACHED or metric is None or until is None or after is None:
        return False
    error = metric.error(until, run.target.test) if run.target.test else 0.0
    missing = until - after if metric.direction == "higher" else after - until
    return error > 0 and missing > ONE_SIDED_Z * error


def _difference(run: Run, seen: float, after: float) -> str:
    """Whether the two figures differ by more than samples of their sizes do by chance."""
    metric, sizes = known_metric(run.settings.metric), (run.target.validation, run.target.test)
    if metric is None or not all(sizes):
        return f"they differ by {two_digits(abs(seen - after))}"
    measured = run.quality.error if run.quality else None
    if measured is not None:  # of the test data; the validation data are as much alike
        error = SAMPLING_Z * measured * math.sqrt(1 + sizes[1] / sizes[0])
    else:
        error = SAMPLING_Z * math.hypot(metric.error(seen, sizes[0]), metric.error(after, sizes[1]))
    within = f"the sampling error of {sizes[0]:,} and {sizes[1]:,} samples (± {two_digits(error)})"
    if abs(seen - after) <= error:
        return f"the difference is within {within}"
    worse, other = ("lower", after < seen) if metric.direction == "higher" else ("higher", after > seen)
    use = f"expect the {worse} one in practice" if other else "the test data are the easier ones"
    return f"the difference is larger than {within}: {use}"


def outcome_short(run: Run) -> str:
    """The outcome for the line of a table: yes or no, and the quality on both splits."""
    if run.outcome is Outcome.RUNNING:
        return "still running"
    metric = run.settings.metric
    found = [
        f"{quality_text(metric, value)} {split}"
        for split, value in (
            ("validation", validation_quality(run)),
            ("test", run.quality.after if run.quality else None),
        )
        if value is not None
    ]
    if run.outcome is Outcome.REACHED:
        yes = "yes, but not on test data" if missed_on_test(run) else "yes"
        return f"{yes}: {', '.join(found)}" if found else yes
    said = OUTCOME_WORDS[run.outcome]
    return f"no, {said}: {', '.join(found)}" if found else f"no, {said}"


def median(forecast: Forecast, cost: str) -> float | None:
    """The median of one cost, or None."""
    interval: Interval | None = getattr(forecast, cost)
    return interval.median if interval else None


def joined(parts: list[str]) -> str:
    """Parts of a list in a sentence: a, b and c."""
    kept = [part for part in parts if part and part != MISSING]
    if len(kept) < 2:
        return "".join(kept)
    return f"{', '.join(kept[:-1])} and {kept[-1]}"
