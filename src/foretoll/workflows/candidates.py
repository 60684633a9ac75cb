"""The candidates of a comparison: one option of one model, forecast, and on request carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foretoll.decide.money import money, money_spent
from foretoll.errors import ForetollError, LedgerError, is_out_of_memory
from foretoll.forecast import Forecaster, Prediction
from foretoll.indices.survey import Survey
from foretoll.interruption import why_stopped
from foretoll.ledger import Ledger
from foretoll.measure import Machine
from foretoll.models import Model
from foretoll.options import Option, get_option
from foretoll.records import (
    Candidate,
    EnergyBasis,
    InferenceCost,
    MadeForecast,
    Outcome,
    Run,
    TrainingSettings,
)
from foretoll.workflows.anytime import Grown
from foretoll.workflows.carry_out import RunMetadata, inference_cost
from foretoll.workflows.context import Accounting, Runtime, Update
from foretoll.workflows.elsewhere import forecasts_there, probe_there
from foretoll.workflows.estimate import composed
from foretoll.workflows.goal import in_unit
from foretoll.workflows.halving import Contender
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.planned import case_of_update, start_quality
from foretoll.workflows.probe import OptionWork, ProbeResult, count_option, probe_option
from foretoll.workflows.rates import Named, rising, settled
from foretoll.workflows.retrain import retrain_update
from foretoll.workflows.whole_curve import NamedOption

NOT_BEGUN = "not begun"
TAG = "compare"
FIRMER = "add runs with --measure or foretoll estimate --calibrate"


@dataclass(frozen=True)
class KnownOption:
    """What was known of an option, the settings that it trains with, and its work where that was counted."""

    option: NamedOption
    settings: TrainingSettings
    work: OptionWork | None


@dataclass
class Prospect:
    """One model and target that were looked at once; each option adds its probe and its pilot."""

    name: str
    update: Update
    settings: TrainingSettings
    seen: Survey
    accounting: Accounting
    lr: Named = None
    there: Sequence[Machine] = ()  # the hardware that it is for; none: this machine
    signals: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """By option, those that its forecast rests on: its run carries the same."""
    known: dict[str, KnownOption] = field(default_factory=dict)
    """By option, what its forecast was made from."""
    pilots: dict[str, Contender] = field(default_factory=dict)
    """By option, its pilot where it went on: its run goes on from where that rests."""

    def __post_init__(self) -> None:
        self.start = start_quality(self.update, self.settings)
        self.inference: InferenceCost | None = None

    def forecast(self, option: str, forecaster: Forecaster) -> tuple[Candidate, EnergyBasis | None]:
        """The candidate of one option. One that cannot be used here, or fails its probe, says why."""
        why_not = get_option(option).suits(
            self.update.model, self.update.target, task_shift=self.update.task_shift
        )
        if not why_not:
            try:
                return self._forecast(option, forecaster)
            except ForetollError as error:
                why_not = str(error)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                why_not = _out_of_memory(option)
        return Candidate(model=self.name, option=option, why_not=why_not), None

    def _forecast(self, name: str, forecaster: Forecaster) -> tuple[Candidate, EnergyBasis]:
        update, option = self.update, get_option(name)
        settings, rate = settled(update, name, self.settings, self.lr)
        found = self._probed(option, settings) if not self.there else self._counted(option, settings)
        case = case_of_update(update, name, settings, self.seen, found.pilot, self.start)
        told = forecaster.foretell(case)
        self.signals[name] = self.seen.signals | found.pilot
        self.known[name] = KnownOption(NamedOption(case, told, found.step), settings, found.work)
        return Candidate(
            model=self.name,
            option=name,
            option_settings=option.settings_for(update.model, update.target, task_shift=update.task_shift),
            **self._told(name, told),
            trainable_parameters=found.trainable_parameters,
            training_state_bytes=found.training_state_bytes,
            changes_weights=option.changes_weights,
            lr=settings.lr if option.takes_steps else None,
            rate=rate.how if option.takes_steps else "",
            inference=None if found.served is None else self._inference(found.served),
            warnings=(
                *rising(found.pilot, settings.lr),
                *(warning.replace("add --calibrate", FIRMER) for warning in told.warnings),
            ),
        ), found.energy

    def grown(self, candidate: Candidate, grown: Grown) -> Candidate:
        """The candidate by what its pilot showed."""
        told = self._told(candidate.option, grown.made)
        warnings = (*candidate.warnings, *grown.warnings)
        return candidate.model_copy(update={**told, "pilot": grown.record, "warnings": warnings})

    def _told(self, name: str, told: Prediction) -> dict[str, Any]:
        """What is predicted of a candidate, by the names of its fields."""
        known, update = self.known[name], self.update
        elsewhere = forecasts_there(
            self.there,
            known.work,
            told,
            known.settings,
            samples=len(update.target.train),
            accounting=self.accounting,
        )
        forecast = (
            elsewhere[0].forecast
            if elsewhere
            else composed(update, known.settings, told, known.option.probe, self.accounting)
        )
        return {
            "forecast": forecast,
            "elsewhere": elsewhere,
            "money": elsewhere[0].money if elsewhere else money(self.accounting.prices, forecast),
            "quality": in_unit(told.quality, known.settings),
            "reach_probability": told.reach_probability,
        }

    def _probed(self, option: Option, settings: TrainingSettings) -> ProbeResult:
        """A few real steps on this machine."""
        return probe_option(option, self.update, settings, self.accounting)

    def _counted(self, option: Option, settings: TrainingSettings) -> ProbeResult:
        """The same of the hardware that was named, by what a step consists of; nothing is served there."""
        update = self.update
        work = count_option(option, update, settings)
        step, energy = probe_there(self.there[0], work, settings)
        return ProbeResult(
            step,
            energy,
            pilot_signals(update, option.name, settings),
            work.trainable_parameters,
            work.training_state_bytes,
            None,
            work,
        )

    def _inference(self, served: Model) -> InferenceCost:
        """What serving costs: measured once for all options that serve the source's own architecture."""
        same = served.card.program == self.update.model.card.program
        if same and self.inference is not None:
            return self.inference
        cost = inference_cost(served, self.update.target, self.settings, self.accounting)
        if same:
            self.inference = cost
        return cost


