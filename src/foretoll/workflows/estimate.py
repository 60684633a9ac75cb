"""`foretoll estimate`: what an update will cost, before any retraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.decide.budget import Limit
from foretoll.decide.money import money
from foretoll.decide.pilot_budget import PilotBudget
from foretoll.decide.spending import Budget
from foretoll.engine import InProcess, check_nodes, open_engine
from foretoll.errors import ForetollError, is_out_of_memory
from foretoll.forecast import Prediction, compose_costs
from foretoll.forecast.reference import reference_settings
from foretoll.forecast.unseen import unseen_settings
from foretoll.indices.collect import DEFAULT_SAMPLES, Collector, collect
from foretoll.ledger import Ledger
from foretoll.measure import Machine, SelfCostMeter, describe_hardware, machines
from foretoll.measure.self_cost import PILOT
from foretoll.models import Loading
from foretoll.options import Option, get_option
from foretoll.options.table import DEFAULT, SCRATCH, compared, named, traits_of
from foretoll.quality import BATCH_OF_ONE
from foretoll.random_states import takes_turns
from foretoll.records import Basis, EnergyBasis, Estimate, Forecast, StepProbe, TrainingSettings
from foretoll.workflows.anytime import GrowingPilot, Grown
from foretoll.workflows.calibrate import calibrate
from foretoll.workflows.chance import chance_warnings
from foretoll.workflows.context import (
    Accounting,
    Data,
    ModelLike,
    Runtime,
    Update,
    Watcher,
    new_run_id,
    open_update,
)
from foretoll.workflows.elsewhere import check_shares, forecasts_there, probe_there
from foretoll.workflows.experience import experience_of
from foretoll.workflows.goal import in_unit, with_evaluations, with_target
from foretoll.workflows.look_size import LookSize, look_size
from foretoll.workflows.memory_needed import said_beforehand
from foretoll.workflows.payback import Qualities, payback
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.planned import case_of_update, evaluated_start, settings_asked
from foretoll.workflows.probe import OptionWork, count_option, probe_option
from foretoll.workflows.rates import Named, rising, settled
from foretoll.workflows.retrain import take_signals
from foretoll.workflows.samples_curve import forecast_samples, parts_of, why_no_samples
from foretoll.workflows.sharded import sharded_collector, shared_by
from foretoll.workflows.whole_curve import NamedOption, Question, answered

if TYPE_CHECKING:
    from foretoll.indices.survey import Survey

Signals = dict[str, float | None]


@takes_turns
def estimate(
    model: ModelLike,
    source: Data = None,
    target: Data = None,
    *,
    option: str | Option = DEFAULT,
    also: Sequence[str | Option] = (),
    until: float | Sequence[float] | None = None,
    budgets: str | Sequence[str] = (),
    worth: str | None = None,
    task: bool | None = None,
    settings: TrainingSettings | None = None,
    lr: Named = None,
    calibrate_for: str | Budget | None = None,
    pilot: PilotBudget | None = None,
    samples: int | None = None,
    samples_curve: bool = False,
    weights: str | Path | None = None,
    embedding_layer: str | None = None,
    head: str | None = None,
    device: str = "auto",
    accounting: Accounting | None = None,
    ledger: Ledger | str | Path | None = None,
    watcher: Watcher | None = None,
    engine: str = "local",
    hardware: str | Sequence[str] | None = None,
    trust_code: bool = False,
) -> Estimate:
    """Predict what updating `model` from `source` to `target` by `option` will cost; nothing is retrained.

    The model looks once at samples of both, takes a few training steps on a copy that is thrown away (the pilot), and
    the costs are predicted from runs that were measured.

    >>> estimate = foretoll.estimate("model-dir", "npz:old.npz", "npz:new.npz", until=0.9)  # doctest: +SKIP
    >>> estimate.forecast.energy_kwh.median, estimate.reach_probability  # doctest: +SKIP

    Args:
        model: a checkpoint folder, a name such as "timm:resnet18" or "package.module:function", a `torch.nn.Module`, or
            a `Model`, as `foretoll.load_model` takes them.
        source: what the model was trained on: a data URI such as "npz:old.npz", a torch Dataset or DataLoader, arrays,
            or `TaskData`. None or "none" where nobody has it; what needs it is then left out, and a warning says so.
        target: what the model is to serve now, in the same forms. It must have labels for anything that trains.
        option: the way to reuse the model: a name ("finetune", "head", "reprogram?program=pad"), or an option of yours.
        also: further options to predict beside it, each with a pilot of its own. Fine-tuning and training from scratch
            are predicted beside it in any case, without a training step.
        until: the quality that the update is to reach on the validation data, in the metric's unit. Of several, the
            first is what everything but the curve is about (`Estimate.targets`). None: 95 % of the quality on the
            source.
        budgets: what may be spent, such as "2kWh", "30min", "50g" or "5epochs": for each the quality that it buys
            (`Estimate.budgets`).
        worth: what one more right answer is worth, such as "0.2J", "5s" or "1mg", with a price also money: after how
            many served answers the update has paid for itself (`Estimate.payback`).
        task: whether the target is a new task, with other classes; None: decided by the names of the classes.
        settings: the training settings; None: those of docs/settings.md.
        lr: the learning rate; "auto" searches for one in a few steps each; None: that of `settings` where it was named,
            else the option's own.
        calibrate_for: a budget such as "6runs" or "5min" that is first spent on short graded retrainings of this model;
            they are written to the ledger and make the forecast firmer.
        pilot: how far the pilot goes on as the beginning of the run itself; None: it ends after 24 steps.
        samples: how many samples of source and of target are looked at, at most; None: 2,000, or fewer where the look
            would take much of what the retraining does (of `PilotBudget.spend`).
        samples_curve: also predict what 1/8, 1/4 and 1/2 of the target's training samples would cost and reach
            (`Estimate.samples_curve`).
        weights: the file or folder of the weights, where `model` names an architecture.
        embedding_layer: name of the layer that represents a sample; found where it is not named.
        head: name of the layer that classifies, or of one of several outputs; found where it is not named.
        device: "cpu", "cuda", "cuda:1", …; "auto" takes CUDA where there is one.
        accounting: how energy and emissions are counted, and the price; None: the best meter of this machine, and the
            world average of emissions.
        ledger: where runs are read and written: open, a path or a database URL; None: the user's own.
        watcher: is called with the progress; None: nobody.
        engine: where the data are looked at: "local" (this process), "processes:4", "ray" or "ray://host:port".
        hardware: devices that are not at hand ("A100", "4xA100", the file of `foretoll hardware measure`; several by
            commas). Time and energy are then predicted for each from counted work, with wide intervals
            (`Estimate.elsewhere`), and the costs are those of the first.
        trust_code: let a checkpoint name the function that builds its network; it is then imported and run.

    Returns:
        The estimate: six costs with 90 % intervals (epochs, gradient norm, parameter change, kWh, kg of CO2e, seconds),
            the probability that the target is reached, what all of it rests on, and what the estimate itself cost.

    Raises:
        UsageError: an argument is no name or number that can be used; the sentence names the nearest valid ones.
        DataError: data that cannot be read or do not fit the model.
        ModelError: a model that cannot be loaded or trained.
    """
    settings = settings or TrainingSettings()
    runtime = Runtime.of(device, accounting, ledger, watcher)
    loading = Loading(weights, embedding_layer, head, trust_code)
    option, beside = named(option), [named(other) for other in also]
    runtime.check(settings)
    there = machines(hardware)
    check_shares(there, settings)
    devices = there[0].count if there else 1
    question = Question.of(until, budgets, settings, prices=runtime.accounting.prices, devices=devices)
    valued = None if worth is None else Limit.parse(worth, "worth", prices=runtime.accounting.prices)
    calibration = Budget.parse(calibrate_for) if isinstance(calibrate_for, str) else calibrate_for
    with open_engine(engine) as runner:
        runtime.watcher.stage("open data and model")
        update = open_update(
            model,
            source,
            target,
            task=task,
            loading=loading,
            device=runtime.device,
            seed=settings.seed,
        )
        collector: Collector = collect
        check_nodes(runner, shared_by(model, source, target))
        if not isinstance(runner, InProcess):
            collector = sharded_collector(
                runner,
                update,
                model=model,
                source=source,
                target=target,
                loading=loading,
                seed=settings.seed,
            )
        aimed = with_evaluations(with_target(update, settings, question.first), update.target.card)
        request = EstimateRequest(
            question.on(update, aimed),
            beside,
            lr,
            calibration,
            pilot,
            samples,
            there,
            collector,
            samples_curve,
            valued,
        )
        return estimate_update(update, option, aimed, runtime, request)


@dataclass(frozen=True)
class EstimateRequest:
    """What is asked of an update beside its costs by one option, and what may be spent on the answer.

    also: options that take training steps as well. there: the hardware that it is for; none: this machine.
    collector: where the data are looked at. samples_curve: whether parts of the target's samples are forecast too.
    worth: what one more right answer is worth.
    """

    question: Question = field(default_factory=Question)
    also: Sequence[str] = ()
    lr: Named = None
    calibration: Budget | None = None
    pilot: PilotBudget | None = None
    samples: int | None = None
    there: Sequence[Machine] = ()
    collector: Collector = collect
    samples_curve: bool = False
    worth: Limit | None = None


def estimate_update(
    update: Update,
    option: str,
    settings: TrainingSettings,
    runtime: Runtime,
    request: EstimateRequest = EstimateRequest(),
) -> Estimate:
    """Estimate an opened update whose quality target is fixed.

    Only `option` and those of `request.also` take training steps, in a short pilot each.
    """
    accounting, watcher, also, there = runtime.accounting, runtime.watcher, request.also, request.there
    grid = accounting.grid  # an unknown region is said before any work
    grown: Grown | None = None
    calibration_runs = 0
    said = why_no_samples(update) if request.samples_curve else []
    said += [] if there else said_beforehand(get_option(option), update, settings, watcher)
    with SelfCostMeter(runtime.meter()) as own:
        watcher.stage("look at source and target through the model (indices, signals)")
        fewer = parts_of(len(update.target.train)) if request.samples_curve and not said else ()
        seen = _looked(update, settings, request, fewer)
        before = None if update.target.train.labels is None else evaluated_start(update, settings)
        start = None if before is None else settings.progress(before.quality)
        plain = settings
        settings, rate = settled(update, option, plain, request.lr, watcher=watcher)
        asked = EarlySteps(settings.lr, {})
        if update.target.train.labels is not None:
            watcher.stage("probe a few training steps (seconds and joules per step, first progress)")
            asked = _probe(update, option, settings, accounting, there)
            said += rising(asked.signals, settings.lr)
        others, cannot = _alternatives(update, option, also, plain, asked, accounting, there)
        for name, other in others.items():
            said += [f"{name}: {warning}" for warning in rising(other.signals, other.lr)]
        if request.calibration is not None:
            own.switch("calibration")
            watcher.stage("calibrate on short graded retrainings of this model")
            calibration_runs = len(
                calibrate(
                    update,
                    settings,
                    request.calibration,
                    runtime,
                    option=option,
                    from_scratch=settled(update, SCRATCH, plain)[0],
                )
            )
            own.switch("forecast")
        watcher.stage("forecast")
        known, forecaster = experience_of(runtime.ledger)
        said += unseen_settings(settings, [*reference_settings(), *known.settings])
        case = case_of_update(update, option, settings, seen, asked.signals, start)
        chosen = forecaster.foretell(case)
        if request.pilot is not None:
            own.switch(PILOT)
            watcher.stage("go on with the pilot as the beginning of the run")
            known_now = NamedOption(case, chosen, asked.probe)
            grown = GrowingPilot(
                update, option, settings, known_now, request.pilot, forecaster, runtime
            ).grow()
            chosen = grown.made
            said += grown.warnings
            own.switch("estimate")
        cases = {
            name: case_of_update(
                update, name, settings.model_copy(update={"lr": told.lr}), seen, told.signals, start
            )
            for name, told in others.items()
        }
        beside = {name: forecaster.foretell(other, time_only=True) for name, other in cases.items()}
        answers = answered(
            request.question,
            {option: NamedOption(case, chosen, asked.probe)}
            | {
                name: NamedOption(cases[name], beside[name], others[name].probe)
                for name in also
                if name in cases
            },
            forecaster,
            settings,
            grid,
        )
        of_samples = (
            forecast_samples(
                NamedOption(case, chosen, asked.probe), seen.of_fewer, forecaster, settings, grid
            )
            if fewer
            else ()
        )
        alternatives = {
            name: composed(update, settings, told, others[name].probe, accounting)
            for name, told in beside.items()
        }
    elsewhere = forecasts_there(
        there, asked.work, chosen, settings, samples=len(update.target.train), accounting=accounting
    )
    forecast = (
        elsewhere[0].forecast if elsewhere else composed(update, settings, chosen, asked.probe, accounting)
    )
    paid = elsewhere[0].money if elsewhere else money(accounting.prices, forecast)
    quality = in_unit(chosen.quality, settings)
    return Estimate(
        id=new_run_id(),
        created_at=datetime.now(UTC),
        model=update.model.card,
        source=update.source.card if update.source is not None else None,
        target=update.target.card,
        shift=update.shift,
        option=get_option(option).name,
        option_settings=settings_asked(update, option),
        until=settings.until,
        settings=settings,
        rate=rate.how,
        indices=seen.indices,
        signals=seen.signals | asked.signals,
        forecast=forecast,
        reach_probability=chosen.reach_probability,
        served_probability=chosen.served_probability,
        expected_quality=quality,
        alternatives=alternatives,
        alternatives_reach={name: told.reach_probability for name, told in beside.items()},
        alternatives_why_not=cannot,
        curves=answers.curves,
        targets=answers.targets,
        budgets=answers.budgets,
        samples_curve=of_samples,
        elsewhere=elsewhere,
        price=", ".join(map(str, accounting.prices)),
        money=paid,
        payback=None
        if request.worth is None
        else payback(
            request.worth,
            update,
            settings,
            request.worth.cost_of(forecast, paid),
            Qualities(before, quality, unchanged=chosen.already_met or traits_of(option).leaves_model),
        ),
        pilot=grown.record if grown is not None else None,
        coverage=chosen.coverage,
        basis=Basis(
            runs=chosen.runs,
            own_runs=chosen.own_runs,
            calibration_runs=calibration_runs,
            nearest=chosen.nearest,
            method="censored regression on the ledger's runs; energy and time from the step probe",
            energy=asked.energy,
            grid=grid,
            hardware=describe_hardware(update.device),
            elsewhere=there[0].name if there else None,
            probe=asked.probe,
        ),
        self_cost=own.record(),
        projection=seen.projection,
        warnings=(
            *_warnings(update, settings, seen, said, chosen, accounting, there),
            *filter(None, [known.warning]),
        ),
    )


def _looked(
    update: Update, settings: TrainingSettings, request: EstimateRequest, fewer: Sequence[int]
) -> Survey:
    """The look, at as many samples as were named, or as the pilot's budget allows of a look that is made here."""
    if request.samples is not None or request.collector is not collect:
        size = LookSize(request.samples or DEFAULT_SAMPLES)
    else:
        size = look_size(update, settings, (request.pilot or PilotBudget()).spend)
    seen = take_signals(update, settings, samples=size.samples, collector=request.collector, fewer=fewer)
    return replace(seen, warnings=(*size.said, *seen.warnings))


