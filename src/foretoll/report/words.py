"""Numbers with their units, and names of models and data: the small words of every table and page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from foretoll.errors import printable
from foretoll.indices.table import INDICES
from foretoll.options.base import OPTIMISER
from foretoll.options.spelling import in_words
from foretoll.options.table import traits_of
from foretoll.records import (
    DataCard,
    EnergyBasis,
    GridIntensity,
    Interval,
    ModelCard,
    Outcome,
    TrainingSettings,
)
from foretoll.tasks import TASKS, get_task, known_metric
from foretoll.units import (
    GRAMS_PER_KG,
    decimals_of,
    human_duration,
    human_energy,
    human_level,
    human_mass,
    human_number,
    human_share,
)

MISSING = "–"
UNDER_CHANCE = "under chance"
NO_SOURCE = "none: the data that the model was trained on are not at hand"
SHARES_OF_CLASSES = frozenset(metric.name for metric in get_task("classification").metrics)
percent = human_share

COST_LABELS: dict[str, str] = {
    "epochs": "epochs",
    "duration_s": "duration",
    "energy_kwh": "energy",
    "emissions_kg": "CO2e emissions",
    "parameter_change": "parameter change",
    "gradient_norm": "gradient norm",
}
"""The six costs in the order in which they are shown, with their names for people."""

OUTCOME_WORDS: dict[Outcome, str] = {
    Outcome.REACHED: "reached",
    Outcome.CENSORED: "not reached",
    Outcome.GIVEN_UP: "given up",
    Outcome.FAILED: "failed",
    Outcome.INTERRUPTED: "interrupted",
    Outcome.RUNNING: "still running",
}

CLASSES = "classification"
PROBES = ("probe_accuracy", "renormalised_probe_accuracy")
CLASS_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")

_UNITS: dict[str, tuple[Callable[[float | None], str], dict[str, float]]] = {
    "energy_kwh": (human_energy, {"kWh": 1.0, "Wh": 1e-3, "mWh": 1e-6, "µWh": 1e-9}),
    "emissions_kg": (human_mass, {"kg": 1.0, "g": 1e-3, "mg": 1e-6, "µg": 1e-9}),
    "duration_s": (human_duration, {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3}),
}


def two_digits(value: float | None) -> str:
    """Two significant digits: a forecast shown with more would pretend to a precision it has not."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.1e}"
    decimals = max(0, 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    # rounding up may have gained a digit: 0.0996 is 0.10, not 0.100
    if decimals and round(abs(value), decimals) >= 10 ** (2 - decimals):
        text = f"{value:,.{decimals - 1}f}"
    return text


def unit_of(cost: str, value: float | None) -> str:
    """The unit in which `value` of this cost is easiest to read; empty for costs without one."""
    if cost not in _UNITS or value is None:
        return ""
    human, _ = _UNITS[cost]
    return human(value).rsplit(" ", 1)[1]


def unit_size(cost: str, unit: str) -> float:
    """One of a unit of this cost, in the unit that records hold."""
    return _UNITS[cost][1][unit] if unit else 1.0


def cost_number(cost: str, value: float | None, unit: str, *, digits: int = 2) -> str:
    """The number alone, in the given unit."""
    if value is None:
        return MISSING
    scaled = value / _UNITS[cost][1][unit] if unit else value
    return two_digits(scaled) if digits == 2 else human_number(scaled)


def cost_text(cost: str, value: float | None, *, unit: str = "", digits: int = 2) -> str:
    """The number with its unit; emissions say CO2e. `unit` fixes the unit, else the easiest is taken."""
    if value is None:
        return MISSING
    unit = unit or unit_of(cost, value)
    number = cost_number(cost, value, unit, digits=digits)
    if not unit:
        return number
    return f"{number} {unit}{' CO2e' if cost == 'emissions_kg' else ''}"


@dataclass(frozen=True)
class Limit:
    """Which of an interval's three figures lie at the budget of epochs: more was never looked at."""

    low: bool = False
    median: bool = False
    high: bool = False

    @classmethod
    def of(cls, epochs: Interval | None, max_epochs: float) -> Limit:
        """Of a forecast of epochs, which is cut at the budget; time, energy and emissions follow from it."""
        if epochs is None:
            return cls()
        ends = (epochs.low, epochs.median, epochs.high)
        return cls(*(end is not None and end >= max_epochs * (1 - 1e-9) for end in ends))


NO_LIMIT = Limit()


def largest(interval: Interval | None, *values: float | None) -> float | None:
    """The largest of an interval's figures and of other values: the one that chooses a row's unit."""
    ends = (interval.low, interval.median, interval.high) if interval is not None else ()
    return max((value for value in (*ends, *values) if value is not None), default=None)


def median_text(cost: str, interval: Interval | None, *, unit: str = "", limit: Limit = NO_LIMIT) -> str:
    """The median with its unit; at the budget no more than a lower bound."""
    if interval is None:
        return MISSING
    if interval.median is None and interval.low is not None:
        return f"> {cost_text(cost, interval.low, unit=unit)}"
    text = cost_text(cost, interval.median, unit=unit)
    return f"≥ {text}" if limit.median else text


def interval_text(
    cost: str,
    interval: Interval | None,
    *,
    unit: str = "",
    between: str = " … ",
    limit: Limit = NO_LIMIT,
    words: str = " (the limit)",
) -> str:
    """Both ends with two digits, in one unit: the given one, or, written beside them, the largest figure's.

    An end at the budget of epochs is no upper end but a lower bound, and `words` say so: ≥ 20 (the limit).
    """
    if interval is None or (interval.low is None and interval.high is None):
        return MISSING
    own = "" if unit else unit_of(cost, largest(interval))
    low, high = (cost_number(cost, end, unit or own) for end in (interval.low, interval.high))
    after = f" {own}" if own else ""
    if interval.high is None:
        return f"{low}{after}{between}no upper end"
    if limit.low:
        return f"≥ {low}{after}{words}"
    if limit.high:
        return f"{low}{between}≥ {high}{after}{words}"
    return f"{low}{between}{high}{after}"


def epochs_text(epochs: float) -> str:
    """A budget of epochs: 1 epoch, 20 epochs."""
    return f"{epochs:g} epoch{'' if epochs == 1 else 's'}"


def memory_text(size_bytes: float | None) -> str:
    """Bytes in kB, MB or GB, of 1,000 each."""
    if size_bytes is None:
        return MISSING
    for factor, unit in ((1e9, "GB"), (1e6, "MB")):
        if size_bytes >= factor:
            return f"{two_digits(size_bytes / factor)} {unit}"
    return f"{two_digits(size_bytes / 1e3)} kB"


def metric_name(metric: str) -> str:
    """A metric as it is usually written: RMSE, macro f1."""
    known = known_metric(metric)
    return known.title if known is not None and metric not in SHARES_OF_CLASSES else plain(metric)


def quality_text(metric: str, value: float | None, *, digits: int = 3) -> str:
    """A quality as it is written beside the name of its metric, or the mark for a missing value; of 10 and more with
    four digits in all, of little more than 0 with two."""
    if value is None:
        return MISSING
    return f"{value:.{decimals_of(value, digits)}f}" if abs(value) < 10 else level_text(metric, value)


def level_text(metric: str, value: float) -> str:
    """A quality that is to be reached: as many digits as it has, two at least; of 10 and more four."""
    return human_level(value)


def goal_text(metric: str, until: float) -> str:
    """The quality target with its metric: accuracy 0.92, RMSE 54 or less."""
    known = known_metric(metric)
    less = " or less" if known is not None and known.direction == "lower" else ""
    return f"{metric_name(metric)} {level_text(metric, until)}{less}"


def expected_quality(settings: TrainingSettings, interval: Interval | None, classes: int) -> str:
    """A forecast quality with its ends; what is no better than guessing is no forecast, and says so."""
    if interval is None or interval.median is None:
        return MISSING
    metric = settings.metric
    if is_chance(settings, interval.median, classes):
        return UNDER_CHANCE
    text = quality_text(metric, interval.median, digits=2)
    if interval.low is None or interval.high is None or interval.low == interval.high:
        return text
    ends = (quality_text(metric, end, digits=2) for end in (interval.low, interval.high))
    return f"{text} ({'…'.join(ends)})"


def is_chance(settings: TrainingSettings, quality: float, classes: int) -> bool:
    """Whether a quality is no better than guessing: of classes under chance, of a measured scale at its trivial end,
    below which no forecast is made."""
    if settings.scale is not None:
        return settings.scale.progress(quality) <= 0
    chance = chance_of(settings.metric, classes)
    return chance is not None and quality < chance


def chance_of(metric: str, classes: int) -> float | None:
    """What guessing among so many classes reaches by this metric; None where that is not known."""
    return 1 / classes if metric in CLASS_METRICS and classes > 1 else None


def targets_text(card: ModelCard | DataCard) -> str:
    """What a model gives or some data ask for: 10 classes, a regression of one number, no labels."""
    outputs = card.num_classes if isinstance(card, ModelCard) else len(card.classes)
    if not outputs:
        return "no labels"
    known = card.task in TASKS and card.classes and card.task != "classification"
    return get_task(card.task).said(card.classes) if known else f"{outputs:,} classes"


def model_name(card: ModelCard) -> str:
    """The architecture as people say it."""
    return card.arch.removeprefix("foretoll:")


def model_with_size(card: ModelCard) -> str:
    """The architecture and its size: cnn (94 k parameters)."""
    return f"{model_name(card)} ({count(card.parameters)} parameters)"


def count(number: int) -> str:
    """A large whole number, short: 94 k, 11.2 M."""
    for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor:
            scaled = number / factor
            return f"{scaled:.0f} {suffix}" if scaled >= 20 else f"{scaled:.1f} {suffix}"
    return str(number)


def data_name(card: DataCard) -> str:
    """The data set and its synthetic shifts: digits with gaussian noise 0.3."""
    if not card.shift:
        return card.name
    shifts = [f"{plain(shift.kind)} {shift.level:g}" for shift in card.shift]
    return f"{card.name} with {' and '.join(shifts)}"


def readings(source: DataCard | None, target: DataCard) -> tuple[str, ...]:
    """How source and target were read, a line for each; one line where both were read the same way."""
    if source is None or source.reading == target.reading:
        sides = "" if source is None else "source and target: "
        return (f"{sides}{target.reading}",) if target.reading else ()
    sides_of = (("source", source), ("target", target))
    return tuple(f"{side}: {card.reading}" for side, card in sides_of if card.reading)


_GLUE = re.compile(
    r"(?<=\d) (?=(?:%|[kMG] |[mkµ]?g\b|[mkµ]?Wh\b|m?s\b|min\b|h\b|epochs\b|runs\b|CO2e|…))"
    r"|(?<=…) (?=[\d≥])|(?<=g) (?=CO2e)|(?<=[≥>]) (?=\d)"
)


def glue(text: str) -> str:
    """The text with no-break spaces between numbers and their units."""
    return _GLUE.sub("\N{NO-BREAK SPACE}", text)


def index_name(name: str) -> str:
    """An index as its paper writes it."""
    return INDICES[name].title if name in INDICES else plain(name)


def is_quality(name: str) -> bool:
    """Whether an index or a signal is a quality of the task, stored as progress."""
    return name in PROBES or name.endswith("_quality")


def signal_name(name: str, settings: TrainingSettings, task: str) -> str:
    """An index or a signal for people; a quality with the metric that it is given in: linear probe (R²)."""
    if not is_quality(name):
        return index_name(name)
    known = {"source_quality": "quality on the source"}
    probed = name in PROBES and task == CLASSES
    return f"{known.get(name) or index_name(name)} ({'accuracy' if probed else metric_name(settings.metric)})"


def signal_value(name: str, value: float | None, settings: TrainingSettings) -> float | None:
    """The value as it is shown: a quality in its metric's unit."""
    if value is None or settings.scale is None or not is_quality(name):
        return value
    return settings.scale.value(value)


def plain(name: str) -> str:
    """An identifier as words."""
    return printable(name).replace("_", " ").strip()


def option_phrase(option: str, model: str) -> str:
    """What is done to the model, as the subject of a sentence."""
    phrase = traits_of(option).phrase
    return phrase.replace("{model}", model) if phrase else f"Updating {model} by {option}"


def option_settings_text(settings: Mapping[str, str]) -> str:
    """What an option does in particular: program full, mapping bayesian; empty where there is nothing to say."""
    return ", ".join(f"{plain(name)} {printable(value)}" for name, value in settings.items())


def option_short(option: str) -> str:
    """An option as it was named, in words: reprogram with program pad."""
    return printable(in_words(option))


def optimizer_of(option_settings: Mapping[str, str], settings: TrainingSettings) -> str:
    """What takes the steps: the settings' optimiser, unless the option brings one of its own."""
    own = option_settings.get(OPTIMISER)
    return f"{printable(own)} (by outputs alone)" if own else settings.optimizer


def option_name(option: str) -> str:
    """An option's name for people, with its own name kept: head (retrain the head)."""
    title, short = traits_of(option).title, option_short(option)
    return f"{short} ({title})" if title not in ("", option) else short


def energy_basis_text(basis: EnergyBasis | None) -> str:
    """One line on what a kWh rests on. Empty where there is nothing to say."""
    if basis is None:
        return ""
    named = basis.counter_share is None or "%" in basis.method
    text = basis.method if named else f"{basis.method}, {percent(basis.counter_share or 0.0)} by counter"
    low, high = basis.relative_low, basis.relative_high
    doubt = None not in (low, high) and (low, high) != (1.0, 1.0)
    return f"{text}; the truth may be {low:.2g} to {high:.2g} times this" if doubt else text


def grid_text(grid: GridIntensity | None) -> str:
    """Region, intensity, year and PUE in one line; says where nobody chose the region."""
    if grid is None:
        return ""
    grams = two_digits(grid.intensity_kg_per_kwh * GRAMS_PER_KG)
    year = str(grid.year) if grid.year is not None else "year unknown"
    pue = f"{grid.pue:.2f}".removesuffix("0")
    text = f"{grid.region}, {grams} g/kWh ({year}), PUE {pue}"
    return f"{text}; no region was named, this is a default" if grid.is_default else text
