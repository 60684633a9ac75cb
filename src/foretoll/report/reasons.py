"""Why an update costs what it costs, what else could be done, and what the forecast rests on, as sentences."""

from __future__ import annotations

from foretoll.options.base import OPTIMISER
from foretoll.options.table import fresh_first, traits_of
from foretoll.records import SHARES, Estimate, Forecast, IndexValue, Interval, Outcome, QualityScale, Run
from foretoll.report.curve import knee_line
from foretoll.report.details import beyond
from foretoll.report.document import Line
from foretoll.report.payback import payback_line
from foretoll.report.pilot import pilot_cost
from foretoll.report.samples import samples_line
from foretoll.report.story import median
from foretoll.report.words import (
    PROBES,
    Limit,
    chance_of,
    cost_text,
    interval_text,
    is_chance,
    median_text,
    metric_name,
    optimizer_of,
    option_settings_text,
    percent,
    quality_text,
    readings,
    two_digits,
)

_GAP = ("recoverability_gap",)
_RESQUE = ("resque", "inv_ari")  # of a distribution shift, of a task shift
_LOSS = ("initial_loss",)
_SOURCE_LOSS = ("source_loss",)
_ACCURACY = ("initial_quality",)
_SOURCE_ACCURACY = ("source_quality",)


def why(estimate: Estimate) -> Line:
    """What about the shift makes the update cost what it costs."""
    sentences = []
    gap = _known(estimate, _GAP)
    if gap is not None:
        what = (
            f"falls {two_digits(gap)} short of the target"
            if gap > 0
            else f"meets the target with {two_digits(-gap)} to spare"
        )
        probe, scale = _known(estimate, PROBES), estimate.settings.scale
        if scale is None or probe is None:
            sentences.append(f"a linear probe on the frozen features {what} (recoverability gap)")
        else:
            reached = quality_text(estimate.settings.metric, _best_probe(estimate, gap, scale))
            name = metric_name(estimate.settings.metric)
            sentences.append(
                f"a linear probe on the frozen features reaches {name} {reached} (recoverability gap {two_digits(gap)} "
                "of the way from guessing to perfect)"
            )
    resque = _index(estimate, _RESQUE)
    if resque is not None and resque.value is not None:
        floor = f"; {two_digits(resque.floor)} without any shift" if resque.floor is not None else ""
        value = two_digits(resque.value)
        of_task = resque.name == "inv_ari"  # also where nobody has the source's data, which the angle needs
        sentences.append(
            f"the representation's clusters differ from the {'new ' if estimate.shift == 'task' else ''}classes: 1 − "
            f"adjusted Rand index {value} (task form of RESQUE{floor}; 0 where they agree)"
            if of_task
            else f"the representation turned by {value} (RESQUE{floor})"
        )
    loss, before = _known(estimate, _LOSS), _known(estimate, _SOURCE_LOSS)
    if loss is not None:
        source = f", against {two_digits(before)} on the source" if before is not None else ""
        sentences.append(f"the loss on the target starts at {two_digits(loss)}{source}")
    accuracy = _known(estimate, _ACCURACY)
    if accuracy is not None:
        metric = estimate.settings.metric
        scale = estimate.settings.scale or SHARES  # signals are progress
        worse = "" if accuracy > 0 or estimate.settings.scale is None else " or worse"
        before_any = f"{quality_text(metric, scale.value(accuracy))}{worse}"
        own = _known(estimate, _SOURCE_ACCURACY)
        beside = "" if own is None else f", against {quality_text(metric, scale.value(own))} on the source"
        sentences.append(f"{metric_name(metric)} on the target before any update: {before_any}{beside}")
    return Line("Why", tuple(sentences) or ("no index could be computed: see the warnings",))


def _best_probe(estimate: Estimate, gap: float, scale: QualityScale) -> float:
    """What the better probe reaches, in the metric's unit: the target less the gap."""
    until = 1.0 if estimate.until is None else scale.progress(estimate.until)
    return scale.value(until - gap)


def instead(estimate: Estimate) -> Line:
    """What the other options would cost, training from scratch first."""
    sentences = []
    for name in fresh_first(estimate.alternatives):
        other = estimate.alternatives[name]
        fresh = not traits_of(name).reuses_weights
        text = f"{traits_of(name).label or f'{name}:'} {_epochs(other.epochs, estimate.settings.max_epochs)}"
        reach = estimate.alternatives_reach.get(name)
        if reach is not None and (not fresh or reach < 0.9):
            text += f", reaches the target with probability {percent(reach)}"
        if fresh and (saving := _saving(estimate.forecast, other)):
            text += f": {saving}"
        sentences.append(text)
    for name, why_not in estimate.alternatives_why_not.items():
        sentences.append(f"{traits_of(name).label or name}: cannot ({why_not})")
    return Line("Instead", tuple(sentences))


