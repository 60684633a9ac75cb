"""The tables at the end of the page: everything that the answer rests on."""

from __future__ import annotations

from foretoll.indices.table import INDICES
from foretoll.records import EnergyBasis, Estimate, Hardware, IndexValue, Run, TrainingSettings
from foretoll.report.document import Table, facts, table
from foretoll.report.story import median
from foretoll.report.words import (
    MISSING,
    NO_SOURCE,
    OUTCOME_WORDS,
    Limit,
    cost_text,
    count,
    data_name,
    energy_basis_text,
    epochs_text,
    goal_text,
    grid_text,
    median_text,
    metric_name,
    model_name,
    optimizer_of,
    option_name,
    option_settings_text,
    percent,
    quality_text,
    signal_name,
    signal_value,
    targets_text,
    two_digits,
    unit_of,
)
from foretoll.units import human_number


def angles(estimate: Estimate) -> IndexValue | None:
    """RESQUE, whichever form was computed; its detail holds the value of each class."""
    names = ("resque", "inv_ari")
    return next((estimate.indices[name] for name in names if name in estimate.indices), None)


def detail_tables(estimate: Estimate | None, run: Run | None) -> list[Table | None]:
    """All tables that an answer rests on."""
    found: list[Table | None] = []
    energy = (run.energy if run else None) or (estimate.basis.energy if estimate else None)
    hardware = (run.hardware if run else None) or (estimate.basis.hardware if estimate else None)
    if estimate is not None:
        found += [_indices(estimate), _alternatives(estimate), _nearest(estimate), _signals(estimate)]
    if run is not None:
        found.append(_run_facts(run))
    found += [
        energy_table(energy),
        _basis(estimate, run, energy),
        _case(estimate, run),
        hardware_table(hardware),
    ]
    return found


def _indices(estimate: Estimate) -> Table:
    settings, task, rows = estimate.settings, estimate.target.task, []

    def told(name: str, value: float | None) -> float | None:
        return signal_value(name, value, settings)

    for name, index in estimate.indices.items():
        ends = [end for end in (told(name, index.low), told(name, index.high)) if end is not None]
        low_high = " … ".join(map(two_digits, sorted(ends))) if len(ends) == 2 else MISSING
        said = [INDICES[name].sees if name in INDICES else "", index.note]
        if index.missing_classes:
            some = ", ".join(index.missing_classes[:5])
            more = f" and {len(index.missing_classes) - 5} more" if len(index.missing_classes) > 5 else ""
            said.append(f"missing on one side: {some}{more}")
        samples = f"{index.samples:,}" if index.samples is not None else MISSING
        rows.append(
            (
                signal_name(name, settings, task),
                human_number(told(name, index.value)),
                low_high,
                human_number(told(name, index.floor)),
                samples,
                "; ".join(part for part in said if part),
            )
        )
    heads = ("index", "value", "90 % interval", "no shift", "samples", "what it sees")
    return table("Indices", heads, rows, numbers=(1, 2, 3, 4))


def _alternatives(estimate: Estimate) -> Table | None:
    if not estimate.alternatives:
        return None
    everything = {estimate.option: (estimate.forecast, estimate.reach_probability)}
    everything |= {n: (f, estimate.alternatives_reach.get(n)) for n, f in estimate.alternatives.items()}
    costs = ("epochs", "duration_s", "energy_kwh", "emissions_kg")
    units = {
        cost: unit_of(
            cost, max((median(f, cost) or 0.0 for f, _ in everything.values()), default=0.0) or None
        )
        for cost in costs
    }
    rows = []
    for name, (forecast, reach) in everything.items():
        limit = Limit.of(forecast.epochs, estimate.settings.max_epochs)
        texts = [median_text(cost, getattr(forecast, cost), unit=units[cost], limit=limit) for cost in costs]
        rows.append([option_name(name), percent(reach), *(text.removesuffix(" CO2e") for text in texts)])
    heads = ("option", "probability of the target", "epochs", "duration", "energy", "CO2e")
    note = (
        f"Medians of the forecasts; ≥: at the budget of {estimate.settings.max_epochs:g} epochs, or beyond."
    )
    return table("Options", heads, rows, note=note, numbers=(1, 2, 3, 4, 5))


