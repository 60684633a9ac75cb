"""`foretoll compare`: every way to reuse one or more models for a target, forecast side by side, or carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from foretoll.decide import CONFIDENCE, Limit, life_energy, mark_front, measured_best, recommend, regret_of
from foretoll.errors import UsageError
from foretoll.forecast import Forecaster
from foretoll.forecast.reference import reference_held_out, reference_runs
from foretoll.indices.collect import DEFAULT_SAMPLES
from foretoll.indices.survey import Survey
from foretoll.ledger import Ledger
from foretoll.measure import SelfCostMeter, describe_hardware, probe_inference
from foretoll.models import Model
from foretoll.options import OPTIONS, get_option
from foretoll.quality import check_metric
from foretoll.records import (
    Candidate,
    Comparison,
    EnergyBasis,
    InferenceCost,
    Outcome,
    TrainingSettings,
)
from foretoll.workflows.carry_out import require_labels
from foretoll.workflows.context import (
    Accounting,
    Data,
    Job,
    ModelLike,
    Watcher,
    check_until,
    choose_device,
    new_run_id,
    open_job,
)
from foretoll.workflows.estimate import case_of_job, composed, default_region_warning, start_quality
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.probe import probe_option
from foretoll.workflows.retrain import retrain_job, take_signals, with_target

PROBE_S = 1.0  # per option: there are many


def compare(
    models: ModelLike | Sequence[ModelLike],
    source: Data,
    target: Data,
    *,
    options: Sequence[str] | None = None,
    until: float | None = None,
    task: bool | None = None,
    settings: TrainingSettings | None = None,
    budget: str | None = None,
    requests: int = 0,
    confidence: float = CONFIDENCE,
    measure: bool = False,
    samples: int = DEFAULT_SAMPLES,
    weights: str | Path | None = None,
    device: str = "auto",
    accounting: Accounting | None = None,
    ledger: Ledger | None = None,
    out: str | Path | None = None,
    watcher: Watcher | None = None,
) -> Comparison:
    """Forecast all options for all models and recommend one; with `measure`, carry all of them out as well.

    `models` were all trained on `source`. Without `until`, the target is 95 % of the first model's quality on its
    source. `budget`: a limit such as "0.1kWh", "20min" or "50g". `requests`: samples to be served afterwards, whose
    energy is then added. With `measure`, each run is written to the ledger and, with `out`, each model to
    `out`/model-option; the recommendation still rests on the forecasts made before.

    Raises UsageError, DataError or ModelError where the inputs cannot be used.
    """
    settings, accounting = settings or TrainingSettings(), accounting or Accounting()
    names = list(options) if options else list(OPTIONS)
    for name in names:
        get_option(name)
    check_metric(settings.metric)
    if until is not None:
        check_until(until)
    if requests < 0 or not 0 < confidence < 1:
        raise UsageError("--requests is at least 0, and --confidence lies between 0 and 1")
    limit = Limit.parse(budget) if budget is not None else None
    accounting.check(choose_device(device))
    watcher = watcher or Watcher()
    store = Ledger.open() if ledger is None else ledger
    given = list(models) if isinstance(models, list | tuple) else [models]
    jobs: list[tuple[str, Job]] = []
    for number, model in enumerate(given):
        watcher.stage("open data and model")
        job = open_job(model, source, target, task=task, weights=weights, device=device, seed=settings.seed)
        require_labels(job.target, "compare")
        jobs.append((_label(model, number, len(given)), job))
    settings = with_target(jobs[0][1], settings, until)
    found: list[Candidate] = []
    energy: EnergyBasis | None = None
    with SelfCostMeter(accounting.energy, device=jobs[0][1].device) as own:
        forecaster = Forecaster([*reference_runs(), *store.runs()], held_out=reference_held_out())
        for label, job in jobs:
            watcher.stage(f"look at source and target through {label or 'the model'}")
            looked = _Looked(job, settings, take_signals(job, settings, samples=samples), accounting)
            for name in names:
                watcher.note(name)
                candidate, basis = looked.at(name, label, forecaster)
                if not candidate.why_not:
                    life = life_energy(candidate.forecast.energy_kwh, candidate.inference, requests)
                    candidate = candidate.model_copy(
                        update={
                            "life_energy_kwh": life if requests else None,
                            "over_budget": limit.broken_by(candidate.forecast) if limit else "",
                        }
                    )
                energy = basis or energy
                found.append(candidate)
    advice = recommend(found, until=settings.until or 0.0, confidence=confidence)
    if measure:
        found = _carried_out(found, jobs, settings, accounting, store, out, watcher)
    first = jobs[0][1]
    return Comparison(
        id=new_run_id(),
        created_at=datetime.now(UTC),
        source=first.source.card,
        target=first.target.card,
        shift=first.shift,
        until=settings.until or 0.0,
        settings=settings,
        budget=budget,
        requests=requests,
        candidates=mark_front(found),
        recommendation=advice,
        measured_best=measured_best(found),
        regret=regret_of(found, advice.candidate),
        energy=energy,
        grid=accounting.grid,
        hardware=describe_hardware(first.device),
        self_cost=own.record(),
        warnings=_warnings(accounting),
    )


def _label(model: ModelLike, number: int, count: int) -> str:
    """How a model is named beside others; nothing where there is only one."""
    if count == 1:
        return ""
    return str(model) if isinstance(model, str | Path) else f"model {number + 1}"


@dataclass
class _Looked:
    """One model and target that were looked at once; each option adds its probe and its pilot."""

    job: Job
    settings: TrainingSettings
    seen: Survey
    accounting: Accounting

    def __post_init__(self) -> None:
        self.start = start_quality(self.job, self.settings)
        self.inference: InferenceCost | None = None

    def at(self, name: str, label: str, forecaster: Forecaster) -> tuple[Candidate, EnergyBasis | None]:
        """The forecast of one option."""
        job, settings, option = self.job, self.settings, get_option(name)
        why_not = option.suits(job.model, job.target, task_shift=job.task_shift)
        if why_not:
            return Candidate(model=label, option=name, why_not=why_not), None
        probed = probe_option(
            option,
            job.model,
            job.target,
            settings,
            task_shift=job.task_shift,
            device=job.device,
            accounting=self.accounting,
            budget_s=PROBE_S,
        )
        signals = self.seen.signals | pilot_signals(job, name, settings)
        told = forecaster.foretell(case_of_job(job, name, settings, signals, self.start))
        return Candidate(
            model=label,
            option=name,
            forecast=composed(job, settings, told, probed.step, probed.energy, self.accounting),
            quality=told.quality,
            reach_probability=told.reach_probability,
            trainable_parameters=probed.trainable_parameters,
            training_state_bytes=probed.training_state_bytes,
            changes_weights=option.changes_weights,
            inference=self._inference(probed.served),
            warnings=told.warnings,
        ), probed.energy

    def _inference(self, served: Model) -> InferenceCost:
        """What serving costs: measured once for all options that serve the source's own architecture."""
        same = served.card.program == self.job.model.card.program
        if same and self.inference is not None:
            return self.inference
        cost = probe_inference(
            served,
            self.job.target.validation,
            batch_size=self.settings.batch_size,
            device=self.job.device,
            meter_factory=lambda: self.accounting.meter(self.job.device),
        )
        if same:
            self.inference = cost
        return cost


