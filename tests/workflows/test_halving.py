"""Pilots that share what may be spent: its bound, who drops out, and that each goes on as its own run would."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import foretoll
from foretoll.decide.halving import CostNow
from foretoll.decide.pilot_budget import PilotBudget
from foretoll.records import Candidate, TrainingSettings
from foretoll.workflows import Accounting
from foretoll.workflows.anytime import GrowingPilot
from foretoll.workflows.context import Runtime
from foretoll.workflows.halving import share_out
from options.making import blobs, mlp
from workflows.test_anytime import HARD, NO_METER, Job, job

__all__ = ["job"]  # the fixture


class Scripted:
    """A pilot each look at which costs 1 and tells the next of the costs that are forecast."""

    def __init__(self, name: str, costs: list[tuple[float, float]], reach: float = 0.9) -> None:
        self.name, self.costs, self.price, self.spent, self.ended = name, costs, 1.0, 0.0, ""
        self.made, self.warning, self.stages, self.pilot = (
            SimpleNamespace(reach_probability=reach),
            None,
            self,
            self,
        )

    @property
    def cost_interval(self) -> CostNow:
        return CostNow(*self.costs[min(int(self.spent), len(self.costs) - 1)])

    @property
    def median(self) -> float:
        return self.cost_interval.median

    def go_on(self) -> None:
        assert not self.ended

    def train(self, stages: Any) -> None:
        self.spent += 1


def scripted() -> list[Scripted]:
    return [
        Scripted("a", [(100, 10), (100, 40), (100, 60)]),
        Scripted("b", [(200, 10), (220, 90), (220, 150)]),
        Scripted("c", [(300, 10), (300, 150)]),
    ]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.05, 0.06, 1.0])
def test_all_of_them_spend_no_more_than_the_share_of_the_cheapest(share: float) -> None:
    pilots = scripted()
    share_out(pilots, share)  # type: ignore[arg-type]
    assert sum(pilot.spent for pilot in pilots) <= share * 100
    assert all(pilot.ended for pilot in pilots)


def test_who_is_clearly_dearer_drops_out_and_the_last_one_stops() -> None:
    pilots = scripted()
    share_out(pilots, 1.0)  # type: ignore[arg-type]
    assert [pilot.spent for pilot in pilots] == [2, 2, 1]
    assert [pilot.ended for pilot in pilots] == [
        "no other candidate was left", "clearly dearer than a", "clearly dearer than a",
    ]  # fmt: skip


def test_none_drops_out_for_one_that_may_well_miss_its_target() -> None:
    pilots = [Scripted("a", [(100, 10)], reach=0.3), Scripted("b", [(300, 200)], reach=0.2)]
    share_out(pilots, 0.1)  # type: ignore[arg-type]
    assert [pilot.spent for pilot in pilots] == [5, 5]


def test_a_cheaper_candidate_without_a_pilot_bounds_what_may_be_spent() -> None:
    pilots = scripted()
    share_out(pilots, 1.0, cheapest=2.0)  # type: ignore[arg-type]
    assert [pilot.spent for pilot in pilots] == [1, 1, 0]


@pytest.mark.parametrize("option", ["finetune", "head"])
def test_a_pilot_that_rests_after_each_look_sees_what_one_that_does_not_sees(option: str, job: Job) -> None:
    runtime = Runtime(accounting=NO_METER)
    pilot = GrowingPilot(job.update, option, HARD, job.known, PilotBudget(spend=1.0), job.forecaster, runtime)
    whole = pilot.grow().record.stages
    stages = pilot.begin(by_looks=True)
    assert stages is not None
    rests: list[int] = []
    while not stages.ended and len(rests) < 3:
        before, expected = stages.spent, stages.spent + stages.price
        stages.go_on()
        assert pilot.train(stages) is None
        assert before < stages.spent == pytest.approx(expected)
        rests.append(stages.steps)
    for one, other in zip(stages.found, whole, strict=False):
        assert (one.step, one.quality, one.forecast_epochs) == (
            other.step,
            other.quality,
            other.forecast_epochs,
        )
    assert len(rests) > 1
    if (
        option == "head"
    ):  # what it stores is not kept with a pilot: each part begins anew, and is twice as long
        assert stages.state is None and all(later >= 2 * step for step, later in pairwise(rests))
    else:
        assert stages.state is not None and stages.state.recorded.steps == rests[-1]


def test_a_comparison_shares_its_pilots_and_its_runs_go_on_from_them(tmp_path: Path) -> None:
    source, target = blobs(400, distance=1.5, seed=1), blobs(700, distance=1.5)
    recipe = TrainingSettings(batch_size=16, max_epochs=3, lr=3e-4, until=0.99)
    models = [mlp(source), mlp(blobs(400, distance=0.5, seed=2))]

    def candidates(pilot: PilotBudget | None) -> tuple[Candidate, ...]:
        return foretoll.compare(
            models, source, target, options=["finetune"], settings=recipe, pilot=pilot, measure=True,
            accounting=Accounting("watts:20", region="DE"), ledger=tmp_path / "own.db", confidence=0.01,
        ).candidates  # fmt: skip

    plain, shared = candidates(None), candidates(PilotBudget(spend=0.6))
    assert all(one.pilot is None for one in plain)
    for one, other in zip(plain, shared, strict=True):
        assert other.pilot is not None and other.pilot.ended and other.pilot.spend == 0.6
        assert one.run is not None and other.run is not None
        assert [p.quality for p in one.run.curve] == [p.quality for p in other.run.curve]
        if other.pilot.steps:
            assert any("taken by the pilot" in warning for warning in other.run.warnings)
            assert other.forecast.epochs == other.pilot.stages[-1].forecast_epochs
    assert any(one.pilot is not None and one.pilot.steps for one in shared)