def _nearest(estimate: Estimate) -> Table:
    rows = [
        (
            near.what,
            near.option,
            f"{near.distance:.2f}",
            OUTCOME_WORDS[near.outcome],
            human_number(near.epochs),
            near.run_id,
        )
        for near in estimate.basis.nearest
    ]
    heads = ("run", "option", "distance", "outcome", "epochs", "id")
    note = "Distance: root mean square difference of the signals, in standard deviations of each."
    return table("Most similar runs", heads, rows, note=note, numbers=(2, 4))


def _signals(estimate: Estimate) -> Table:
    settings, task = estimate.settings, estimate.target.task
    rows = [
        (signal_name(name, settings, task), human_number(signal_value(name, value, settings)))
        for name, value in estimate.signals.items()
    ]
    return table("Signals", ("signal", "value"), rows, numbers=(1,), folded=True)


def _run_facts(run: Run) -> Table:
    rows = [("outcome", OUTCOME_WORDS[run.outcome] + (f": {run.reason}" if run.reason else ""))]
    if run.quality is not None:
        metric, name = run.quality.metric, metric_name(run.quality.metric)
        rows.append((f"{name} before, on test data", quality_text(metric, run.quality.before)))
        rows.append((f"{name} after, on test data", quality_text(metric, run.quality.after)))
        if run.curve:
            rows.append((f"{name} after, on validation data", quality_text(metric, run.curve[-1].quality)))
        rows.append(
            (
                "loss before and after",
                f"{human_number(run.quality.loss_before)}, {human_number(run.quality.loss_after)}",
            )
        )
    rows.append(("steps, evaluations", f"{run.steps:,}, {run.evaluations:,}"))
    if run.trainable_parameters is not None:
        rows.append(("trainable parameters", f"{run.trainable_parameters:,}"))
    for name, phase in (("training steps", run.training), ("evaluations", run.evaluation)):
        if phase is not None:
            energy = cost_text("energy_kwh", phase.energy_kwh, digits=3)
            rows.append((name, f"{cost_text('duration_s', phase.duration_s, digits=3)}, {energy}"))
    norm = run.gradient_norm
    if norm is not None:
        rows.append(
            (
                "gradient norm",
                f"mean {human_number(norm.mean)}, standard deviation {human_number(norm.std)}, "
                f"first step {human_number(norm.first)}, last {human_number(norm.last)}",
            )
        )
    if run.checkpoint:
        rows.append(("saved model", run.checkpoint))
    return facts("The run", rows)


def energy_table(energy: EnergyBasis | None) -> Table | None:
    """What an energy figure rests on, part by part."""
    if energy is None:
        return None
    rows = []
    for part in energy.components:
        watts = MISSING if part.watts is None else f"{part.watts:g} W"
        known = "" if part.recognised is None else "recognised" if part.recognised else "not recognised"
        detail = "; ".join(text for text in (known, part.detail) if text)
        rows.append(
            (part.name, part.method, cost_text("energy_kwh", part.energy_kwh, digits=3), watts, detail)
        )
    note = energy_basis_text(energy)
    note = note[:1].upper() + note[1:]
    if energy.left_out:
        note += f"; left out: {', '.join(energy.left_out)}"
    if energy.counter_share == 0:
        note += ". The energy is modelled, not measured: rank options by steps and seconds"
    heads = ("part", "method", "energy", "assumed power", "detail")
    return table(
        "Energy",
        heads,
        rows or [(MISSING, energy.method, MISSING, MISSING, "")],
        note=f"{note}.",
        numbers=(2, 3),
    )