def _carried_out(
    found: Sequence[Candidate],
    jobs: Sequence[tuple[str, Job]],
    settings: TrainingSettings,
    accounting: Accounting,
    ledger: Ledger,
    out: str | Path | None,
    watcher: Watcher,
) -> list[Candidate]:
    """The same candidates with their runs; an option that fails keeps its reason and the others go on."""
    by_label = dict(jobs)
    done = []
    for candidate in found:
        if candidate.why_not:
            done.append(candidate)
            continue
        job = by_label[candidate.model]
        folder = None if out is None else Path(out) / _folder(candidate)
        carried = retrain_job(
            job,
            candidate.option,
            settings,
            accounting=accounting,
            ledger=ledger,
            out=folder,
            tags=("compare",),
            watcher=watcher,
        )
        if carried.run.outcome is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        done.append(candidate.model_copy(update={"run": carried.run}))
    return done


def _folder(candidate: Candidate) -> str:
    """A folder's name for a candidate's model: its option, after the model's own name where there are several."""
    model = Path(candidate.model).name if candidate.model else ""
    kept = "".join(c if c.isalnum() or c in "._-" else "-" for c in model)
    option = candidate.option.replace("+", "-")
    return f"{kept}-{option}" if kept else option


def _warnings(accounting: Accounting) -> tuple[str, ...]:
    return (default_region_warning(accounting),) if accounting.grid.is_default else ()
