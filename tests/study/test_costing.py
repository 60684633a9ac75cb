"""The plan's cost: from a probe where there are no runs, from the runs where there are, and what it rests on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from foretoll.ledger import Ledger, RunSummary, write_runs
from foretoll.records import Run
from foretoll.study.cell import Place
from foretoll.study.costing import FEWEST_RUNS, TYPICAL_SHARE, cost_of_plan
from foretoll.study.plan import cells_of
from foretoll.study.run import plan_study

from .carrying import tiny
from .making import make_run


def test_a_probe_costs_a_study_that_has_no_runs(tmp_path: Path) -> None:
    place = Place(tmp_path, str(tmp_path / "ledger.db"), energy="watts:36")
    plan = plan_study(tiny(), place)
    cost = plan.cost(place)
    assert cost.duration_s is not None
    assert cost.most_duration_s is not None
    assert cost.energy_kwh is not None
    assert cost.most_energy_kwh is not None
    assert 0 < cost.duration_s < cost.most_duration_s
    assert 0 < cost.energy_kwh < cost.most_energy_kwh
    assert "a probe of real steps for the 1 architecture" in cost.basis
    assert f"{TYPICAL_SHARE:.0%} of its budget" in cost.basis
    # 36 W are 0.01 Wh a second of training; the signals take time, and their energy is not in it
    assert cost.energy_kwh * 1000 < 0.0101 * cost.duration_s
    # fewer runs cost less; an unmetered study has no energy, not 0
    few = cost_of_plan(plan.todo[:1], [], [], Place(tmp_path, place.ledger, energy="none"))
    assert few.duration_s is not None
    assert few.energy_kwh is None
    assert not list(tmp_path.glob("models/*"))


def _paced(place: Path, gaps_s: list[float]) -> list[RunSummary]:
    runs: list[Run] = []
    for number, gap in enumerate(gaps_s):
        run = make_run(number, gap=0.5, epochs=2.0)
        end = runs[-1].finished_at if runs else run.finished_at
        assert end is not None
        end += timedelta(seconds=gap)
        runs.append(run.model_copy(update={"started_at": end - timedelta(seconds=1), "finished_at": end}))
    write_runs(place.with_suffix(".jsonl"), runs)
    ledger = Ledger(place)
    ledger.import_(place.with_suffix(".jsonl"))
    return ledger.summaries()


def test_runs_that_are_there_say_more_than_a_probe(tmp_path: Path) -> None:
    place = Place(tmp_path, str(tmp_path / "ledger.db"))
    cells = cells_of(tiny())
    runs = _paced(tmp_path / "a.db", [4.0] * FEWEST_RUNS)
    cost = cost_of_plan(cells, [], runs, place)
    assert cost.duration_s == pytest.approx(4.0 * len(cells))
    assert cost.energy_kwh == pytest.approx(2e-5 * len(cells))
    assert f"the {FEWEST_RUNS} runs that are there" in cost.basis
    # a night in which the study stood still is no pace
    paused = _paced(tmp_path / "b.db", [4.0] * FEWEST_RUNS + [30_000.0] + [4.0] * 3)
    assert cost_of_plan(cells, [], paused, place).duration_s == pytest.approx(4.0 * len(cells))


def test_nothing_left_costs_nothing(tmp_path: Path) -> None:
    cost = cost_of_plan([], [], [], Place(tmp_path, "none.db"))
    assert (cost.duration_s, cost.energy_kwh) == (0.0, 0.0)