def _basis(estimate: Estimate | None, run: Run | None, energy: EnergyBasis | None) -> Table:
    rows = []
    grid = (run.grid if run else None) or (estimate.basis.grid if estimate else None)
    if energy is not None:
        idle = f", idle {energy.idle_w:g} W" if energy.idle_w is not None else ""
        rows.append(("energy meter", f"{energy.tool}, scope {energy.scope}{idle}"))
    rows.append(
        ("grid", f"{grid_text(grid)} ({grid.source}, {grid.level})" if grid is not None else "not known")
    )
    if estimate is not None:
        basis, coverage = estimate.basis, estimate.coverage
        rows.append(("forecaster", basis.method or MISSING))
        rows.append(
            ("runs", f"{basis.runs:,}, {basis.own_runs:,} own, {basis.calibration_runs:,} for calibration")
        )
        held = (
            f"{percent(coverage.empirical)} of {coverage.runs:,} runs"
            if coverage.empirical is not None
            else "not measured"
        )
        rows.append(("coverage", f"{held} ({coverage.method}; nominal {percent(coverage.level)})"))
        probe = basis.probe
        if probe is not None:
            low, high = (
                cost_text("duration_s", s) for s in (probe.seconds_per_step_low, probe.seconds_per_step_high)
            )
            joules = f", {two_digits(probe.joules_per_step)} J" if probe.joules_per_step is not None else ""
            rows.append(
                (
                    "step probe",
                    f"{cost_text('duration_s', probe.seconds_per_step)} per step ({low} … {high}){joules}; "
                    f"{probe.steps} steps, {probe.repeats} times",
                )
            )
    return facts("What it rests on", rows)


def _case(estimate: Estimate | None, run: Run | None) -> Table:
    record = estimate if estimate is not None else run
    if record is None:
        return facts("", ())
    model, settings = record.model, record.settings
    rows = [("model", f"{model_name(model)}, {count(model.parameters)} parameters, {targets_text(model)}")]
    own = option_settings_text(record.option_settings)
    rows.append(("option", ": ".join(filter(None, (option_name(record.option), own)))))
    for name, card in (("source", record.source), ("target", record.target)):
        if card is not None:
            sizes = f"{card.train:,} train, {card.validation:,} validation, {card.test:,} test"
            shape = " × ".join(map(str, card.shape))
            rows.append((name, f"{data_name(card)}: {card.kind} {shape}, {targets_text(card)}; {sizes}"))
        elif estimate is not None:
            rows.append((name, NO_SOURCE))
    rows.append(("settings", recipe(settings, optimizer=optimizer_of(record.option_settings, settings))))
    return facts("Case and settings", rows)


def recipe(settings: TrainingSettings, *, rates: str = "", optimizer: str = "") -> str:
    """The training settings in one line; `rates` where there are several learning rates, `optimizer` where the
    option has its own."""
    rates = rates or f"{settings.lr:g}"
    goal = (
        f"until {goal_text(settings.metric, settings.until)}" if settings.until is not None else "to the end"
    )
    return (
        f"{goal}, at most {epochs_text(settings.max_epochs)}, {settings.evals_per_epoch} evaluations per epoch; "
        f"{optimizer or settings.optimizer}, learning rate {rates}, weight decay {settings.weight_decay:g}, "
        f"batches of {settings.batch_size}, seed {settings.seed}{beyond(settings)}"
    )


def beyond(settings: TrainingSettings) -> str:
    """What was set beyond the usual, as the end of a line; empty where it is nothing."""
    return "".join(f", {name.replace('_', ' ')} {_in_words(v)}" for name, v in settings.changed().items())


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return " and ".join(f"{name} × {number:g}" for name, number in value.items())
    if isinstance(value, list):
        return " and ".join(f"{part}" for part in value)
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def hardware_table(hardware: Hardware | None) -> Table | None:
    """The machine."""
    if hardware is None:
        return None
    rows = [
        ("device", f"{hardware.device} ({hardware.device_name})"),
        (
            "processor",
            f"{hardware.cpu}, {_number(hardware.cores, 'core')}, {_number(hardware.threads, 'thread')}",
        ),
        ("memory", f"{hardware.memory_gb:g} GB"),
        ("software", f"torch {hardware.torch}, {hardware.platform}"),
    ]
    return facts("Hardware", rows)


def _number(count: int | None, what: str) -> str:
    """`2 cores`, `1 thread`."""
    return f"{count} {what}" + ("" if count == 1 else "s")