def _epochs(interval: Interval | None, max_epochs: float) -> str:
    if interval is None or (interval.median is None and interval.low is None):
        return "without a forecast"
    if interval.median is None:
        return f"more than {two_digits(interval.low)} epochs"
    if interval.median == interval.high == 0:
        return "no epochs of training"
    limit = Limit.of(interval, max_epochs)
    ends = interval_text("epochs", interval, limit=limit, words=", the limit")
    return f"{median_text('epochs', interval, limit=limit)} epochs ({ends})"


def _saving(reuse: Forecast, scratch: Forecast) -> str:
    """How reuse compares with training from scratch; says so where the two intervals overlap.

    Nothing where the time of one is not known: its steps cost something else, and epochs alone would mislead.
    """
    if (reuse.duration_s is None) != (scratch.duration_s is None):
        return ""
    for cost, noun in (("energy_kwh", "energy"), ("epochs", "epochs")):
        ours: Interval | None = getattr(reuse, cost)
        theirs: Interval | None = getattr(scratch, cost)
        if ours is None or theirs is None or ours.median is None or not theirs.median:
            continue
        share = 1 - ours.median / theirs.median
        if abs(share) < 0.05:
            return f"reuse costs about the same {noun}"
        if share < 0:
            return f"reuse costs {two_digits(1 - share)} times the {noun}"
        overlap = ours.high is None or theirs.low is None or ours.high > theirs.low
        doubt = ", though the intervals overlap" if overlap else ""
        return f"reuse saves about {share * 100:.0f} % of the {noun}{doubt}"
    return ""


def rests_on(estimate: Estimate) -> Line:
    """The runs behind the forecast and how often intervals like these held."""
    basis, coverage = estimate.basis, estimate.coverage
    if coverage.runs == 0 < basis.runs:  # nothing had to be learned from runs, it was seen
        return Line("Rests on", (f"what was seen here, not on past runs: {coverage.method}",))
    if basis.runs == 0:
        first = "no run"
    else:
        own = [
            f"{basis.own_runs:,} of them your own" if basis.own_runs else "",
            f"{basis.calibration_runs:,} for calibration" if basis.calibration_runs else "",
        ]
        own_text = ", ".join(part for part in own if part)
        first = f"{basis.runs:,} runs{f' ({own_text})' if own_text else ''}"
        if basis.nearest:
            furthest = max(near.distance for near in basis.nearest)
            first += (
                f"; the {len(basis.nearest)} most similar differ from this case by up to {two_digits(furthest)} "
                "standard deviations of a signal"
            )
    if coverage.empirical is None:
        second = f"too few runs ({coverage.runs:,}) to check how often such {percent(coverage.level)} intervals hold"
    else:
        second = (
            f"such {percent(coverage.level)} intervals held for {percent(coverage.empirical)} of "
            f"{coverage.runs:,} runs that the forecast had not seen"
        )
    return Line("Rests on", (first, second))


def finding_out(estimate: Estimate, run: Run | None = None) -> Line:
    """What the estimate itself cost, beside what it is an estimate of."""
    own = estimate.self_cost
    text = f"estimating took {cost_text('duration_s', own.duration_s)}"
    if own.energy_kwh is not None:
        text += f" and {cost_text('energy_kwh', own.energy_kwh)}"
    reference = run.toll.duration_s if run and run.outcome is Outcome.REACHED else None
    reference = reference or median(estimate.forecast, "duration_s")
    if reference:
        text += f", {_times(own.duration_s / reference)} the time of the retraining"
    sentences = [text]
    if own.calibration_duration_s:
        extra = f"calibration took {cost_text('duration_s', own.calibration_duration_s)} more"
        if own.calibration_energy_kwh is not None:
            extra += f" and {cost_text('energy_kwh', own.calibration_energy_kwh)}"
        sentences.append(extra + _break_even(estimate))
    if estimate.pilot is not None:
        sentences.append(pilot_cost(estimate.pilot, own))
    return Line("Self-cost", tuple(sentences))


def _times(ratio: float) -> str:
    return f"{percent(ratio)} of" if ratio < 2 else f"{two_digits(ratio)} times"


