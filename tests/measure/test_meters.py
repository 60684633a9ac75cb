"""Meters with known energies: arithmetic, order of calls, names."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.errors import MeasureError, UsageError
from foretoll.measure import METERS, NoMeter, ReplayMeter, SelfCostMeter, open_meter
from foretoll.measure.basis import PartReport
from foretoll.measure.composite import CompositeMeter
from foretoll.measure.meter import EnergyMeter
from foretoll.records import EnergyComponent


class FakeClock:
    """Moves on by a fixed step at every look; `skip` moves it on by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def skip(self, seconds: float) -> None:
        self.now += seconds


class PartsMeter(EnergyMeter):
    """Gives the cumulative joules of several parts from a list, one entry for each boundary."""

    tool = "parts"
    scope = "machine"

    def __init__(self, samples: list[Mapping[str, float | None]], method: str = "counter", **kwargs) -> None:
        super().__init__(**kwargs)
        self._samples: Iterator[Mapping[str, float | None]] = iter(samples)
        self.method = method
        self.finished = 0

    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        return next(self._samples)

    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        return [
            PartReport(
                EnergyComponent(
                    name=name, method=self.method, energy_kwh=None if total is None else total / 3.6e6
                ),
                *((0.95, 1.05) if self.method == "counter" else (0.5, 2.0)),
            )
            for name, total in joules.items()
        ]

    def _finish(self) -> None:
        self.finished += 1


def test_constant_watts_over_known_durations() -> None:
    clock = FakeClock()
    meter = ReplayMeter(watts=60.0, by_user=True, clock=clock)
    meter.start("training")
    clock.skip(10)
    meter.switch("evaluation")
    clock.skip(2)
    meter.switch("training")
    clock.skip(5)
    reading = meter.stop()
    assert reading.phases["training"].duration_s == 15
    assert reading.phases["training"].energy_kwh == pytest.approx(60 * 15 / 3.6e6, rel=1e-12)
    assert reading.phases["evaluation"].energy_kwh == pytest.approx(60 * 2 / 3.6e6, rel=1e-12)
    assert reading.duration_s == 17
    assert reading.energy_kwh == pytest.approx(60 * 17 / 3.6e6, rel=1e-12)
    assert reading.basis.method == "60 W set by the user"
    assert reading.basis.counter_share == 0
    assert reading.basis.relative_low is None


def test_replayed_joules_per_phase_and_per_visit() -> None:
    meter = ReplayMeter({"training": 120.0, "evaluation": [4.0, 6.0]})
    meter.start("training")
    for phase in ("evaluation", "training", "evaluation"):
        meter.switch(phase)
    reading = meter.stop()
    assert reading.phases["training"].energy_kwh == pytest.approx(120 / 3.6e6)
    assert reading.phases["evaluation"].energy_kwh == pytest.approx(10 / 3.6e6)
    assert reading.energy_kwh == pytest.approx(130 / 3.6e6)
    assert reading.basis.method == "replayed series"


def test_replay_without_the_phase_or_the_visit_says_so() -> None:
    meter = ReplayMeter({"evaluation": [4.0]})
    meter.start("evaluation")
    meter.switch("evaluation")
    with pytest.raises(MeasureError, match="1 values for phase 'evaluation'"):
        meter.switch("evaluation")
    other = ReplayMeter({"evaluation": 1.0})
    other.start("training")
    with pytest.raises(MeasureError, match="no phase 'training': it has evaluation"):
        other.stop()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["training", "evaluation", "other"]), st.floats(0, 1e4), st.floats(0, 1e6)),
        min_size=1,
        max_size=12,
    )
)
def test_phases_add_up_to_the_total(visits: list[tuple[str, float, float]]) -> None:
    clock = FakeClock()
    joules: dict[str, list[float]] = {}
    for phase, _, energy in visits:
        joules.setdefault(phase, []).append(energy)
    meter = ReplayMeter(joules, clock=clock)
    for position, (phase, seconds, _) in enumerate(visits):
        (meter.start if position == 0 else meter.switch)(phase)
        clock.skip(seconds)
    reading = meter.stop()
    assert reading.energy_kwh == pytest.approx(sum(e for _, _, e in visits) / 3.6e6, rel=1e-9, abs=1e-12)
    assert reading.duration_s == pytest.approx(sum(s for _, s, _ in visits), abs=1e-6)
    assert sum(c.energy_kwh or 0 for c in reading.phases.values()) == pytest.approx(reading.energy_kwh)
    assert sum(c.duration_s for c in reading.phases.values()) == pytest.approx(reading.duration_s)


