"""The story of a ledger: what its runs took by month and by case, how its forecasts came out, and the newest runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from foretoll.decide.money import Price
from foretoll.records import Interval, Run
from foretoll.report import plots
from foretoll.report.display import displayed
from foretoll.report.document import (
    Block,
    Column,
    Document,
    Figure,
    Footer,
    Headline,
    Note,
    Row,
    Table,
    Warnings,
    known,
    table,
)
from foretoll.report.figures import Scale, Svg, axis_left, fitted
from foretoll.report.ledger_list import when
from foretoll.report.ledger_totals import BINS, LISTED, Calibration, LedgerTotals, Pair, Sums
from foretoll.report.words import (
    COST_LABELS,
    MISSING,
    OUTCOME_WORDS,
    cost_text,
    data_name,
    model_name,
    option_settings_text,
    percent,
    quality_text,
    two_digits,
    unit_of,
)
from foretoll.units import human_number
from foretoll.version import __version__

SHOWN_GROUPS = 200
MOST_WHISKERS = 80
"""Forecast intervals in one picture; more of them would be a wall."""


def ledger_document(
    runs: Iterable[Run], *, price: Price | None = None, where: str = "", unread: Sequence[str] = ()
) -> Document:
    """Everything that is to be said of runs, given in the order of their start; they are read once, one at a time.

    `unread`: what was passed over, known when the last run was read.
    """
    totals = LedgerTotals.of(displayed(run) for run in runs)
    if totals.everything.runs == 0:
        nothing = Note("The ledger has no runs yet: `foretoll retrain` adds one.")
        return Document("foretoll ledger", [Headline("Ledger", "No runs yet.", "Ledger"), nothing])
    pairs = list(totals.pairs)
    blocks: list[Block | None] = [
        Headline(
            "Ledger", _headline(totals, price), "Ledger", f"{totals.last:%-d %B %Y}" if totals.last else ""
        ),
        Warnings(_passed_over(unread)),
        _months_figure(totals),
        _pairs_figure(pairs),
        _months(totals, price),
        _calibration(totals),
        _chances(totals),
        None if totals.forecasts else Note(_NO_FORECASTS),
        _groups(totals, price),
        _newest(totals),
        Footer([f"foretoll {__version__}", *filter(None, [where])]),
    ]
    return Document("foretoll ledger", known(blocks))


_NO_FORECASTS = (
    "No run keeps the forecast that was made for it, so nothing can be said of how forecasts came out. Runs keep it "
    "when they are made by `foretoll retrain --estimate estimate.json`, by `foretoll compare --measure` or by "
    "`foretoll.track`."
)


def _passed_over(unread: Sequence[str]) -> list[str]:
    if not unread:
        return []
    some = "; ".join(unread[:3]) + ("; …" if len(unread) > 3 else "")
    return [f"{len(unread)} records could not be read and are left out: {some}; see `foretoll ledger doctor`"]


def _headline(totals: LedgerTotals, price: Price | None) -> str:
    whole = totals.everything
    took = [
        cost_text("energy_kwh", whole.energy_kwh, digits=3),
        cost_text("emissions_kg", whole.emissions_kg, digits=3),
    ]
    money = f" ({price.text(whole.energy_kwh)})" if price else ""
    since = f" since {totals.first:%B %Y}" if totals.first else ""
    unmetered = whole.runs - whole.metered
    without = f"; the energy of {unmetered:,} of them is not known" if unmetered else ""
    runs = f"{whole.runs:,} run{'s' if whole.runs != 1 else ''}"
    return (
        f"{runs}{since} took {took[0]}{money} and {took[1]}; {whole.reached:,} reached their target{without}."
    )


def _sum_heads(price: Price | None) -> list[str]:
    return ["runs", "reached", "duration", "energy", *(["money"] if price else []), "emissions (CO2e)"]


def _sum_cells(sums: Sums, units: dict[str, str], price: Price | None) -> list[str]:
    energy = cost_text("energy_kwh", sums.energy_kwh, unit=units["energy_kwh"]) if sums.metered else MISSING
    mass = cost_text("emissions_kg", sums.emissions_kg, unit=units["emissions_kg"]).removesuffix(" CO2e")
    return [
        f"{sums.runs:,}",
        percent(sums.reached / sums.runs),
        cost_text("duration_s", sums.duration_s, unit=units["duration_s"]),
        energy,
        *([price.text(sums.energy_kwh) if sums.metered else MISSING] if price else []),
        mass if sums.metered else MISSING,
    ]


def _units(sums: Iterable[Sums]) -> dict[str, str]:
    """One unit a column, by its largest value."""
    found = list(sums)
    return {
        cost: unit_of(cost, max((getattr(s, cost) for s in found), default=0.0) or None)
        for cost in ("energy_kwh", "emissions_kg", "duration_s")
    }


def _months(totals: LedgerTotals, price: Price | None) -> Table:
    units = _units(totals.months.values())
    rows = [
        (month, *_sum_cells(sums, units, price))
        for month, sums in sorted(totals.months.items(), reverse=True)
    ]
    heads = ["month", *_sum_heads(price)]
    note = f"Money: {price.per_kwh:g} {price.currency} for a kWh." if price else ""
    return table("By month", heads, rows, numbers=range(1, len(heads)), note=" ".join(note.split()))


def _months_figure(totals: LedgerTotals) -> Figure | None:
    months = sorted(totals.months)[-24:]
    if len(months) < 2 or not totals.everything.metered:
        return None
    values = [totals.months[month].energy_kwh for month in months]
    unit = unit_of("energy_kwh", max(values) or None)
    factor = {"kWh": 1.0, "Wh": 1e-3, "mWh": 1e-6, "µWh": 1e-9}.get(unit, 1.0)
    height, left, right, top = 230.0, 44.0, plots.WIDTH - 8, 12.0
    bottom = height - 34
    svg = Svg(plots.WIDTH, height, f"Energy by month, in {unit}")
    y = Scale(0.0, (max(values) / factor) * 1.08 or 1.0, bottom, top)
    axis_left(svg, y, left, right=right)
    step = (right - left) / len(months)
    for i, (month, value) in enumerate(zip(months, values, strict=True)):
        x, at = left + step * i, y(value / factor)
        svg.bar(
            x + step * 0.15, at, step * 0.7, bottom - at, title=f"{month}: {cost_text('energy_kwh', value)}"
        )
        if i % max(len(months) // 6, 1) == 0:
            svg.text(x + step / 2, bottom + 15, month[2:], anchor="middle", css="tick")
    rows = [(m, cost_text("energy_kwh", v, unit=unit)) for m, v in zip(months, values, strict=True)]
    numbers = table("", ("month", "energy"), rows, numbers=(1,))
    return Figure(
        "Energy by month",
        svg.render(),
        f"In {unit}, of the last {len(months)} months with runs.",
        numbers=numbers,
    )


def _pairs_figure(pairs: Sequence[Pair]) -> Figure | None:
    """Measured over forecast by the time of the run, with the interval; one is a perfect forecast."""
    if len(pairs) < 2:
        return None
    height, left, right, top = 300.0, 44.0, plots.WIDTH - 10, 12.0
    bottom = height - 34
    svg = Svg(plots.WIDTH, height, "Measured cost as a multiple of its forecast, by the time of the run")
    ratios = [pair.measured / pair.forecast for pair in pairs]
    bound = min(max(2.0, *(max(r, 1 / r) for r in ratios)) * 1.15, 64.0)
    y = Scale(1 / bound, bound, bottom, top, log=True)
    for value, text in plots.ratio_ticks(y):
        svg.line(left, y(value), right, y(value), "reference" if value == 1 else "grid")
        svg.text(left - 6, y(value) + 4.5, text, anchor="end", css="tick")
    x = fitted((pair.at.timestamp() for pair in pairs), left + 6, right - 6, margin=0.01)
    missed = []
    for pair, ratio in zip(pairs, ratios, strict=True):
        at = x(pair.at.timestamp())
        low, high = (None if end is None else end / pair.forecast for end in (pair.low, pair.high))
        ends = [y.clipped(low if low else None, y.low), y.clipped(high, y.high)]
        if len(pairs) <= MOST_WHISKERS:
            svg.line(at, ends[0], at, ends[1], "whisker")
        inside = (pair.low or 0.0) <= pair.measured <= (math.inf if pair.high is None else pair.high)
        missed += [] if inside else [pair]
        title = f"{pair.at:%Y-%m-%d}: {two_digits(ratio)} times the forecast"
        svg.marks(
            [(at, y.clipped(ratio, 1.0))],
            size=3,
            shape="diamond",
            css="measured" if inside else "spent",
            title=title,
        )
    svg.text(left, bottom + 18, f"{min(p.at for p in pairs):%Y-%m-%d}", css="tick")
    svg.text(right, bottom + 18, f"{max(p.at for p in pairs):%Y-%m-%d}", anchor="end", css="tick")
    rows = [
        (
            when(pair.at),
            cost_text(pair.cost, pair.forecast),
            _ends(pair),
            cost_text(pair.cost, pair.measured, digits=3),
            f"{two_digits(pair.measured / pair.forecast)}×",
        )
        for pair in reversed(pairs)
    ]
    numbers = table("", ("started", "forecast", "interval", "measured", "ratio"), rows, numbers=(1, 2, 3, 4))
    lines = " Lines: the forecast intervals." if len(pairs) <= MOST_WHISKERS else ""
    caption = (
        f"The newest {len(pairs)} runs that reached their target and keep their forecast, by time: measured energy "
        f"(time where there was no meter) as a multiple of the forecast.{lines} Open: {len(missed)} outside of their "
        "forecast interval."
    )
    return Figure("Forecast beside measurement", svg.render(), caption, numbers)


def _ends(pair: Pair) -> str:
    low, high = (MISSING if end is None else cost_text(pair.cost, end) for end in (pair.low, pair.high))
    return f"{low} … {high}"


def _calibration(totals: LedgerTotals) -> Table | None:
    rows = [
        _calibrated(label, totals.calibration[cost])
        for cost, label in COST_LABELS.items()
        if cost in totals.calibration
    ]
    heads = ("cost", "forecasts", "inside their interval", "nominal", "measured / forecast", "typical factor")
    note = (
        "Of runs that ended by themselves and keep the forecast that was made for them. Inside: of a run that did not "
        "reach its target, the epochs count as inside where the interval goes that far. Measured / forecast: its "
        "median. Typical factor: the median of how far the two are apart, in either direction; 1 is a perfect forecast."
    )
    return table("How your forecasts came out", heads, rows, numbers=(1, 2, 3, 4, 5), note=note)


def _calibrated(label: str, found: Calibration) -> tuple[str, ...]:
    factors = found.factors()
    middle, typical = (f"{two_digits(f)}×" for f in factors) if factors else (MISSING, MISSING)
    return (label, f"{found.runs:,}", percent(found.held / found.runs), percent(found.level), middle, typical)


def _chances(totals: LedgerTotals) -> Table | None:
    rows = []
    for place, (runs, reached, expected) in sorted(totals.chances.items()):
        span = f"{percent(BINS[place])} to {percent(BINS[place + 1])}"
        rows.append((span, f"{runs:,.0f}", percent(expected / runs), percent(reached / runs)))
    heads = ("forecast probability", "runs", "forecast, mean", "reached their target")
    return table("Probability of reaching the target", heads, rows, numbers=(1, 2, 3))


def _groups(totals: LedgerTotals, price: Price | None) -> Table:
    ranked = sorted(totals.groups.items(), key=lambda item: (-item[1].energy_kwh, -item[1].duration_s))
    units = _units(totals.groups.values())
    rows = [
        (model, data, option, *_sum_cells(s, units, price))
        for (model, data, option), s in ranked[:SHOWN_GROUPS]
    ]
    left_out = [sums for _, sums in ranked[SHOWN_GROUPS:]] + ([totals.others] if totals.others.runs else [])
    note = ""
    if left_out:
        note = f"The {sum(s.runs for s in left_out):,} runs of other cases, which took less, are in the sums alone."
    heads = ("model", "data", "option", *_sum_heads(price))
    return table("By model and data", heads, rows, numbers=range(3, len(heads)), note=note)


def _newest(totals: LedgerTotals) -> Table:
    columns = [
        Column("started"),
        Column("model", choice=True),
        Column("data"),
        Column("option", choice=True),
        Column("outcome", choice=True),
        Column("epochs", number=True),
        Column("energy", number=True),
        Column("forecast energy", number=True),
        Column("quality", number=True),
        Column("id"),
    ]
    rows = [_run_row(run) for run in reversed(totals.newest)]
    more = totals.everything.runs - len(rows)
    note = f"The newest {LISTED:,} runs; {more:,} older ones are in the sums above." if more else ""
    return Table(columns, rows, "Runs", note, searched=True)


def _run_row(run: Run) -> Row:
    made: Interval | None = run.forecast.forecast.energy_kwh if run.forecast else None
    after = run.quality.after if run.quality else None
    cells = (
        when(run.started_at),
        model_name(run.model),
        data_name(run.target),
        run.option,
        OUTCOME_WORDS[run.outcome],
        human_number(run.toll.epochs),
        cost_text("energy_kwh", run.toll.energy_kwh, digits=3),
        cost_text("energy_kwh", made.median if made else None),
        quality_text(run.settings.metric, after),
        run.id,
    )
    return Row(cells, option_settings_text(run.option_settings))