def expects(estimate: Estimate) -> Line:
    """The quality that is expected on the test data, which neither stops nor selects."""
    expected = estimate.expected_quality
    if expected is None or expected.median is None or expected.low is None or expected.high is None:
        return Line("Expected", ())
    metric, name = estimate.settings.metric, metric_name(estimate.settings.metric)
    classes, scale = len(estimate.target.classes), estimate.settings.scale
    if is_chance(estimate.settings, expected.median, classes):
        chance = chance_of(metric, classes) if scale is None else scale.trivial
        than = "lies below chance" if scale is None else "is no better than guessing"
        return Line(
            "Expected",
            (
                f"no forecast of the {name} on test data: what the runs suggest {than} "
                f"({quality_text(metric, chance, digits=2)})",
            ),
        )
    median, low, high = (
        quality_text(metric, v, digits=2) for v in (expected.median, expected.low, expected.high)
    )
    worst = expected.low if scale is None or scale.higher_is_better else expected.high
    at_end = " or worse" if scale is not None and worst is not None and scale.progress(worst) <= 0 else ""
    if scale is None or scale.higher_is_better:
        low += at_end
    else:
        high += at_end
    return Line("Expected", (f"{name} {median} on test data ({low} … {high})",))


def trains(estimate: Estimate) -> Line:
    """What the option trains with: the rate decides whether a network learns or forgets, so it is never silent."""
    settings = estimate.settings
    how = f" ({estimate.rate})" if estimate.rate else ""
    own, optimizer = estimate.option_settings, optimizer_of(estimate.option_settings, settings)
    said = [
        option_settings_text({name: value for name, value in own.items() if name != OPTIMISER}),
        f"{optimizer} at learning rate {settings.lr:g}{how}, batches of {settings.batch_size}{beyond(settings)}",
    ]
    return Line("Trains", tuple(filter(None, said)))


def _break_even(estimate: Estimate) -> str:
    """Calibration is paid for sure, a retraining only if it is carried out: when the first saves the second."""
    own, expected = estimate.self_cost, estimate.forecast
    spent, whole = own.calibration_energy_kwh, median(expected, "energy_kwh")
    if spent is None or not whole:
        spent, whole = own.calibration_duration_s, median(expected, "duration_s")
    if not spent or not whole:
        return ""
    share = spent / whole
    if share >= 1:
        return f": as much as {two_digits(share)} such retrainings, so it pays where it informs more updates than that"
    return f": it breaks even where it saves one such retraining in {max(round(1 / share), 1)}"


def read(record: Estimate | Run) -> Line:
    """What was read of source and target, and what was taken for granted in doing so."""
    model = (f"model: {record.model.reading}",) if record.model.reading else ()
    return Line("Read", (*readings(record.source, record.target), *model))


def lines(estimate: Estimate, run: Run | None = None) -> list[Line]:
    """All titled groups below the table that have something to say."""
    groups = [
        why(estimate),
        expects(estimate),
        payback_line(estimate),
        knee_line(estimate),
        samples_line(estimate),
        trains(estimate),
        instead(estimate),
        read(estimate),
        rests_on(estimate),
        finding_out(estimate, run),
    ]
    return [group for group in groups if group.sentences]


def warnings(estimate: Estimate | None, run: Run | None = None) -> list[str]:
    """The estimate's and the run's warnings, and what a reader must know of the grid before trusting a figure."""
    given = (*(estimate.warnings if estimate else ()), *(run.warnings if run else ()))
    found = list(dict.fromkeys(given))
    grid = (run.grid if run else None) or (estimate.basis.grid if estimate else None)
    shown = (estimate is not None and estimate.forecast.emissions_kg is not None) or (
        run is not None and run.toll.emissions_kg is not None
    )
    named = any("region" in warning for warning in found)
    if shown and grid is not None and grid.is_default and not named:
        found.append(f"no grid region was named: emissions use {grid.region}; name yours to make them right")
    if estimate is not None and estimate.elsewhere and run is not None and run.hardware is not None:
        found.append(
            f"time and energy were forecast for {estimate.elsewhere[0].name} and measured on "
            f"{run.hardware.device} ({run.hardware.device_name}): they are not comparable"
        )
    return found


def _index(estimate: Estimate, names: tuple[str, ...]) -> IndexValue | None:
    return next((estimate.indices[name] for name in names if name in estimate.indices), None)


def _known(estimate: Estimate, names: tuple[str, ...]) -> float | None:
    index = _index(estimate, names)
    if index is not None and index.value is not None:
        return index.value
    return next((estimate.signals[n] for n in names if estimate.signals.get(n) is not None), None)
