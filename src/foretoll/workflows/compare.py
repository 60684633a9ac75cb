"""`foretoll compare`: every way to reuse one or more models for a target, forecast side by side, or carried out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from foretoll.arguments import check_out
from foretoll.decide import (
    CONFIDENCE,
    Limit,
    energy_with_serving,
    mark_front,
    measured_best,
    recommend,
    regret_of,
)
from foretoll.decide.pilot_budget import PilotBudget
from foretoll.errors import UsageError
from foretoll.forecast.reference import reference_settings
from foretoll.forecast.unseen import unseen_settings
from foretoll.indices.collect import DEFAULT_SAMPLES
from foretoll.ledger import Ledger
from foretoll.measure import SelfCostMeter, describe_hardware, machines
from foretoll.measure.self_cost import PILOT
from foretoll.models import Loading
from foretoll.options import OPTIONS, Option
from foretoll.options.table import named
from foretoll.random_states import takes_turns
from foretoll.records import Candidate, Comparison, EnergyBasis, TrainingSettings
from foretoll.tasks import check_until
from foretoll.workflows.candidates import Prospect, carry_out_all, was_stopped
from foretoll.workflows.carry_out import require_labels
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
from foretoll.workflows.elsewhere import check_shares
from foretoll.workflows.estimate import default_region_warning, elsewhere_warning
from foretoll.workflows.experience import experience_of
from foretoll.workflows.goal import with_evaluations, with_target
from foretoll.workflows.rates import Named
from foretoll.workflows.retrain import take_signals
from foretoll.workflows.shared_pilots import kept_beside, share_pilots


@takes_turns
def compare(
    models: ModelLike | Sequence[ModelLike],
    source: Data = None,
    target: Data = None,
    *,
    sources: Sequence[Data] | None = None,
    options: Sequence[str | Option] | None = None,
    until: float | None = None,
    task: bool | None = None,
    settings: TrainingSettings | None = None,
    lr: Named = None,
    budget: str | None = None,
    pilot: PilotBudget | None = None,
    requests: int = 0,
    confidence: float = CONFIDENCE,
    measure: bool = False,
    samples: int = DEFAULT_SAMPLES,
    weights: str | Path | None = None,
    embedding_layer: str | None = None,
    head: str | None = None,
    device: str = "auto",
    accounting: Accounting | None = None,
    ledger: Ledger | str | Path | None = None,
    out: str | Path | None = None,
    watcher: Watcher | None = None,
    hardware: str | Sequence[str] | None = None,
    trust_code: bool = False,
) -> Comparison:
    """Predict the costs of all ways to reuse one or more models, side by side, and recommend one.

    >>> found = foretoll.compare("model-dir", "npz:old.npz", "npz:new.npz", until=0.9, budget="50g")  # doctest: +SKIP
    >>> found.recommendation.reason  # doctest: +SKIP

    Args:
        models: one model or a list of them, each as in `foretoll.estimate`.
        source: what all models were trained on: a data URI such as "npz:old.npz", a torch Dataset or DataLoader,
            arrays, or `TaskData`. None or "none" where nobody has it; what needs it is then left out, and a warning
            says so.
        target: what the model is to serve now, in the same forms. It must have labels for anything that trains.
        sources: what each model was trained on, in their order, where that differs; leave `source` out then.
        options: the ways to compare, by name or as objects; None: all of them. One that cannot be used here, or
            fails, says why in its candidate (`why_not`, `failure`), and the others go on.
        until: the quality to reach on the validation data, in the metric's unit; None: 95 % of the first model's
            quality on its source.
        task: whether the target is a new task; None: decided by the names of the classes.
        settings: the training settings; None: those of docs/settings.md.
        lr: as in `foretoll.estimate`; each candidate has its own rate unless one is named.
        budget: what the update may cost at most: "0.1kWh", "20min", "50g", or "5EUR" where `accounting` has a price.
            Medians of the forecasts are held against it.
        pilot: the share of what the cheapest candidate is forecast to take that the pilots of all candidates may spend
            together, as the beginnings of their runs: in rounds, from which clearly dearer candidates drop out
            (`Candidate.pilot`). With `keep`, that of the recommended one is kept. None: each ends after 24 steps.
        requests: how many samples are served afterwards; their energy is added to what an option costs.
        confidence: the probability of reaching the target that is relied on, between 0 and 1.
        measure: carry all of them out as well. The recommendation still rests on the forecasts made before.
        samples: how many samples of source and of target are looked at, at most.
        weights: the file or folder of the weights, where one model is named by its architecture.
        embedding_layer: name of the layer that represents a sample; found where it is not named.
        head: name of the layer that classifies, or of one of several outputs; found where it is not named.
        device: "cpu", "cuda", "cuda:1", …; "auto" takes CUDA where there is one.
        accounting: how energy and emissions are counted, and the price; None: the best meter of this machine, and the
            world average of emissions.
        ledger: where runs are read and written: open, a path or a database URL; None: the user's own.
        out: with `measure`, the folder for the models: `out`/OPTION, or `out`/MODEL-OPTION for several models.
        watcher: is called with the progress; None: nobody.
        hardware: as in `foretoll.estimate`; nothing can be served or carried out then.
        trust_code: let a checkpoint name the function that builds its network; it is then imported and run.

    Returns:
        The comparison: a candidate for each model and option, the recommended one with its reason, and what would
            change the choice.

    Raises:
        UsageError: an argument is no name or number that can be used; the sentence names the nearest valid ones.
        DataError: data that cannot be read or do not fit the model.
        ModelError: a model that cannot be loaded or trained.
    """
    settings = settings or TrainingSettings()
    runtime = Runtime.of(device, accounting, ledger, watcher)
    loading = Loading(weights, embedding_layer, head, trust_code)
    accounting, watcher = runtime.accounting, runtime.watcher
    given = list(models) if isinstance(models, list | tuple) else [models]
    one_model_only = {"--weights": weights, "--embedding-layer": embedding_layer, "--head": head}
    _check_models(given, [flag for flag, value in one_model_only.items() if value is not None])
    trained_on = _each_source(source, sources, len(given))
    wanted = list(dict.fromkeys(named(option) for option in options or OPTIONS))
    if until is not None:
        check_until(until, settings.metric)
    _check_numbers(requests, confidence)
    limit = Limit.parse(budget, prices=accounting.prices) if budget is not None else None
    there = machines(hardware)
    if there and (measure or requests):
        asked = "--measure" if measure else "--requests"
        raise UsageError(f"{asked} is about this machine and --hardware about others: leave one of them out")
    check_out(out)
    runtime.check(settings)
    check_shares(there, settings)
    watcher.stage("open data and models" if len(given) > 1 else "open data and model")
    opened = [
        open_update(
            model,
            own,
            target,
            task=task,
            loading=loading,
            device=runtime.device,
            seed=settings.seed,
        )
        for model, own in zip(given, trained_on, strict=True)
    ]
    jobs = dict(zip(_names(given, opened), opened, strict=True))
    first = opened[0]
    require_labels(first.target, "compare")
    settings = with_evaluations(with_target(first, settings, until), first.target.card)
    found: list[Candidate] = []
    looked: dict[str, Prospect] = {}
    energy: EnergyBasis | None = None
    with SelfCostMeter(runtime.meter()) as own:
        known, forecaster = experience_of(runtime.ledger)
        for model_name, update in jobs.items():
            watcher.stage(f"look at source and target through {model_name}")
            seen = take_signals(update, settings, samples=samples)
            looked[model_name] = Prospect(model_name, update, settings, seen, accounting, lr, there)
            for name in wanted:
                watcher.stage(f"probe and forecast {name}")
                candidate, basis = looked[model_name].forecast(name, forecaster)
                found.append(candidate)
                energy = energy or basis
        if pilot is not None:
            own.switch(PILOT)
            found = share_pilots(found, looked, pilot, forecaster, runtime)
    found = [_costed(candidate, limit, requests) for candidate in found]
    advice = recommend(found, until=settings.until or 0.0, confidence=confidence, scale=settings.scale)
    if pilot is not None and pilot.keep is not None and advice.candidate is not None:
        found[advice.candidate] = kept_beside(found[advice.candidate], looked, pilot.keep)
    if measure:
        folders = _folders(found, None if out is None else Path(out))
        found = carry_out_all(found, looked, folders, runtime)
    return Comparison(
        id=new_run_id(),
        created_at=datetime.now(UTC),
        source=first.source.card if first.source is not None else None,
        target=first.target.card,
        shift=first.shift,
        models={name: update.model.card for name, update in jobs.items()},
        sources={}
        if sources is None
        else {name: update.source.card if update.source else None for name, update in jobs.items()},
        until=settings.until or 0.0,
        settings=settings,
        budget=budget,
        price=", ".join(map(str, accounting.prices)),
        requests=requests,
        candidates=mark_front(found, requests, scale=settings.scale),
        recommendation=advice,
        measured_best=measured_best(found, requests=requests, limit=limit),
        regret=regret_of(found, advice.candidate, requests=requests, limit=limit),
        energy=energy,
        grid=accounting.grid,
        hardware=describe_hardware(first.device),
        self_cost=own.record(),
        warnings=(
            *_warnings(list(looked.values()), found, accounting),
            *([elsewhere_warning(there)] if there else []),
            *unseen_settings(settings, [*reference_settings(), *known.settings]),
            *filter(None, [known.warning]),
        ),
    )


def _each_source(source: Data, sources: Sequence[Data] | None, models: int) -> Sequence[Data]:
    """What each model was trained on."""
    if sources is None:
        return [source] * models
    if source is not None:
        raise UsageError("source= and sources= are both given: leave one of them out")
    if len(sources) != models:
        raise UsageError(
            f"--source is given {len(sources)} times for {models} model{'s' if models > 1 else ''}: give it once for "
            "all of them, or once for each in their order"
        )
    return sources


def _check_numbers(requests: int, confidence: float) -> None:
    if requests < 0:
        raise UsageError(f"--requests {requests} is no number of samples to serve: give 0 or more")
    if not 0 < confidence < 1:
        raise UsageError(f"--confidence {confidence:g} is no probability to rely on: it lies between 0 and 1")


def _check_models(given: Sequence[ModelLike], one_model_only: Sequence[str]) -> None:
    if not given:
        raise UsageError("there is nothing to compare: give at least one --model")
    if len(given) > 1 and one_model_only:
        raise UsageError(
            f"{' and '.join(one_model_only)} cannot be said of {len(given)} models at once: give checkpoint folders, "
            "which know them, or one --model"
        )
    named = Counter(str(model) for model in given if isinstance(model, str | Path))
    twice = [name for name, count in named.items() if count > 1]
    if twice:
        raise UsageError(f"--model {twice[0]} is named twice: name each model once")


def _names(given: Sequence[ModelLike], opened: Sequence[Update]) -> list[str]:
    """How each model is named: as it was typed; one from Python by its architecture."""
    names = [
        str(model) if isinstance(model, str | Path) else update.model.card.arch
        for model, update in zip(given, opened, strict=True)
    ]
    often = Counter(names)
    return [name if often[name] == 1 else f"model {i + 1} ({name})" for i, name in enumerate(names)]


def _costed(candidate: Candidate, limit: Limit | None, requests: int) -> Candidate:
    """With what serving adds, and which limit is broken."""
    if candidate.why_not:
        return candidate
    update = candidate.forecast.energy_kwh
    served = energy_with_serving(update, candidate.inference, requests) if requests else None
    broken = limit.broken_by(candidate.forecast, candidate.money) if limit is not None else ""
    return candidate.model_copy(update={"energy_with_serving_kwh": served, "over_budget": broken})


def _folders(found: Sequence[Candidate], out: Path | None) -> list[Path | None]:
    """A folder of its own for each candidate's model: its option, after the model's name where there are several."""
    if out is None:
        return [None] * len(found)
    models = list(dict.fromkeys(candidate.model for candidate in found))
    short = {
        model: "".join(c if c.isalnum() or c in "._-" else "-" for c in Path(model).name) for model in models
    }
    often = Counter(short.values())
    several = {
        model: f"{i + 1}-{short[model]}" if often[short[model]] > 1 else short[model]
        for i, model in enumerate(models)
    }
    names = [re.sub(r"[^\w.-]+", "-", candidate.option) for candidate in found]
    if len(models) == 1:
        return [out / name for name in names]
    return [out / f"{several[c.model]}-{name}" for c, name in zip(found, names, strict=True)]


def _warnings(
    looked: Sequence[Prospect], found: Sequence[Candidate], accounting: Accounting
) -> tuple[str, ...]:
    """What concerns the whole comparison; what concerns one candidate stands in it."""
    first = looked[0].update
    of = {model.name: f"{model.name}: " if len(looked) > 1 else "" for model in looked}
    said = [of[model.name] + note for model in looked for note in model.update.model.card.notes]
    for model in looked:
        own = model.update.source
        said += own.card.notes if own is not None else ()
    said += first.target.card.notes
    for model in looked:
        chance = chance_warnings(model.update, model.settings, model.seen.signals, model.seen.source_samples)
        said += [of[model.name] + warning for warning in (*chance, *model.seen.warnings)]
    if accounting.grid.is_default:
        said.append(default_region_warning(accounting))
    if any(model.update.same_data for model in looked):
        said.append("source and target are the same data: there is no shift to pay for")
    if was_stopped(found):
        said.append("stopped before all candidates were run; what was measured is in the ledger")
    return tuple(dict.fromkeys(said))