@dataclass(frozen=True)
class EarlySteps:
    """What a few steps of an option showed, at which learning rate; nothing where none was taken."""

    lr: float
    signals: Signals
    probe: StepProbe | None = None
    energy: EnergyBasis | None = None
    work: OptionWork | None = None  # counted for hardware that is not at hand


def _alternatives(
    update: Update,
    option: str,
    also: Sequence[str],
    settings: TrainingSettings,
    asked: EarlySteps,
    accounting: Accounting,
    there: Sequence[Machine],
) -> tuple[dict[str, EarlySteps], dict[str, str]]:
    """What is known of the other options, and the sentence on each that cannot be forecast here.

    Those of `also` are probed; the rest take no step, and share the cost of a step with the option that was asked for
    where both train all weights. What nobody asked for never stops the answer.
    """
    found: dict[str, EarlySteps] = {}
    cannot: dict[str, str] = {}
    by_default = compared()
    for name in dict.fromkeys((*also, *by_default)):
        if name == option:
            continue
        try:
            why = get_option(name).suits(update.model, update.target, task_shift=update.task_shift)
            if why is not None:
                cannot[name] = why
                continue
            if settings.batch_size == 1 and name not in also and update.model.card.has_batch_norm:
                cannot[name] = BATCH_OF_ONE
                continue
            own, _ = settled(update, name, settings)
            if name in also and update.target.train.labels is not None:
                found[name] = _probe(update, name, own, accounting, there)
            elif option in by_default and name in by_default:
                found[name] = EarlySteps(own.lr, {}, asked.probe, asked.energy)
            else:
                found[name] = EarlySteps(own.lr, {})
        except ForetollError as error:
            cannot[name] = str(error)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            cannot[name] = "out of memory: try a smaller --batch-size"
    return found, cannot


