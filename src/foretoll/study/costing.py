"""What a study will cost before it starts: from its runs so far, or from a few real steps per architecture.

Time is worker time; several workers share it. Nothing is guessed where nothing was measured: a cost is None then.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median

import torch

from foretoll.data import open_data
from foretoll.indices.survey import survey
from foretoll.ledger import RunSummary
from foretoll.models import build_model
from foretoll.options import get_option
from foretoll.options.table import DEFAULT
from foretoll.records import SHARES, StepProbe, TrainingSettings
from foretoll.study.cell import SAMPLES, Place, target_of
from foretoll.study.plan import Cell, SourceModel
from foretoll.units import kwh_from_joules
from foretoll.workflows.context import Update, seeded
from foretoll.workflows.goal import on_data
from foretoll.workflows.pilot import STEPS
from foretoll.workflows.probe import probe_option

FEWEST_RUNS = 10  # of the study itself, before their mean says more than a probe
TYPICAL_SHARE = (
    0.25  # of its budget of epochs a run spends: the mean of 560 runs (docs/recoverability_gap.md)
)
PAUSE = 10.0  # times the median gap between the ends of runs: the study stood still


@dataclass(frozen=True)
class PlanCost:
    """Expected cost of what is left, and the most it can be (every run spends its whole budget); None: unknown."""

    duration_s: float | None
    energy_kwh: float | None
    most_duration_s: float | None
    most_energy_kwh: float | None
    basis: str


@dataclass(frozen=True)
class _Pace:
    """What one architecture costs on this machine, and how many steps its data make an epoch."""

    probe: StepProbe
    signals_s: float
    settings_steps: Callable[[TrainingSettings, int | None], int]

    def training(
        self, settings: TrainingSettings, epochs: float, samples: int | None
    ) -> tuple[float, float | None]:
        """Seconds and kWh of so many epochs with their evaluations."""
        per_epoch = self.settings_steps(settings, samples)
        steps, looks = epochs * per_epoch, 1 + settings.evaluations(per_epoch).needed(epochs)
        probe = self.probe
        seconds = steps * probe.seconds_per_step + looks * probe.seconds_per_evaluation
        if probe.joules_per_step is None:
            return seconds, None
        return seconds, kwh_from_joules(
            steps * probe.joules_per_step + looks * (probe.joules_per_evaluation or 0.0)
        )


def cost_of_plan(
    todo: Sequence[Cell], models_todo: Sequence[SourceModel], runs: Sequence[RunSummary], place: Place
) -> PlanCost:
    """Cost what is to do. `runs` are the study's runs so far, whose cells are known by their tags."""
    if not todo:
        return PlanCost(0.0, 0.0, 0.0, 0.0, "nothing is left to do")
    ended = [r for r in runs if r.outcome.complete and r.finished_at]
    if len(ended) >= FEWEST_RUNS and not models_todo:
        return _from_runs(todo, ended)
    return _from_probes(todo, models_todo, place)


def _from_runs(todo: Sequence[Cell], runs: Sequence[RunSummary]) -> PlanCost:
    ends = sorted(run.finished_at for run in runs if isinstance(run.finished_at, datetime))
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(ends)]
    usual = [gap for gap in gaps if gap <= PAUSE * max(median(gaps), 1.0)]
    spent: dict[str, list[float]] = {}
    for run in runs:
        if run.energy_kwh is not None:
            for group in (run.option, ""):
                spent.setdefault(group, []).append(run.energy_kwh)
    mean = {group: fmean(values) for group, values in spent.items()}
    energy = sum(mean.get(cell.option, mean[""]) for cell in todo) if spent else None
    basis = (
        f"the pace and the mean energy of the {len(runs)} runs that are there, with as many workers as then"
    )
    return PlanCost(fmean(usual) * len(todo), energy, None, None, basis)


def _from_probes(todo: Sequence[Cell], models_todo: Sequence[SourceModel], place: Place) -> PlanCost:
    paces: dict[str, _Pace] = {}
    for cell in todo:
        if cell.arch not in paces:
            paces[cell.arch] = _probed(cell, place)
    expected: list[tuple[float, float | None]] = []
    most: list[tuple[float, float | None]] = []
    for model in models_todo:
        whole = paces[model.arch].training(model.settings, model.settings.max_epochs, None)
        expected.append(whole)
        most.append(whole)
    seen: set[str] = set()
    for cell in todo:
        pace, budget = paces[cell.arch], cell.settings.max_epochs
        extra = 0.0 if cell.setting in seen else pace.signals_s
        seen.add(cell.setting)
        for found, epochs in ((expected, TYPICAL_SHARE * budget), (most, budget)):
            seconds, energy = pace.training(cell.settings, epochs, cell.train_samples)
            found.append((seconds + extra, energy))
    basis = (
        f"a probe of real steps for {'each of the ' if len(paces) > 1 else 'the '}{len(paces)} "
        f"architecture{'s' if len(paces) > 1 else ''} on one of its data sets; expected: a run spends "
        f"{TYPICAL_SHARE:.0%} of its budget, the mean of an earlier study; the energy of the signals is not in it"
    )
    return PlanCost(*_total(expected), *_total(most), basis)


def _total(costs: Sequence[tuple[float, float | None]]) -> tuple[float, float | None]:
    energies = [energy for _, energy in costs if energy is not None]
    return sum(seconds for seconds, _ in costs), sum(energies) if len(energies) == len(costs) else None


def _probed(cell: Cell, place: Place) -> _Pace:
    """A few steps, an evaluation and one look at the target, with a fresh network of the cell's architecture."""
    device, source = torch.device(place.device), open_data(cell.source)
    target, clean = target_of(cell, open_data(cell.target))
    settings = on_data(cell.settings, target, source)
    with seeded(0, device):
        model = build_model(cell.arch, data=target, seed=0, trust=place.trust).to(device)
        same = model
        if cell.task:
            same = build_model(cell.arch, data=source, seed=0, trust=place.trust).to(device)
        probe = probe_option(
            get_option(DEFAULT), Update(model, None, target, False, device), settings, place.accounting
        ).step
        began = time.perf_counter()
        survey(
            same,
            source,
            target,
            settings.model_copy(update={"until": (settings.scale or SHARES).value(cell.until_share)}),
            task_shift=cell.task,
            clean=clean,
            linearised=True,
            samples=SAMPLES,
        )
        looked_s = time.perf_counter() - began
    pilot_s = max(STEPS) * probe.seconds_per_step

    def steps(settings: TrainingSettings, samples: int | None) -> int:
        size = len(target.train) if samples is None else min(samples, len(target.train))
        return settings.steps_per_epoch(size)

    return _Pace(probe, looked_s + pilot_s, steps)