def test_no_meter_measures_time_only() -> None:
    with open_meter("none") as meter:
        meter.start("training")
        time.sleep(0.02)
        reading = meter.stop()
    assert isinstance(meter, NoMeter)
    assert reading.duration_s >= 0.02
    assert reading.energy_kwh is None
    assert reading.phases["training"].energy_kwh is None
    assert reading.basis.counter_share is None
    assert reading.basis.scope == "none"
    assert reading.basis.method == "energy not measured"


def test_a_meter_is_used_once_and_in_order() -> None:
    meter = NoMeter()
    with pytest.raises(MeasureError, match=r"stop\(\) was called on an energy meter that does not run"):
        meter.stop()
    with pytest.raises(MeasureError, match="no reading yet"):
        _ = meter.reading
    meter.start("training")
    with pytest.raises(MeasureError, match="already started"):
        meter.start("training")
    reading = meter.stop()
    assert meter.reading is reading
    with pytest.raises(MeasureError, match="already started"):
        meter.start("again")
    with pytest.raises(MeasureError, match=r"switch\(\)"):
        meter.switch("again")


def test_leaving_the_with_block_stops_the_meter_also_after_an_exception() -> None:
    meter = PartsMeter([{"cpu": 3.6}])
    with pytest.raises(ValueError, match="broken step"), meter:
        meter.start("training")
        raise ValueError("broken step")
    assert not meter.running
    assert meter.finished == 1
    assert meter.reading.energy_kwh == pytest.approx(1e-6)
    unused = PartsMeter([])
    with unused:
        pass
    assert unused.finished == 1


def test_the_zero_of_a_phase_is_where_the_one_before_ended() -> None:
    meter = PartsMeter([{"cpu": 10.0, "ram": 1.0}, {"cpu": 10.5, "ram": 3.0}, {"cpu": 20.5, "ram": 4.0}])
    meter.start("a")
    meter.switch("b")
    meter.switch("a")
    reading = meter.stop()
    assert reading.phases["a"].energy_kwh == pytest.approx((11 + 11) / 3.6e6)
    assert reading.phases["b"].energy_kwh == pytest.approx(2.5 / 3.6e6)
    parts = {part.name: part.energy_kwh for part in reading.basis.components}
    assert parts == {"cpu": pytest.approx(20.5 / 3.6e6), "ram": pytest.approx(4 / 3.6e6)}


def test_a_part_that_is_lost_makes_the_energy_unknown_not_less() -> None:
    meter = PartsMeter([{"gpu": 5.0, "cpu": 1.0}, {"gpu": None, "cpu": 2.0}, {"gpu": 9.0, "cpu": 3.0}])
    meter.start("a")
    meter.switch("b")
    meter.switch("c")
    reading = meter.stop()
    assert reading.phases["a"].energy_kwh == pytest.approx(6 / 3.6e6)
    assert reading.phases["b"].energy_kwh is None
    assert reading.phases["c"].energy_kwh is None
    assert reading.energy_kwh is None
    assert reading.basis.counter_share is None