def composed(
    update: Update,
    settings: TrainingSettings,
    told: Prediction,
    probe: StepProbe | None,
    accounting: Accounting,
) -> Forecast:
    """The learned costs of an update, and those that follow from its steps."""
    if told.forecast.epochs is None:
        return told.forecast
    if told.already_met and probe is not None:
        probe = probe.model_copy(update={"seconds_of_preparation": 0.0, "joules_of_preparation": None})
    return compose_costs(
        told.forecast.epochs,
        schedule=settings.evaluations(settings.steps_per_epoch(len(update.target.train))),
        probe=probe,
        grid=accounting.grid,
        learned=told.forecast,
    )


def _probe(
    update: Update, option: str, settings: TrainingSettings, accounting: Accounting, there: Sequence[Machine]
) -> EarlySteps:
    """Seconds and joules of a step, measured here or counted for hardware that is not at hand; the pilot's signals."""
    chosen = get_option(option)
    if there:
        work = count_option(chosen, update, settings)
        step, energy = probe_there(there[0], work, settings)
        return EarlySteps(settings.lr, pilot_signals(update, option, settings), step, energy, work)
    probed = probe_option(chosen, update, settings, accounting)
    return EarlySteps(settings.lr, probed.pilot, probed.step, probed.energy)


def _warnings(
    update: Update,
    settings: TrainingSettings,
    seen: Survey,
    said: Sequence[str],
    told: Prediction,
    accounting: Accounting,
    there: Sequence[Machine],
) -> tuple[str, ...]:
    of_source = update.source.card.notes if update.source is not None else ()
    notes = dict.fromkeys((*update.model.card.notes, *of_source, *update.target.card.notes))
    chance = chance_warnings(update, settings, seen.signals, seen.source_samples)
    warnings = [*chance, *notes, *seen.warnings, *said, *told.warnings]
    if there:
        warnings.append(elsewhere_warning(there))
    if accounting.grid.is_default:
        warnings.append(default_region_warning(accounting))
    if update.same_data:
        warnings.append("source and target are the same data: there is no shift to pay for")
    return tuple(warnings)


def elsewhere_warning(there: Sequence[Machine]) -> str:
    """Whose costs they are, and that none was measured."""
    others = " (the first of those that were named)" if len(there) > 1 else ""
    return (
        f"time and energy are for {there[0].name}{others}, from a step that was counted here: none was measured on "
        "it, and the truth may be several times off; estimate there, or run foretoll hardware measure there, for "
        "firmer figures"
    )


def default_region_warning(accounting: Accounting) -> str:
    """No default country is silent."""
    return (
        f"no region was named: emissions use the intensity of the {accounting.grid.region}; "
        "say --region DE (or FORETOLL_REGION) for yours"
    )
