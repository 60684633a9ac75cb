"""The probe on real training steps and on known times; the description of the machine."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from foretoll.errors import MeasureError
from foretoll.measure import NoMeter, ReplayMeter, describe_hardware, open_meter, probe_steps
from foretoll.measure.hardware import cpu_name
from foretoll.measure.step_probe import Timing

pytestmark = pytest.mark.usefixtures("whole_windows")


class Work:
    """Steps and evaluations that take known times on a clock of their own."""

    def __init__(self, step_s: list[float], evaluation_s: float = 1.0) -> None:
        self.now = 0.0
        self.steps = self.evaluations = 0
        self._step_s, self._evaluation_s = step_s, evaluation_s

    def clock(self) -> float:
        return self.now

    def step(self) -> None:
        self.now += self._step_s[min(self.steps, len(self._step_s) - 1)]
        self.steps += 1

    def evaluate(self) -> int:
        self.now += self._evaluation_s
        self.evaluations += 1
        return 50

    def probe(self, looks=(), evaluation_samples=None, **timing):
        return probe_steps(
            self.step,
            self.evaluate,
            device="cpu",
            meter_factory=lambda: ReplayMeter(watts=10.0, clock=self.clock),
            timing=Timing(clock=self.clock, **{"budget_s": 10.0, **timing}),
            looks=looks,
            evaluation_samples=evaluation_samples,
        )[0]


def test_known_times_and_watts() -> None:
    # two warm-up steps, then three repeats of two steps: 1 s, 2 s and 4 s a step
    work = Work([9, 5, 1, 1, 2, 2, 4, 4], evaluation_s=6.0)
    probe = work.probe(least=2, budget_s=1000.0, evaluation_samples=200)
    assert (probe.steps, probe.repeats) == (6, 3)
    assert (probe.seconds_per_step_low, probe.seconds_per_step, probe.seconds_per_step_high) == (1, 2, 4)
    assert probe.joules_per_step == pytest.approx(10 * 14 / 6)
    assert work.evaluations == 1
    assert probe.seconds_per_evaluation == pytest.approx(6.0 * 200 / 50)
    assert probe.joules_per_evaluation == pytest.approx(60.0 * 200 / 50)


def test_short_steps_fill_the_window_and_short_evaluations_repeat() -> None:
    work = Work([0.01], evaluation_s=0.05)
    probe = work.probe(least=2, budget_s=10.0)
    assert probe.steps * 0.01 >= 1.5
    assert probe.seconds_per_step == pytest.approx(0.01)
    assert work.evaluations > 3
    assert probe.seconds_per_evaluation == pytest.approx(0.05)


def test_the_budget_cuts_warm_up_and_repeats_but_not_the_least_measurement() -> None:
    work = Work([10.0], evaluation_s=20.0)
    probe = work.probe(least=2, budget_s=5.0)
    assert work.steps == 1 + 2
    assert (probe.repeats, probe.steps, work.evaluations) == (1, 2, 1)
    assert work.now <= 1 * 10 + 2 * 10 + 20
    work = Work([1.0], evaluation_s=1.0)
    work.probe(least=1, budget_s=8.0, repeats=50)
    assert work.now <= 8.0 + 1.0


def test_looks_are_taken_after_their_steps_whatever_the_budget_is() -> None:
    # one warm-up step, five steps of 2 s up to the first look, four of 3 s up to the second; no time for more
    work = Work([9] + [2] * 5 + [3] * 4, evaluation_s=5.0)
    seen = []
    probe, _ = probe_steps(
        work.step,
        lambda: seen.append(work.steps) or work.evaluate(),
        device="cpu",
        meter_factory=lambda: ReplayMeter(watts=10.0, clock=work.clock),
        timing=Timing(budget_s=1.0, warmup=1, clock=work.clock),
        looks=(6, 10),
    )
    assert seen == [6, 10]
    assert (probe.steps, probe.repeats) == (9, 2)
    assert (probe.seconds_per_step_low, probe.seconds_per_step, probe.seconds_per_step_high) == (2, 2.5, 3)
    assert probe.joules_per_step == pytest.approx(10 * 22 / 9)
    assert probe.seconds_per_evaluation == pytest.approx(5.0)


def test_steps_that_are_short_are_timed_after_the_looks() -> None:
    work = Work([1.0] * 8 + [0.01], evaluation_s=0.05)
    probe = work.probe(least=2, budget_s=30.0, looks=(8,), warmup=2)
    assert probe.repeats == 3
    assert probe.seconds_per_step == pytest.approx(0.01)  # not the first eight
    assert probe.steps == work.steps - 2


def test_impossible_probes() -> None:
    with pytest.raises(MeasureError, match="is impossible"):
        Work([1.0]).probe(least=0)
    with pytest.raises(MeasureError, match="is impossible"):
        Work([1.0]).probe(budget_s=0)
    with pytest.raises(MeasureError, match="processed no sample"):
        probe_steps(lambda: None, lambda: 0, device="cpu", meter_factory=NoMeter, timing=Timing(0.1))


@pytest.mark.parametrize("meter", ["auto", "none"])
def test_a_real_training_step(meter: str) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = torch.randn(256, 64), torch.randint(0, 10, (256,))
    before = network[0].weight.detach().clone()

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()

    @torch.no_grad()
    def evaluate() -> int:
        network(x).argmax(1)
        return len(x)

    probe, _ = probe_steps(
        step,
        evaluate,
        device="cpu",
        meter_factory=lambda: open_meter(meter),
        timing=Timing(1.0),
        evaluation_samples=2560,
    )
    assert not torch.equal(before, network[0].weight)
    assert 0 < probe.seconds_per_step_low <= probe.seconds_per_step <= probe.seconds_per_step_high
    assert probe.seconds_per_evaluation > 0
    if meter == "none":
        assert probe.joules_per_step is None
        assert probe.joules_per_evaluation is None
    else:
        assert probe.joules_per_step > 0
        assert probe.joules_per_evaluation > 0
        watts = probe.joules_per_step / probe.seconds_per_step
        assert 1 < watts < 2000  # a plausible machine


def test_the_machine_is_described() -> None:
    hardware = describe_hardware("cpu")
    assert hardware.device == "cpu"
    assert hardware.cpu
    assert hardware.device_name == hardware.cpu
    assert hardware.cores >= 1
    assert hardware.memory_gb > 0.1
    assert hardware.torch == torch.__version__
    assert hardware.threads == torch.get_num_threads()


def test_the_cpu_name_from_cpuinfo(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Some CPU @ 3.0GHz\nmodel name\t: other\n")
    assert cpu_name(file) == "Some CPU @ 3.0GHz"
    assert cpu_name(tmp_path / "absent")


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = (
        "import sys, foretoll.measure; "
        "print([m for m in ('torch', 'codecarbon', 'pynvml', 'pandas', 'psutil') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sampling_a_phase_boundary_is_cheap() -> None:
    """Boundaries lie outside the durations, and their own time is told."""
    with open_meter("auto") as meter:
        meter.start("a")
        for phase in "bababa":
            meter.switch(phase)
        time.sleep(0.05)
        reading = meter.stop()
    assert reading.overhead_s > 0
    assert reading.phases["a"].duration_s >= 0.05
    assert set(reading.phases) == {"a", "b"}