def carry_out_all(
    found: Sequence[Candidate],
    looked: Mapping[str, Prospect],
    folders: Sequence[Path | None],
    runtime: Runtime,
) -> list[Candidate]:
    """The same candidates with their runs. One that fails keeps its reason, and the others go on.

    Ctrl-C ends the one under way and leaves the rest undone; what was measured until then is kept.
    """
    done: list[Candidate] = []
    stopped = ""
    for candidate, folder in zip(found, folders, strict=True):
        if candidate.why_not:
            done.append(candidate)
            continue
        if stopped:
            done.append(candidate.model_copy(update={"failure": f"{NOT_BEGUN}: {stopped}"}))
            continue
        update, began = looked[candidate.model].update, datetime.now(UTC)
        pilot = looked[candidate.model].pilots.get(candidate.option)
        run: Run | None = None
        failure = ""
        try:
            run = retrain_update(
                update,
                candidate.option,
                looked[candidate.model].known[candidate.option].settings,
                runtime,
                RunMetadata(
                    signals=looked[candidate.model].signals[candidate.option],
                    forecast=MadeForecast(
                        made_at=began,
                        forecast=candidate.forecast,
                        reach_probability=candidate.reach_probability,
                        quality=candidate.quality,
                    ),
                    tags=(TAG,),
                ),
                begun=pilot.state if pilot is not None else None,
                out=folder,
            ).run
            failure = "" if run.outcome.complete else run.reason
        except ForetollError as error:
            failure = str(error)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failure = _out_of_memory(candidate.option)
        except KeyboardInterrupt as stop:
            failure = stopped = why_stopped(stop)
        if run is None:
            run = _recorded(runtime.ledger, candidate.option, began)
        if run is not None and run.outcome is Outcome.INTERRUPTED:
            stopped = stopped or run.reason
        spent = None if run is None else money_spent(runtime.accounting.prices, run.toll)
        done.append(candidate.model_copy(update={"run": run, "failure": failure, "money_spent": spent}))
    return done


def was_stopped(candidates: Sequence[Candidate]) -> bool:
    """Whether the user ended the comparison before all candidates were carried out."""
    return any(
        (c.run is not None and c.run.outcome is Outcome.INTERRUPTED)
        or c.failure.startswith((NOT_BEGUN, "stopped by "))
        for c in candidates
    )


def _recorded(ledger: Ledger | None, option: str, began: datetime) -> Run | None:
    """The run that the ledger has of a candidate which failed: what was measured before is not lost."""
    if ledger is None:
        return None
    try:
        runs = ledger.select(option=get_option(option).name, tag=TAG, limit=1).runs
    except LedgerError:
        return None
    return next((run for run in runs if run.started_at >= began), None)


def _out_of_memory(option: str) -> str:
    return f"out of memory in {option}: try a smaller --batch-size, or another --device"