def test_composite_takes_each_part_from_the_first_meter_that_has_it() -> None:
    counter = PartsMeter([{"gpu": 300.0}, {"gpu": 400.0}])
    model = PartsMeter([{"cpu": 50.0, "gpu": 999.0}, {"cpu": 100.0, "gpu": 9999.0}], method="load × TDP")
    meter = CompositeMeter([counter, model])
    meter.start("training")
    meter.switch("evaluation")
    reading = meter.stop()
    assert reading.energy_kwh == pytest.approx(500 / 3.6e6)
    assert reading.phases["evaluation"].energy_kwh == pytest.approx(150 / 3.6e6)
    basis = reading.basis
    assert basis.counter_share == pytest.approx(0.8)
    assert basis.method == "hardware counter and power model, 80 % by counter"
    assert basis.relative_low == pytest.approx(0.8 * 0.95 + 0.2 * 0.5)
    assert basis.relative_high == pytest.approx(0.8 * 1.05 + 0.2 * 2.0)
    assert [part.name for part in basis.components] == ["gpu", "cpu"]
    assert counter.finished == model.finished == 1


class AbsentMeter(NoMeter):
    """A meter whose hardware is not there."""

    def _prepare(self) -> None:
        raise MeasureError("there is no counter here")


def test_composite_goes_on_without_missing_hardware() -> None:
    with CompositeMeter([AbsentMeter(), PartsMeter([{"cpu": 3.6}], method="constant")]) as meter:
        meter.start("training")
        reading = meter.stop()
    assert reading.energy_kwh == pytest.approx(1e-6)
    assert reading.basis.method == "power model, 0 % by counter"
    with CompositeMeter([AbsentMeter()]) as meter:
        meter.start("training")
        reading = meter.stop()
    assert reading.energy_kwh is None
    assert reading.notes == ("energy was not measured: there is no counter here",)


def test_open_meter_by_name(tmp_path: Path) -> None:
    assert open_meter("watts:65").tool == "user"
    file = tmp_path / "series.json"
    file.write_text(json.dumps({"joules": {"run": 3.6}}))
    meter = open_meter(f"replay:{file}")
    meter.start("run")
    assert meter.stop().energy_kwh == pytest.approx(1e-6)
    with pytest.raises(UsageError, match="unknown energy meter 'code-carbon': did you mean 'codecarbon'"):
        open_meter("code-carbon")
    for bad in ("watts", "watts:", "replay", "none:1"):
        with pytest.raises(UsageError, match="unknown energy meter"):
            open_meter(bad)
    for bad in ("watts:many", "watts:-3", "watts:nan", "watts:inf"):
        with pytest.raises(UsageError, match="is no power"):
            open_meter(bad)
    assert list(METERS) == sorted(METERS)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        '{"joules": [1]}',
        '{"watts": 1, "joules": {}}',
        '{"watts": -1}',
        '{"joules": {"a": "x"}}',
    ],
)
def test_a_broken_replay_file_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    file = tmp_path / "series.json"
    file.write_text(content)
    with pytest.raises(MeasureError, match=r"series\.json|numbers of 0 or more"):
        open_meter(f"replay:{file}")
    with pytest.raises(MeasureError, match="cannot read the energy series"):
        open_meter(f"replay:{tmp_path / 'absent.json'}")


def test_self_cost_of_a_block_with_calibration_apart() -> None:
    clock = FakeClock()
    with SelfCostMeter(ReplayMeter(watts=36.0, clock=clock)) as cost:
        clock.skip(10)
        cost.switch("calibration")
        clock.skip(100)
        cost.switch("estimate")
        with pytest.raises(MeasureError, match="not known yet"):
            cost.record()
    record = cost.record()
    assert record.duration_s == 10
    assert record.energy_kwh == pytest.approx(1e-4)
    assert record.calibration_duration_s == 100
    assert record.calibration_energy_kwh == pytest.approx(1e-3)


def test_self_cost_is_known_after_an_exception_and_none_without_a_meter() -> None:
    cost = SelfCostMeter("none")
    with pytest.raises(KeyError), cost:
        raise KeyError("x")
    assert cost.record().energy_kwh is None
    assert cost.record().duration_s > 0
