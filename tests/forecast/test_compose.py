"""Composed costs against arithmetic by hand."""

from __future__ import annotations

import math

import pytest

from foretoll.forecast import compose_costs
from foretoll.forecast.step_costs import BETWEEN_RUNS
from foretoll.records import GridIntensity, Interval, StepProbe
from foretoll.records.evaluations import EvaluationSchedule

PROBE = StepProbe(
    steps=30,
    repeats=3,
    seconds_per_step=0.1,
    seconds_per_step_low=0.08,
    seconds_per_step_high=0.15,
    joules_per_step=2.0,
    seconds_per_evaluation=1.0,
    joules_per_evaluation=10.0,
)
GRID = GridIntensity(intensity_kg_per_kwh=0.4, region="X", level="user", source="test", year=2024, pue=1.5)


def composed(epochs: Interval, **changes: object):  # type: ignore[no-untyped-def]
    arguments = {"probe": PROBE, "grid": GRID, **changes}
    return compose_costs(epochs, schedule=EvaluationSchedule(40, 4), **arguments)  # type: ignore[arg-type]


def farther(end: float, probe: float) -> float:
    """Three independent deviations on a log scale: of the epochs, in the probe, and between runs."""
    size = math.sqrt(math.log(end) ** 2 + math.log(probe) ** 2 + BETWEEN_RUNS**2)
    return math.exp(math.copysign(size, math.log(end)))


def test_by_hand() -> None:
    found = composed(Interval(median=2.0, low=1.0, high=4.0))
    # 80 steps and 1 + 8 evaluations
    assert found.duration_s.median == pytest.approx(80 * 0.1 + 9 * 1.0)
    assert found.duration_s.low == pytest.approx(17 * farther((40 * 0.1 + 5 * 1.0) / 17, 0.8))
    assert found.duration_s.high == pytest.approx(17 * farther((160 * 0.1 + 17 * 1.0) / 17, 1.5))
    joules = 80 * 2.0 + 9 * 10.0
    assert found.energy_kwh.median == pytest.approx(joules / 3.6e6)
    high = farther((160 * 2 + 17 * 10) / joules, 1.5)
    assert found.energy_kwh.high == pytest.approx(high * joules / 3.6e6)
    assert found.emissions_kg.median == pytest.approx(joules / 3.6e6 * 0.4 * 1.5)


def test_no_step_still_costs_one_evaluation() -> None:
    found = composed(Interval(median=0.0, low=0.0, high=0.0))
    assert found.duration_s.median == pytest.approx(1.0)


def test_what_was_not_measured_stays_none() -> None:
    epochs = Interval(median=2.0, low=1.0, high=None)
    assert composed(epochs, probe=None).duration_s is None
    silent = PROBE.model_copy(update={"joules_per_step": None})
    found = composed(epochs, probe=silent)
    assert found.energy_kwh is None
    assert found.emissions_kg is None
    assert found.duration_s.high is None
